using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace MiniVlp.PtxSim.Text;

/// <summary>Takes a PTX module apart: entries, declarations, statements, labels; names inside of nested blocks are made unique.</summary>
internal static partial class PtxReader
{
    private const int Timeout = 10_000;

    /// <summary>All kernels of a module.</summary>
    /// <exception cref="SimulationException">There is none, or the text is not understood.</exception>
    public static List<PtxEntry> Read(string module)
    {
        string text = WithoutComments(module);
        List<PtxEntry> entries = [];
        Match dynamic = DynamicShared().Match(text);
        foreach (Match header in EntryHeader().Matches(text))
        {
            PtxEntry entry = new() { Name = header.Groups["name"].Value };
            if (dynamic.Success)
            {
                entry.DynamicShared = dynamic.Groups["name"].Value;
                if (dynamic.Groups["align"].Success) entry.DynamicSharedAlignment = Int(dynamic.Groups["align"].Value);
            }

            ReadParameters(entry, header.Groups["parameters"].Value);
            Match cluster = ClusterSize().Match(header.Groups["directives"].Value);
            if (cluster.Success) entry.Cluster = (Int(cluster.Groups["x"].Value), cluster.Groups["y"].Success ? Int(cluster.Groups["y"].Value) : 1, cluster.Groups["z"].Success ? Int(cluster.Groups["z"].Value) : 1);
            foreach (Match variable in ModuleVariable().Matches(text[..entryStart(header)])) Declare(entry, variable.Value.Trim().TrimEnd(';'), new Scopes());
            int start = header.Index + header.Length, end = ClosingBrace(text, start);
            int line = 1 + text.AsSpan(0, start).Count('\n');
            new BodyReader(entry).Read(text[start..end], line);
            entries.Add(entry);
        }

        return entries.Count > 0 ? entries : throw new SimulationException("The module has no .entry.");

        int entryStart(Match header) => text.IndexOf(".func", StringComparison.Ordinal) is >= 0 and int function && function < header.Index ? function : header.Index;
    }

    /// <summary>Bytes of one element of a type.</summary>
    public static int SizeOf(string type) => type switch
    {
        "pred" => 1,
        "b8" or "u8" or "s8" => 1,
        "b16" or "u16" or "s16" or "f16" or "bf16" => 2,
        "b32" or "u32" or "s32" or "f32" or "f16x2" or "bf16x2" or "tf32" => 4,
        "b64" or "u64" or "s64" or "f64" => 8,
        _ => throw new SimulationException($"The type .{type} is not modelled."),
    };

    private static void ReadParameters(PtxEntry entry, string list)
    {
        int offset = 0;
        foreach (Match parameter in Parameter().Matches(list))
        {
            int element = SizeOf(parameter.Groups["type"].Value);
            int bytes = parameter.Groups["count"].Success ? element * Int(parameter.Groups["count"].Value) : element;
            int alignment = parameter.Groups["align"].Success ? Int(parameter.Groups["align"].Value) : element;
            offset = AlignUp(offset, alignment);
            entry.Parameters.Add(new PtxVariable(parameter.Groups["name"].Value, offset, bytes));
            offset += bytes;
        }

        entry.ParameterBytes = offset;
    }

    private static void Declare(PtxEntry entry, string statement, Scopes scopes)
    {
        Match registers = RegisterDeclaration().Match(statement);
        if (registers.Success)
        {
            foreach (string part in registers.Groups["names"].Value.Split(',', StringSplitOptions.TrimEntries))
            {
                int bracket = part.IndexOf('<', StringComparison.Ordinal);
                if (bracket < 0) scopes.Declare(entry, part, registers.Groups["type"].Value);
                else for (int i = 0; i < Int(part[(bracket + 1)..^1]); i++) scopes.Declare(entry, part[..bracket] + i.ToString(CultureInfo.InvariantCulture), registers.Groups["type"].Value);
            }

            return;
        }

        Match variable = Variable().Match(statement);
        if (!variable.Success) throw new SimulationException($"The declaration `{statement}` is not understood.");
        int bytes = SizeOf(variable.Groups["type"].Value) * (variable.Groups["count"].Success ? Int(variable.Groups["count"].Value) : 1);
        int alignment = variable.Groups["align"].Success ? Int(variable.Groups["align"].Value) : SizeOf(variable.Groups["type"].Value);
        string name = variable.Groups["name"].Value;
        if (variable.Groups["space"].Value == "shared")
        {
            int offset = AlignUp(entry.SharedBytes, alignment);
            entry.Shared[name] = new PtxVariable(name, offset, bytes);
            entry.SharedBytes = offset + bytes;
        }
        else
        {
            int offset = AlignUp(entry.LocalBytes, alignment);
            entry.Local[name] = new PtxVariable(name, offset, bytes);
            entry.LocalBytes = offset + bytes;
        }
    }

