using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace MiniVlp.Data.Datasets;

/// <summary>One emoji of <c>emoji.json</c>: code points, names, the caption made from them, and the family that decides its split.</summary>
internal sealed record EmojiConcept(
    string Code, string ImageFile, string Name, string Caption, IReadOnlyList<string> ShortNames, string Category, string Subcategory)
{
    private static readonly string[] Tones = ["1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"];
    private static readonly string[] ToneNames = ["light", "medium-light", "medium", "medium-dark", "dark"];

    /// <summary>
    /// Flags of territories that are drawn like the flag of the country, so that the country keeps its name (Bouvet Island, Clipperton, Sark,
    /// Diego Garcia, Ceuta and Melilla, Heard and McDonald, Saint Martin, Svalbard, U.S. Outlying Islands), and the middle finger.
    /// </summary>
    private static readonly HashSet<string> LeftOut =
    [
        "1F1E7-1F1FB", "1F1E8-1F1F5", "1F1E8-1F1F6", "1F1E9-1F1EC", "1F1EA-1F1E6", "1F1ED-1F1F2", "1F1F2-1F1EB", "1F1F8-1F1EF", "1F1FA-1F1F2", "1F595",
    ];

    /// <summary>Emoji whose men, women and persons have code points of their own instead of a gender sign.</summary>
    private static readonly Dictionary<string, string> GenderTwins = new(StringComparer.Ordinal)
    {
        ["1f466"] = "1f9d2",
        ["1f467"] = "1f9d2",
        ["1f474"] = "1f9d3",
        ["1f475"] = "1f9d3",
        ["1f934"] = "1f478",
        ["1f57a"] = "1f483",
        ["1f936"] = "1f385",
        ["1f46b"] = "1f9d1-200d-1f91d-200d-1f9d1",
        ["1f46c"] = "1f9d1-200d-1f91d-200d-1f9d1",
        ["1f46d"] = "1f9d1-200d-1f91d-200d-1f9d1",
        ["1f48f"] = "1f9d1-200d-2764-200d-1f48b-200d-1f9d1",
        ["1f491"] = "1f9d1-200d-2764-200d-1f9d1",
    };

    /// <summary>
    /// The code points in lower case without what only varies one picture idea: presentation selectors, skin tone, gender, direction.
    /// </summary>
    public string Family { get; } = FamilyOf(Code);

    /// <summary>The split is a hash of the family: the same for every vendor and every version of the packages.</summary>
    public bool IsValidation(double share)
    {
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes("emoji-val:" + Family));
        return BinaryPrimitives.ReadUInt64BigEndian(hash) / 18446744073709551616.0 < share;
    }

    public static List<EmojiConcept> Read(string path, bool skinTones, long limit)
    {
        using JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(path, limit), path);
        if (document.RootElement.ValueKind != JsonValueKind.Array)
        {
            throw new InvalidDataException($"{path}: should be a json array, is {InputFile.Name(document.RootElement.ValueKind)}.");
        }

        List<(long Order, EmojiConcept Concept)> concepts = [];
        int position = 0;
        foreach (JsonElement entry in document.RootElement.EnumerateArray())
        {
            string where = $"{path}: [{position++}]";
            string name = Text(entry, "name", where);
            string code = Text(entry, "unified", where);
            string category = Text(entry, "category", where);
            string subcategory = Text(entry, "subcategory", where);
            if (category == "Component" || LeftOut.Contains(code) || EmojiCaption.From(name, subcategory) is not { } caption)
            {
                continue;
            }

            long order = InputFile.Field(entry, "sort_order", JsonValueKind.Number, where).TryGetInt64(out long value) ? value : position;
            IReadOnlyList<string> shortNames = [.. InputFile.Field(entry, "short_names", JsonValueKind.Array, where).EnumerateArray()
                .Where(shortName => shortName.ValueKind == JsonValueKind.String).Select(shortName => shortName.GetString()!)];
            EmojiConcept concept = new(code, ImageName(entry, where), name, caption, shortNames, category, subcategory);
            concepts.Add((order, concept));
            if (skinTones && entry.TryGetProperty("skin_variations", out JsonElement variations) && variations.ValueKind == JsonValueKind.Object)
            {
                concepts.AddRange(WithTones(concept, variations, where).Select(toned => (order, toned)));
            }
        }

        return [.. concepts.OrderBy(entry => entry.Order).Select(entry => entry.Concept)];
    }

    private static IEnumerable<EmojiConcept> WithTones(EmojiConcept concept, JsonElement variations, string where)
    {
        for (int i = 0; i < Tones.Length; i++)
        {
            if (variations.TryGetProperty(Tones[i], out JsonElement variation))
            {
                string inside = $"{where}.skin_variations.{Tones[i]}";
                yield return concept with
                {
                    Code = Text(variation, "unified", inside),
                    ImageFile = ImageName(variation, inside),
                    Caption = $"{concept.Caption}, {ToneNames[i]} skin tone",
                };
            }
        }
    }

    private static string FamilyOf(string code)
    {
        List<string> parts = [.. code.ToLowerInvariant().Split('-').Where(part => part != "fe0f" && !Tones.Contains(part, StringComparer.OrdinalIgnoreCase))];
        DropEnd(parts, "27a1");
        DropEnd(parts, "2640", "2642");
        string family = string.Join('-', parts.Select(part => part is "1f468" or "1f469" ? "1f9d1" : part));
        return GenderTwins.GetValueOrDefault(family, family);
    }

    /// <summary>Takes a joiner with one of the given signs off the end.</summary>
    private static void DropEnd(List<string> parts, params ReadOnlySpan<string> signs)
    {
        if (parts.Count > 2 && parts[^2] == "200d" && signs.Contains(parts[^1]))
        {
            parts.RemoveRange(parts.Count - 2, 2);
        }
    }

    private static string ImageName(JsonElement entry, string where)
    {
        string name = Text(entry, "image", where);
        return name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.') && !name.StartsWith('.')
            ? name
            : throw new InvalidDataException($"{where}: the field 'image' is '{name}', not the name of a file.");
    }

    private static string Text(JsonElement entry, string field, string where)
    {
        return InputFile.Field(entry, field, JsonValueKind.String, where).GetString()!;
    }
}
