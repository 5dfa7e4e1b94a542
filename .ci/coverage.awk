# Merges cobertura files of several test projects: a line is covered when any of them ran it. Prints a table of line coverage per library
# and exits with 1 when one of them is below the limit or was not measured.
#   awk -v limit=90 -v libraries="Kernels Tensors" -f coverage.awk *.cobertura.xml
function attribute(name,    start, rest) {
    start = index($0, " " name "=\"")
    if (start == 0) {
        return ""
    }
    rest = substr($0, start + length(name) + 3)
    return substr(rest, 1, index(rest, "\"") - 1)
}

/<package / { library = attribute("name"); sub(/^MiniVlp\./, "", library) }

/<class / { file = attribute("filename"); generated = file ~ /[\/\\]obj[\/\\]/ || file ~ /\.g\.cs$/ }

/<line / && !generated {
    key = library SUBSEP file SUBSEP attribute("number")
    if (!(key in covered)) {
        covered[key] = 0
    }
    if (attribute("hits") + 0 > 0) {
        covered[key] = 1
    }
}

END {
    for (key in covered) {
        split(key, part, SUBSEP)
        lines[part[1]]++
        hit[part[1]] += covered[key]
    }

    printf "\n%-12s %8s %8s %8s\n", "library", "lines", "covered", "percent"
    count = split(libraries, name, " ")
    for (i = 1; i <= count; i++) {
        total = lines[name[i]] + 0
        percent = total > 0 ? 100 * hit[name[i]] / total : 0
        low = percent < limit
        failed = failed || low
        printf "%-12s %8d %8d %8.1f%s\n", name[i], total, hit[name[i]], percent, low ? "  below " limit (total > 0 ? "" : ": no test loads it") : ""
    }

    exit failed
}