    private static string WithoutComments(string text)
    {
        StringBuilder result = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '/' && i + 1 < text.Length && text[i + 1] == '/')
            {
                while (i < text.Length && text[i] != '\n') i++;
                if (i < text.Length) result.Append('\n');
            }
            else if (text[i] == '/' && i + 1 < text.Length && text[i + 1] == '*')
            {
                for (i += 2; i + 1 < text.Length && !(text[i] == '*' && text[i + 1] == '/'); i++) if (text[i] == '\n') result.Append('\n');
                i++;
            }
            else
            {
                result.Append(text[i]);
            }
        }

        return result.ToString();
    }

    private static int ClosingBrace(string text, int position)
    {
        for (int depth = 1; position < text.Length; position++)
        {
            if (text[position] == '{') depth++;
            else if (text[position] == '}' && --depth == 0) return position;
        }

        throw new SimulationException("A brace is not closed.");
    }

    private static int AlignUp(int value, int alignment) => (value + alignment - 1) / alignment * alignment;

    private static int Int(string digits) => int.Parse(digits, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\.extern\s+\.shared\s+(?:\.align\s+(?<align>\d+)\s+)?\.b8\s+(?<name>[\w$]+)\s*\[\s*\]", RegexOptions.ExplicitCapture, Timeout)]
    private static partial Regex DynamicShared();

    [GeneratedRegex(@"\.entry\s+(?<name>[\w$]+)\s*\((?<parameters>[^)]*)\)(?<directives>[^{]*)\{", RegexOptions.ExplicitCapture, Timeout)]
    private static partial Regex EntryHeader();

    [GeneratedRegex(@"\.param\s+(\.align\s+(?<align>\d+)\s+)?\.(?<type>\w+)\s+(\.ptr\S*\s+)?(?<name>[\w$]+)(\[(?<count>\d+)\])?", RegexOptions.ExplicitCapture, Timeout)]
    private static partial Regex Parameter();

    [GeneratedRegex(@"^\.(?<space>shared|local)\s+(\.align\s+(?<align>\d+)\s+)?\.(?<type>\w+)\s+(?<name>[\w$]+)\s*(\[(?<count>\d+)\])?$", RegexOptions.ExplicitCapture, Timeout)]
    private static partial Regex Variable();

    [GeneratedRegex(@"^\.shared\s[^;]*;", RegexOptions.Multiline, Timeout)]
    private static partial Regex ModuleVariable();

    [GeneratedRegex(@"^\.reg\s+\.(?<type>\w+)\s+(?<names>.*)$", RegexOptions.ExplicitCapture | RegexOptions.Singleline, Timeout)]
    private static partial Regex RegisterDeclaration();

    [GeneratedRegex(@"\.reqnctapercluster\s+(?<x>\d+)(\s*,\s*(?<y>\d+))?(\s*,\s*(?<z>\d+))?", RegexOptions.ExplicitCapture, Timeout)]
    private static partial Regex ClusterSize();

    [GeneratedRegex(@"%?[A-Za-z_$][\w$]*", RegexOptions.None, Timeout)]
    private static partial Regex Identifier();

    /// <summary>What names of nested blocks are called outside of them.</summary>
    private sealed class Scopes
    {
        private readonly Stack<Dictionary<string, string>> _blocks = new();
        private int _count;

        public void Open(IEnumerable<string> labels)
        {
            Dictionary<string, string> block = new(StringComparer.Ordinal);
            foreach (string label in labels) block[label] = $"{label}${_count++}";
            _blocks.Push(block);
        }

        public void Close() => _blocks.Pop();

        public void Declare(PtxEntry entry, string name, string type)
        {
            if (_blocks.Count > 0) name = _blocks.Peek()[name] = $"{name}${_count++}";
            entry.Registers[name] = type;
        }

        public string Resolve(string text) => _blocks.Count == 0 ? text : Identifier().Replace(text, match => ResolveName(match.Value));

        public string ResolveName(string name)
        {
            foreach (Dictionary<string, string> block in _blocks) if (block.TryGetValue(name, out string? unique)) return unique;
            return name;
        }
    }

    /// <summary>Reads the statements of one body.</summary>
    private sealed class BodyReader(PtxEntry entry)
    {
        private readonly Scopes _scopes = new();

        public void Read(string body, int line)
        {
            StringBuilder current = new();
            int startLine = line;
            for (int i = 0; i < body.Length; i++)
            {
                char c = body[i];
                if (c == '\n') line++;
                bool atStart = current.Length == 0;
                if (atStart && char.IsWhiteSpace(c)) continue;
                if (atStart) startLine = line;
                switch (c)
                {
                    case '{' when atStart:
                        _scopes.Open(LabelsOf(body, i + 1));
                        break;
                    case '}' when atStart:
                        _scopes.Close();
                        break;
                    case '{':
                        int end = body.IndexOf('}', i);
                        current.Append(body, i, end - i + 1);
                        i = end;
                        break;
                    case ':' when i + 1 < body.Length && body[i + 1] == ':':
                        current.Append("::");
                        i++;
                        break;
                    case ':':
                        entry.Labels[_scopes.ResolveName(current.ToString().Trim())] = entry.Statements.Count;
                        current.Clear();
                        break;
                    case ';':
                        Statement(Squeezed(current.ToString()), startLine);
                        current.Clear();
                        break;
                    default:
                        current.Append(c);
                        break;
                }
            }
        }

        /// <summary>Labels that belong to the block which starts here, so that a jump forward finds them.</summary>
        private static IEnumerable<string> LabelsOf(string body, int start)
        {
            int depth = 1, word = -1;
            for (int i = start; i < body.Length; i++)
            {
                char c = body[i];
                if (c == '{') depth++;
                if (c == '}' && --depth == 0) yield break;
                if (char.IsLetterOrDigit(c) || c is '_' or '$' or '%')
                {
                    if (word < 0) word = i;
                    continue;
                }

                if (c == ':' && body[i + 1] != ':' && body[i - 1] != ':' && word >= 0 && depth == 1 && (word == start || body[word - 1] != ':')) yield return body[word..i];
                if (!char.IsWhiteSpace(c)) word = -1;
                else if (word >= 0 && !body.AsSpan(i).TrimStart().StartsWith(":", StringComparison.Ordinal)) word = -1;
            }
        }

        private static string Squeezed(string text)
            => string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

        private void Statement(string text, int line)
        {
            if (text.Length == 0 || text.StartsWith(".loc", StringComparison.Ordinal) && !text.StartsWith(".local", StringComparison.Ordinal) || text.StartsWith(".pragma", StringComparison.Ordinal)) return;
            if (text[0] == '.')
            {
                Declare(entry, text, _scopes);
                return;
            }

            string rest = text;
            string? guard = null;
            bool negated = false;
            if (rest[0] == '@')
            {
                int blank = rest.IndexOf(' ', StringComparison.Ordinal);
                negated = rest[1] == '!';
                guard = _scopes.ResolveName(rest[(negated ? 2 : 1)..blank]);
                rest = rest[(blank + 1)..];
            }

            int space = rest.IndexOf(' ', StringComparison.Ordinal);
            string opcode = space < 0 ? rest : rest[..space];
            string[] operands = space < 0 ? [] : [.. SplitOperands(rest[(space + 1)..]).Select(_scopes.Resolve)];
            entry.Statements.Add(new PtxStatement(line, text, guard, negated, opcode, operands));
        }
    }

    /// <summary>Cuts at commas that are in no bracket.</summary>
    public static List<string> SplitOperands(string text)
    {
        List<string> operands = [];
        int depth = 0, start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i == text.Length || (text[i] == ',' && depth == 0))
            {
                if (text[start..i].Trim() is { Length: > 0 } operand) operands.Add(operand);
                start = i + 1;
            }
            else if (text[i] is '{' or '[' or '(')
            {
                depth++;
            }
            else if (text[i] is '}' or ']' or ')')
            {
                depth--;
            }
        }

        return operands;
    }
}
