using System.Text.Json;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Data.Text;

/// <summary>Reads the two kinds of <c>tokenizer.json</c> that stand for BERT's WordPiece and CLIP's byte pairs.</summary>
internal static class TokenizerJson
{
    private const long FileLimit = 128L << 20;

    public static TextTokenizer Load(string path, TokenizerConfig config)
    {
        using JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(path, FileLimit), path);
        JsonElement root = document.RootElement;
        JsonElement model = InputFile.Field(root, "model", JsonValueKind.Object, path);
        string type = ModelType(model, path);
        TokenizerVocabulary vocabulary = TokenizerFiles.VocabularyOf(InputFile.Field(model, "vocab", JsonValueKind.Object, $"{path}: model"), $"{path}: model.vocab");
        AddTokens(root, config, path);
        return type switch
        {
            "WordPiece" => config.WordPiece(vocabulary, WordPieceSettings(root, model, path)),
            "BPE" => config.Clip(vocabulary, Merges(model, path)),
            _ => throw new InvalidDataException($"{path}: model.type is '{type}'; WordPiece (BERT) and BPE (CLIP) are supported."),
        };
    }

    private static string ModelType(JsonElement model, string path)
    {
        if (model.TryGetProperty("type", out JsonElement type) && type.ValueKind == JsonValueKind.String)
        {
            return type.GetString()!;
        }

        // Files of early versions leave the type out; only byte pairs have merges.
        return model.TryGetProperty("merges", out _) ? "BPE" : "WordPiece";
    }

    private static TokenizerSettings WordPieceSettings(JsonElement root, JsonElement model, string path)
    {
        TokenizerSettings settings = TokenizerSettings.Bert();
        if (model.TryGetProperty("continuing_subword_prefix", out JsonElement prefix) && prefix.ValueKind == JsonValueKind.String
            && !prefix.ValueEquals("##"))
        {
            throw new InvalidDataException($"{path}: model.continuing_subword_prefix is '{prefix.GetString()!}'; only '##' is supported.");
        }

        if (model.TryGetProperty("max_input_chars_per_word", out JsonElement longest) && longest.ValueKind == JsonValueKind.Number
            && longest.TryGetInt32(out int length) && length is > 0 and <= 1000)
        {
            settings = settings with { MaxWordLength = length };
        }

        JsonElement normalizer = InputFile.Field(root, "normalizer", JsonValueKind.Object, path);
        string where = $"{path}: normalizer";
        string kind = InputFile.Field(normalizer, "type", JsonValueKind.String, where).GetString()!;
        if (kind != "BertNormalizer")
        {
            throw new InvalidDataException($"{where}.type is '{kind}'; only BertNormalizer is supported with a WordPiece model.");
        }

        return settings with
        {
            LowerCase = Flag(normalizer, "lowercase") ?? true,
            StripAccents = Flag(normalizer, "strip_accents"),
            SplitCjk = Flag(normalizer, "handle_chinese_chars") ?? true,
            CleanText = Flag(normalizer, "clean_text") ?? true,
        };
    }

    private static bool? Flag(JsonElement parent, string name)
    {
        return parent.TryGetProperty(name, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : null;
    }

    private static List<string> Merges(JsonElement model, string path)
    {
        List<string> merges = [];
        foreach (JsonElement merge in InputFile.Field(model, "merges", JsonValueKind.Array, $"{path}: model").EnumerateArray())
        {
            // "a b" in older files, ["a", "b"] in newer ones.
            string where = $"{path}: model.merges[{merges.Count}]";
            string[] parts = merge.ValueKind switch
            {
                JsonValueKind.String => merge.GetString()!.Split(' '),
                JsonValueKind.Array when merge.EnumerateArray().All(part => part.ValueKind == JsonValueKind.String)
                    => [.. merge.EnumerateArray().Select(part => part.GetString()!)],
                _ => [],
            };
            if (parts.Length != 2 || parts.Any(part => part.Length == 0 || part.Contains(' ', StringComparison.Ordinal)))
            {
                throw new InvalidDataException($"{where}: should be two pieces.");
            }

            merges.Add($"{parts[0]} {parts[1]}");
        }

        return merges;
    }

    private static void AddTokens(JsonElement root, TokenizerConfig config, string path)
    {
        if (!root.TryGetProperty("added_tokens", out JsonElement added) || added.ValueKind != JsonValueKind.Array)
        {
            return;
        }

        int index = 0;
        foreach (JsonElement token in added.EnumerateArray())
        {
            string where = $"{path}: added_tokens[{index++}]";
            if (!InputFile.Field(token, "id", JsonValueKind.Number, where).TryGetInt32(out int id))
            {
                throw new InvalidDataException($"{where}: the field 'id' is not a whole number.");
            }

            config.AddToken(id, InputFile.Field(token, "content", JsonValueKind.String, where).GetString()!);
        }
    }
}
