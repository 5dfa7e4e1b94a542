using System.Globalization;
using System.Text.Json;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Data.Text;

/// <summary>The fields of <c>tokenizer_config.json</c> that matter here; all of them may be absent.</summary>
internal sealed class TokenizerConfig
{
    private readonly JsonElement? _root;
    private readonly string _path;
    private readonly List<KeyValuePair<int, string>> _added = [];

    public TokenizerConfig(JsonElement? root, string path)
    {
        _root = root;
        _path = path;
        if (root is { ValueKind: not JsonValueKind.Object })
        {
            throw new InvalidDataException($"{path}: should be a json object, is {InputFile.Name(root.Value.ValueKind)}.");
        }

        if (Find("added_tokens_decoder") is { ValueKind: JsonValueKind.Object } decoder)
        {
            foreach (JsonProperty entry in decoder.EnumerateObject())
            {
                if (!int.TryParse(entry.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id))
                {
                    throw new InvalidDataException($"{path}: added_tokens_decoder: '{entry.Name}' is not an id.");
                }

                AddToken(id, InputFile.Field(entry.Value, "content", JsonValueKind.String, $"{path}: added_tokens_decoder.{id}").GetString()!);
            }
        }
    }

    public bool IsClip => Text("tokenizer_class")?.StartsWith("CLIP", StringComparison.Ordinal) == true;

    public void AddToken(int id, string text)
    {
        _added.RemoveAll(token => token.Key == id);
        _added.Add(KeyValuePair.Create(id, text));
    }

    /// <param name="vocabulary">The pieces.</param>
    /// <param name="fromTokenizerJson">What tokenizer.json says; it goes before tokenizer_config.json, as in transformers.</param>
    public TextTokenizer WordPiece(TokenizerVocabulary vocabulary, TokenizerSettings? fromTokenizerJson = null)
    {
        TokenizerSettings settings = fromTokenizerJson ?? TokenizerSettings.Bert() with
        {
            LowerCase = Flag("do_lower_case") ?? !HasUpperCase(vocabulary),
            StripAccents = Flag("strip_accents"),
            SplitCjk = Flag("tokenize_chinese_chars") ?? true,
        };
        settings = settings with
        {
            StartToken = Text("cls_token") ?? settings.StartToken,
            EndToken = Text("sep_token") ?? settings.EndToken,
            PadToken = Text("pad_token") ?? settings.PadToken,
            UnknownToken = Text("unk_token") ?? settings.UnknownToken,
            MaskToken = Text("mask_token") ?? settings.MaskToken,
            MaxLength = ModelMaxLength() ?? settings.MaxLength,
            AddedTokens = AddedTexts(),
        };
        return new WordPieceTextTokenizer(vocabulary.With(_added), settings);
    }

    public TextTokenizer Clip(TokenizerVocabulary vocabulary, IReadOnlyList<string> merges)
    {
        if (!vocabulary.Ids.Keys.Any(piece => piece.EndsWith(ClipTextTokenizer.EndOfWord, StringComparison.Ordinal)))
        {
            throw new InvalidDataException(
                $"{vocabulary.Source}: no piece ends in '{ClipTextTokenizer.EndOfWord}', so this is not a CLIP vocabulary; other byte-pair tokenizers are not supported.");
        }

        TokenizerSettings settings = TokenizerSettings.Clip();
        settings = settings with
        {
            StartToken = Text("bos_token") ?? settings.StartToken,
            EndToken = Text("eos_token") ?? settings.EndToken,
            PadToken = Text("pad_token") ?? settings.PadToken,
            UnknownToken = Text("unk_token") ?? settings.UnknownToken,
            MaxLength = ModelMaxLength() ?? settings.MaxLength,
            AddedTokens = AddedTexts(),
        };
        return new ClipTextTokenizer(vocabulary.With(_added), merges, settings);
    }

    private static bool HasUpperCase(TokenizerVocabulary vocabulary)
    {
        return vocabulary.Ids.Keys.Any(piece => !piece.StartsWith('[') && piece.Any(char.IsAsciiLetterUpper));
    }

    private List<string> AddedTexts()
    {
        List<string> texts = [.. _added.Select(token => token.Value)];
        if (Find("additional_special_tokens") is { ValueKind: JsonValueKind.Array } further)
        {
            texts.AddRange(further.EnumerateArray().Select(token => TokenText(token, "additional_special_tokens")));
        }

        return texts;
    }

    private int? ModelMaxLength()
    {
        // transformers writes 1e30 for "no limit".
        return Find("model_max_length") is { ValueKind: JsonValueKind.Number } length && length.TryGetInt32(out int value) && value >= 2 ? value : null;
    }

    private bool? Flag(string name)
    {
        return Find(name) switch
        {
            null or { ValueKind: JsonValueKind.Null } => null,
            { ValueKind: JsonValueKind.True } => true,
            { ValueKind: JsonValueKind.False } => false,
            { } other => throw new InvalidDataException($"{_path}: the field '{name}' should be true or false and is {InputFile.Name(other.ValueKind)}."),
        };
    }

    private string? Text(string name)
    {
        return Find(name) is { ValueKind: not JsonValueKind.Null } value ? TokenText(value, name) : null;
    }

    /// <summary>A token is a plain string or, in older files, an object with its text under "content".</summary>
    private string TokenText(JsonElement value, string name)
    {
        JsonElement text = value.ValueKind == JsonValueKind.Object
            ? InputFile.Field(value, "content", JsonValueKind.String, $"{_path}: {name}")
            : value;
        return text.ValueKind == JsonValueKind.String
            ? text.GetString()!
            : throw new InvalidDataException($"{_path}: the field '{name}' should be a string and is {InputFile.Name(text.ValueKind)}.");
    }

    private JsonElement? Find(string name)
    {
        return _root is { } root && root.TryGetProperty(name, out JsonElement value) ? value : null;
    }
}
