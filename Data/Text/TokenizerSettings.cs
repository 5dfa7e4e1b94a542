namespace MiniVlp.Data.Text;

/// <summary>What <c>tokenizer_config.json</c> or <c>tokenizer.json</c> says besides the vocabulary.</summary>
internal sealed record TokenizerSettings
{
    public required string ClassName { get; init; }

    public required string StartToken { get; init; }

    public required string EndToken { get; init; }

    public required string PadToken { get; init; }

    public required string UnknownToken { get; init; }

    public string? MaskToken { get; init; }

    public required int MaxLength { get; init; }

    public bool LowerCase { get; init; } = true;

    /// <summary>Null: as <see cref="LowerCase"/>.</summary>
    public bool? StripAccents { get; init; }

    public bool SplitCjk { get; init; } = true;

    public bool CleanText { get; init; } = true;

    public int MaxWordLength { get; init; } = 100;

    /// <summary>Further tokens that are matched literally.</summary>
    public IReadOnlyList<string> AddedTokens { get; init; } = [];

    public static TokenizerSettings Bert()
    {
        return new TokenizerSettings
        {
            ClassName = "BertTokenizer",
            StartToken = "[CLS]",
            EndToken = "[SEP]",
            PadToken = "[PAD]",
            UnknownToken = "[UNK]",
            MaskToken = "[MASK]",
            MaxLength = 512,
        };
    }

    public static TokenizerSettings Clip()
    {
        return new TokenizerSettings
        {
            ClassName = "CLIPTokenizer",
            StartToken = "<|startoftext|>",
            EndToken = "<|endoftext|>",
            PadToken = "<|endoftext|>",
            UnknownToken = "<|endoftext|>",
            MaxLength = 77,
        };
    }

    public IEnumerable<string> SpecialTokens()
    {
        IEnumerable<string?> all = [StartToken, EndToken, PadToken, UnknownToken, MaskToken, .. AddedTokens];
        return all.OfType<string>().Distinct(StringComparer.Ordinal);
    }
}
