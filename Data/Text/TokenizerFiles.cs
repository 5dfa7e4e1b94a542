using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Tensors;

namespace MiniVlp.Data.Text;

/// <summary>Reads and writes the tokenizer files of a Hugging Face folder.</summary>
internal static class TokenizerFiles
{
    private const long FileLimit = 128L << 20;
    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static TextTokenizer Load(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        if (!Directory.Exists(directory))
        {
            throw new DirectoryNotFoundException($"{directory}: there is no such folder.");
        }

        string configPath = Path.Combine(directory, "tokenizer_config.json");
        using JsonDocument? config = File.Exists(configPath) ? InputFile.ParseJson(InputFile.ReadAllBytes(configPath, FileLimit), configPath) : null;
        TokenizerConfig settings = new(config?.RootElement, configPath);

        string single = Path.Combine(directory, "tokenizer.json");
        string lines = Path.Combine(directory, "vocab.txt");
        string json = Path.Combine(directory, "vocab.json");
        string merges = Path.Combine(directory, "merges.txt");
        if (File.Exists(single))
        {
            return TokenizerJson.Load(single, settings);
        }

        bool bytePairs = File.Exists(json) && File.Exists(merges);
        if (File.Exists(lines) && !(bytePairs && settings.IsClip))
        {
            return settings.WordPiece(new TokenizerVocabulary(ReadLines(lines), lines));
        }

        return bytePairs
            ? settings.Clip(ReadVocabularyJson(json), ReadMerges(merges))
            : throw new FileNotFoundException($"{directory}: no tokenizer.json, no vocab.txt, and not both of vocab.json and merges.txt.");
    }

    /// <summary>The pieces of a json object { piece: id } by id.</summary>
    public static TokenizerVocabulary VocabularyOf(JsonElement map, string where)
    {
        List<(string Piece, int Id)> entries = [];
        int highest = -1;
        foreach (JsonProperty entry in map.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out int id) || id < 0)
            {
                throw new InvalidDataException($"{where}: the id of the piece '{entry.Name}' is not a whole number from 0 to {int.MaxValue}.");
            }

            entries.Add((entry.Name, id));
            highest = Math.Max(highest, id);
        }

        if (highest > (4L * entries.Count) + 1024)
        {
            throw new InvalidDataException($"{where}: the highest id is {highest}, but there are only {entries.Count} pieces.");
        }

        string?[] pieces = new string?[highest + 1];
        foreach ((string piece, int id) in entries)
        {
            pieces[id] = piece;
        }

        return new TokenizerVocabulary(pieces, where);
    }

    public static void WriteLines(string path, IEnumerable<string> lines)
    {
        AtomicFile.Write(path, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(false), leaveOpen: true) { NewLine = "\n" };
            foreach (string line in lines)
            {
                writer.WriteLine(line);
            }
        });
    }

    public static void WriteVocabularyJson(string path, TokenizerVocabulary vocabulary)
    {
        AtomicFile.Write(path, stream =>
        {
            using Utf8JsonWriter writer = new(stream, Indented with { Indented = false });
            writer.WriteStartObject();
            for (int id = 0; id < vocabulary.Size; id++)
            {
                if (vocabulary.Piece(id) is { } piece)
                {
                    writer.WriteNumber(piece, id);
                }
            }

            writer.WriteEndObject();
        });
    }

    public static void WriteConfig(string directory, TokenizerSettings settings, IEnumerable<string> specialTexts)
    {
        AtomicFile.Write(Path.Combine(directory, "tokenizer_config.json"), stream =>
        {
            using Utf8JsonWriter writer = new(stream, Indented);
            writer.WriteStartObject();
            writer.WriteString("tokenizer_class", settings.ClassName);
            writer.WriteNumber("model_max_length", settings.MaxLength);
            writer.WriteString("unk_token", settings.UnknownToken);
            writer.WriteString("pad_token", settings.PadToken);
            bool clip = settings.ClassName.StartsWith("CLIP", StringComparison.Ordinal);
            writer.WriteString(clip ? "bos_token" : "cls_token", settings.StartToken);
            writer.WriteString(clip ? "eos_token" : "sep_token", settings.EndToken);
            if (!clip)
            {
                if (settings.MaskToken is { } mask)
                {
                    writer.WriteString("mask_token", mask);
                }

                writer.WriteBoolean("do_lower_case", settings.LowerCase);
                writer.WriteBoolean("tokenize_chinese_chars", settings.SplitCjk);
                if (settings.StripAccents is { } strip)
                {
                    writer.WriteBoolean("strip_accents", strip);
                }
                else
                {
                    writer.WriteNull("strip_accents");
                }
            }

            string[] further = [.. specialTexts.Intersect(settings.AddedTokens, StringComparer.Ordinal)];
            if (further.Length > 0)
            {
                writer.WriteStartArray("additional_special_tokens");
                foreach (string token in further)
                {
                    writer.WriteStringValue(token);
                }

                writer.WriteEndArray();
            }

            writer.WriteEndObject();
        });
    }

    private static TokenizerVocabulary ReadVocabularyJson(string path)
    {
        using JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(path, FileLimit), path);
        return document.RootElement.ValueKind == JsonValueKind.Object
            ? VocabularyOf(document.RootElement, path)
            : throw new InvalidDataException($"{path}: should be a json object of piece and id, is {InputFile.Name(document.RootElement.ValueKind)}.");
    }

    private static string[] ReadLines(string path)
    {
        string text = InputFile.Utf8(InputFile.ReadAllBytes(path, FileLimit), path);
        List<string> lines = [];
        using StringReader reader = new(text);
        while (reader.ReadLine() is { } line)
        {
            lines.Add(line);
        }

        return [.. lines];
    }

    private static List<string> ReadMerges(string path)
    {
        List<string> merges = [];
        string[] lines = ReadLines(path);
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].Length == 0 || (i == 0 && lines[i].StartsWith("#version", StringComparison.Ordinal)))
            {
                continue;
            }

            int space = lines[i].IndexOf(' ', StringComparison.Ordinal);
            if (space <= 0 || space != lines[i].LastIndexOf(' ') || space == lines[i].Length - 1)
            {
                throw new InvalidDataException($"{path}: line {i + 1} should be two pieces with one space between them.");
            }

            merges.Add(lines[i]);
        }

        return merges;
    }
}
