using System.Text;
using Microsoft.ML.Tokenizers;

namespace MiniVlp.Data.Text;

/// <summary>
/// CLIP's byte-level byte-pair tokenizer. The merges are done by <see cref="BpeTokenizer"/>; normalisation (NFC, lower case) and the split
/// into words are done here: a .NET regular expression sees UTF-16 units, so its letter and number classes miss every supplementary
/// character, and NFC must not depend on the machine's ICU.
/// </summary>
internal sealed class ClipTextTokenizer : TextTokenizer
{
    public const string EndOfWord = "</w>";
    private static readonly string[] Contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    private static readonly Dictionary<char, byte> ByteOfSymbol = ByteSymbols();

    private readonly BpeTokenizer _bytePairs;
    private readonly IReadOnlyList<string> _merges;

    public ClipTextTokenizer(TokenizerVocabulary vocabulary, IReadOnlyList<string> merges, TokenizerSettings settings)
        : base(vocabulary, settings)
    {
        _merges = merges;
        BpeOptions options = new(vocabulary.Ids)
        {
            Merges = merges,
            ByteLevel = true,
            EndOfWordSuffix = EndOfWord,
            UnknownToken = settings.UnknownToken,
        };
        try
        {
            _bytePairs = BpeTokenizer.Create(options);
        }
        catch (Exception error) when (error is InvalidOperationException or ArgumentException or FormatException)
        {
            throw new InvalidDataException($"{vocabulary.Source}: the merges do not fit the vocabulary: {error.Message}", error);
        }
    }

    private protected override void EncodeText(ReadOnlySpan<char> text, List<int> ids, int limit)
    {
        List<int> clean = [];
        foreach (int codePoint in UnicodeNormalization.Compose(CodePoints.From(text)))
        {
            CodePoints.AppendLower(clean, codePoint);
        }

        StringBuilder word = new();
        int position = 0;
        while (position < clean.Count && ids.Count < limit)
        {
            int end = WordEnd(clean, position);
            if (!CodePoints.IsWhiteSpace(clean[position]))
            {
                for (int i = position; i < end; i++)
                {
                    CodePoints.AppendTo(word, clean[i]);
                }

                ids.AddRange(_bytePairs.EncodeToIds(word.ToString(), considerPreTokenization: false, considerNormalization: false));
                word.Clear();
            }

            position = end;
        }
    }

    private protected override string DecodePieces(List<int> ids)
    {
        List<byte> bytes = [];
        foreach (int id in ids)
        {
            string piece = Piece(id);
            bool endsWord = piece.EndsWith(EndOfWord, StringComparison.Ordinal);
            foreach (char symbol in endsWord ? piece.AsSpan(0, piece.Length - EndOfWord.Length) : piece)
            {
                if (ByteOfSymbol.TryGetValue(symbol, out byte value))
                {
                    bytes.Add(value);
                }
            }

            if (endsWord || SpecialIds.Contains(id))
            {
                bytes.Add((byte)' ');
            }
        }

        return Encoding.UTF8.GetString([.. bytes]).Trim(' ');
    }

    private protected override void SaveVocabulary(string directory)
    {
        TokenizerFiles.WriteVocabularyJson(Path.Combine(directory, "vocab.json"), Vocabulary);
        TokenizerFiles.WriteLines(Path.Combine(directory, "merges.txt"), ["#version: 0.2", .. _merges]);
    }

    /// <summary>
    /// One past the word that starts at <paramref name="start"/>, as CLIP's pattern cuts them:
    /// <c>'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+</c>.
    /// </summary>
    private static int WordEnd(List<int> text, int start)
    {
        int first = text[start];
        if (first == '\'')
        {
            foreach (string contraction in Contractions)
            {
                if (StartsWith(text, start, contraction))
                {
                    return start + contraction.Length;
                }
            }
        }

        if (CodePoints.IsNumber(first))
        {
            return start + 1;
        }

        Kind kind = KindOf(first);
        int end = start + 1;
        while (end < text.Count && KindOf(text[end]) == kind)
        {
            end++;
        }

        return end;
    }

    private static bool StartsWith(List<int> text, int start, string prefix)
    {
        if (text.Count - start < prefix.Length)
        {
            return false;
        }

        for (int i = 0; i < prefix.Length; i++)
        {
            if (text[start + i] != prefix[i])
            {
                return false;
            }
        }

        return true;
    }

    private static Kind KindOf(int codePoint)
    {
        return CodePoints.IsLetter(codePoint) ? Kind.Letter
            : CodePoints.IsNumber(codePoint) ? Kind.Number
            : CodePoints.IsWhiteSpace(codePoint) ? Kind.Space
            : Kind.Other;
    }

    /// <summary>The byte behind each symbol of a byte-level vocabulary: printable Latin-1 stands for itself, the rest from U+0100 on.</summary>
    private static Dictionary<char, byte> ByteSymbols()
    {
        Dictionary<char, byte> symbols = [];
        int next = 0x100;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE;
            symbols.Add(printable ? (char)value : (char)next++, (byte)value);
        }

        return symbols;
    }

    private enum Kind
    {
        Letter,
        Number,
        Space,
        Other,
    }
}
