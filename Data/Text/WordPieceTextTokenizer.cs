using System.Text;
using Microsoft.ML.Tokenizers;

namespace MiniVlp.Data.Text;

/// <summary>
/// BERT's tokenizer. Words are cut into pieces by <see cref="WordPieceTokenizer"/>; cleaning and splitting into words is done here, because
/// the library's BERT normaliser relies on <see cref="string.Normalize()"/> (a no-op under invariant globalization), lower-cases and splits
/// CJK by other rules than Hugging Face for supplementary characters, and counts a word's length in UTF-16 units instead of characters.
/// </summary>
internal sealed class WordPieceTextTokenizer : TextTokenizer
{
    private const string Continuation = "##";
    private static readonly string[] Contractions = ["n't", "'m", "'s", "'ve", "'re"];

    private readonly WordPieceTokenizer _wordPiece;

    public WordPieceTextTokenizer(TokenizerVocabulary vocabulary, TokenizerSettings settings)
        : base(vocabulary, settings)
    {
        using MemoryStream lines = new();
        using (StreamWriter writer = new(lines, new UTF8Encoding(false), leaveOpen: true))
        {
            for (int id = 0; id < vocabulary.Size; id++)
            {
                writer.Write(Reachable(vocabulary, id) ? vocabulary.Piece(id)! : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"\0{id}"));
                writer.Write('\n');
            }
        }

        lines.Position = 0;
        _wordPiece = WordPieceTokenizer.Create(lines, new WordPieceOptions
        {
            UnknownToken = settings.UnknownToken,
            ContinuingSubwordPrefix = Continuation,
            // Counted in UTF-16 units there (and as much stack is taken), in characters here.
            MaxInputCharsPerWord = 2 * settings.MaxWordLength,
        });
    }

    /// <summary>The words of a text: normalised, cut at white space and around every punctuation mark.</summary>
    public static IEnumerable<string> Words(string text, TokenizerSettings settings)
    {
        return Words(CodePoints.From(text), settings).Select(word => word.Text);
    }

    private protected override void EncodeText(ReadOnlySpan<char> text, List<int> ids, int limit)
    {
        foreach ((string word, int length) in Words(CodePoints.From(text), Settings))
        {
            if (length > Settings.MaxWordLength)
            {
                ids.Add(UnknownId);
            }
            else
            {
                ids.AddRange(_wordPiece.EncodeToIds(word, considerPreTokenization: false, considerNormalization: false));
            }

            if (ids.Count >= limit)
            {
                return;
            }
        }
    }

    private protected override string DecodePieces(List<int> ids)
    {
        StringBuilder text = new();
        foreach (int id in ids)
        {
            string piece = Piece(id);
            if (piece.StartsWith(Continuation, StringComparison.Ordinal))
            {
                text.Append(piece.AsSpan(Continuation.Length));
            }
            else
            {
                text.Append(text.Length > 0 ? " " : string.Empty).Append(piece);
            }
        }

        // Close up what the pre-tokenizer set apart, as the WordPiece decoder of Hugging Face does.
        foreach (char mark in ".?!,")
        {
            text.Replace($" {mark}", $"{mark}");
        }

        text.Replace(" ' ", "'");
        foreach (string contraction in Contractions)
        {
            text.Replace($" {contraction}", contraction);
        }

        return text.ToString();
    }

    private protected override void SaveVocabulary(string directory)
    {
        TokenizerFiles.WriteLines(Path.Combine(directory, "vocab.txt"), Enumerable.Range(0, Vocabulary.Size).Select(id => Vocabulary.Piece(id) ?? $"[unused-{id}]"));
    }

    /// <summary>
    /// A line of a vocabulary that no text can spell (a hole, an earlier double, a line break) is given to the library as a placeholder.
    /// </summary>
    private static bool Reachable(TokenizerVocabulary vocabulary, int id)
    {
        return vocabulary.Piece(id) is { Length: > 0 } piece && vocabulary.Ids[piece] == id && piece.AsSpan().IndexOfAny('\n', '\r') < 0;
    }

    private static List<int> Normalise(List<int> text, TokenizerSettings settings)
    {
        List<int> spaced = new(text.Count);
        foreach (int codePoint in text)
        {
            if (settings.CleanText && (codePoint is 0 or 0xFFFD || CodePoints.IsControl(codePoint)))
            {
                continue;
            }

            if (settings.SplitCjk && CodePoints.IsCjkIdeograph(codePoint))
            {
                spaced.Add(' ');
                spaced.Add(codePoint);
                spaced.Add(' ');
            }
            else
            {
                spaced.Add(settings.CleanText && CodePoints.IsWhiteSpace(codePoint) ? ' ' : codePoint);
            }
        }

        if (settings.StripAccents ?? settings.LowerCase)
        {
            spaced = UnicodeNormalization.Decompose(spaced);
            spaced.RemoveAll(CodePoints.IsNonSpacingMark);
        }

        if (!settings.LowerCase)
        {
            return spaced;
        }

        List<int> lower = new(spaced.Count);
        foreach (int codePoint in spaced)
        {
            CodePoints.AppendLower(lower, codePoint);
        }

        return lower;
    }

    private static IEnumerable<(string Text, int Length)> Words(List<int> text, TokenizerSettings settings)
    {
        StringBuilder word = new();
        int length = 0;
        foreach (int codePoint in Normalise(text, settings))
        {
            bool space = CodePoints.IsWhiteSpace(codePoint);
            bool alone = !space && CodePoints.IsPunctuation(codePoint);
            if (length > 0 && (space || alone))
            {
                yield return (word.ToString(), length);
                word.Clear();
                length = 0;
            }

            if (alone)
            {
                yield return (new Rune(codePoint).ToString(), 1);
            }
            else if (!space)
            {
                CodePoints.AppendTo(word, codePoint);
                length++;
            }
        }

        if (length > 0)
        {
            yield return (word.ToString(), length);
        }
    }
}
