using System.Net;

namespace MiniVlp.Data.Text;

/// <summary>
/// Turns text into the token ids of a pretrained model and back, id for id as Hugging Face's fast tokenizers do: WordPiece (BERT; Devlin
/// et al. 2018, arXiv 1810.04805) or CLIP's byte-level byte-pair encoding (Radford et al. 2021, arXiv 2103.00020). Thread-safe.
/// </summary>
public abstract class TextTokenizer
{
    private readonly SpecialTokens _special;
    private bool _unescapeHtml;

    private protected TextTokenizer(TokenizerVocabulary vocabulary, TokenizerSettings settings)
    {
        Vocabulary = vocabulary;
        Settings = settings;
        StartId = vocabulary.Require(settings.StartToken, "start");
        EndId = vocabulary.Require(settings.EndToken, "end");
        PadId = vocabulary.Require(settings.PadToken, "padding");
        UnknownId = vocabulary.Require(settings.UnknownToken, "unknown");
        MaskId = settings.MaskToken is { } mask && vocabulary.Ids.TryGetValue(mask, out int maskId) ? maskId : null;
        _special = new SpecialTokens(settings.SpecialTokens(), vocabulary.Ids);
    }

    /// <summary>Number of ids: every id is in [0, VocabularySize).</summary>
    public int VocabularySize => Vocabulary.Size;

    /// <summary>Id that every encoded text starts with: <c>[CLS]</c> or <c>&lt;|startoftext|&gt;</c>.</summary>
    public int StartId { get; }

    /// <summary>Id that every encoded text ends with, truncated or not: <c>[SEP]</c> or <c>&lt;|endoftext|&gt;</c>.</summary>
    public int EndId { get; }

    /// <summary>Id that fills a batch: <c>[PAD]</c>; CLIP pads with its end token.</summary>
    public int PadId { get; }

    /// <summary>Id of what the vocabulary cannot spell: <c>[UNK]</c>; CLIP names its end token.</summary>
    public int UnknownId { get; }

    /// <summary>Id of <c>[MASK]</c>; null where the vocabulary has none.</summary>
    public int? MaskId { get; }

    /// <summary>The ids that stand for no text: start, end, padding, unknown, mask and added special tokens.</summary>
    public IReadOnlySet<int> SpecialIds => _special.Ids;

    /// <summary>Longest sequence of the model, special tokens included: 77 for CLIP, 512 for BERT, or what <c>tokenizer_config.json</c> says.</summary>
    public int MaxLength => Settings.MaxLength;

    private protected TokenizerVocabulary Vocabulary { get; }

    private protected TokenizerSettings Settings { get; }

    private protected IReadOnlyCollection<string> SpecialTexts => [.. _special.Texts];

    /// <summary>
    /// Loads the tokenizer of a Hugging Face folder: <c>tokenizer.json</c>, or <c>vocab.txt</c> (WordPiece), or <c>vocab.json</c> with
    /// <c>merges.txt</c> (CLIP), and <c>tokenizer_config.json</c> where present. Without a configuration a WordPiece vocabulary counts as
    /// cased when one of its pieces holds an upper-case letter.
    /// </summary>
    /// <param name="directory">The model folder.</param>
    /// <param name="unescapeHtml">
    /// Decodes HTML entities twice before anything else, as OpenAI's original CLIP code does and Hugging Face does not.
    /// </param>
    /// <exception cref="FileNotFoundException">The folder holds none of these files.</exception>
    /// <exception cref="InvalidDataException">A file is damaged or describes another kind of tokenizer; the message names file and field.</exception>
    public static TextTokenizer FromPretrained(string directory, bool unescapeHtml = false)
    {
        TextTokenizer tokenizer = TokenizerFiles.Load(directory);
        tokenizer._unescapeHtml = unescapeHtml;
        return tokenizer;
    }

    /// <summary>Makes a WordPiece tokenizer (lower case, accents stripped) from a vocabulary such as <see cref="BuildVocabulary"/> gives.</summary>
    /// <param name="pieces">Pieces in the order of their ids, with <c>[PAD]</c>, <c>[UNK]</c>, <c>[CLS]</c> and <c>[SEP]</c> among them.</param>
    /// <param name="specialTokens">Further special tokens, such as BLIP's <c>[DEC]</c> and <c>[ENC]</c>; those that are no pieces yet get the next ids.</param>
    /// <exception cref="InvalidDataException">A special token is missing.</exception>
    public static TextTokenizer FromVocabulary(IReadOnlyList<string> pieces, params IReadOnlyList<string> specialTokens)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        ArgumentNullException.ThrowIfNull(specialTokens);
        string[] all = [.. pieces, .. specialTokens.Except(pieces, StringComparer.Ordinal)];
        return new WordPieceTextTokenizer(new TokenizerVocabulary(all, "vocabulary"), TokenizerSettings.Bert() with { AddedTokens = [.. specialTokens] });
    }

    /// <summary>
    /// Builds a WordPiece vocabulary from captions, so that training from scratch needs no download: special tokens, the characters seen,
    /// then the most frequent joins of neighbouring pieces (Sennrich et al. 2016, arXiv 1508.07909). The same captions in any order give
    /// the same vocabulary.
    /// </summary>
    /// <param name="captions">The texts to be spelled; read once.</param>
    /// <param name="maxSize">Most pieces to return, at least 16; fewer when no further join occurs twice.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxSize"/> is below 16.</exception>
    public static IReadOnlyList<string> BuildVocabulary(IEnumerable<string> captions, int maxSize)
    {
        ArgumentNullException.ThrowIfNull(captions);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxSize, 16);
        return WordPieceVocabularyBuilder.Build(captions, maxSize);
    }

    /// <summary>The ids of a text: start token, pieces, end token; cut to <paramref name="maxLength"/> so that the end token stays.</summary>
    /// <param name="text">Any text; special tokens that it spells out literally (<c>[MASK]</c>) become their ids.</param>
    /// <param name="maxLength">Most ids to return, at least 2.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxLength"/> is below 2.</exception>
    public int[] Encode(string text, int maxLength)
    {
        List<int> ids = [];
        EncodeInto(text, maxLength, ids);
        return [.. ids];
    }

    /// <summary>The ids of a text, cut to <see cref="MaxLength"/>.</summary>
    /// <param name="text">Any text.</param>
    public int[] Encode(string text)
    {
        return Encode(text, MaxLength);
    }

    /// <summary>
    /// The ids of two texts in one sequence, <c>[CLS] first [SEP] second [SEP]</c>, and their type ids (0 and 1). What is too long is cut
    /// from the longer text first.
    /// </summary>
    /// <param name="first">The first text.</param>
    /// <param name="second">The second text.</param>
    /// <param name="maxLength">Most ids to return, at least 3.</param>
    /// <exception cref="NotSupportedException">The tokenizer is not BERT's.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxLength"/> is below 3.</exception>
    public (int[] Ids, int[] TypeIds) EncodePair(string first, string second, int maxLength)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, 3);
        if (this is not WordPieceTextTokenizer)
        {
            throw new NotSupportedException("Only BERT's tokenizer encodes two texts in one sequence.");
        }

        List<int> firstIds = [];
        List<int> secondIds = [];
        EncodePieces(first, firstIds, int.MaxValue);
        EncodePieces(second, secondIds, int.MaxValue);
        (int keepFirst, int keepSecond) = LongestFirst(firstIds.Count, secondIds.Count, maxLength - 3);
        int[] ids = [StartId, .. firstIds[..keepFirst], EndId, .. secondIds[..keepSecond], EndId];
        int[] types = new int[ids.Length];
        types.AsSpan(keepFirst + 2).Fill(1);
        return (ids, types);
    }

    /// <summary>
    /// The ids of several texts as a row-major array [<c>texts.Count</c>, <paramref name="length"/>], cut or padded with
    /// <see cref="PadId"/>, and the attention mask of the same shape (1 for a token, 0 for padding).
    /// </summary>
    /// <param name="texts">The texts, one row each.</param>
    /// <param name="length">Ids per row, at least 2.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is below 2.</exception>
    public (int[] Ids, int[] AttentionMask) EncodeBatch(IReadOnlyList<string> texts, int length)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        int[] ids = new int[checked(texts.Count * length)];
        int[] mask = new int[ids.Length];
        EncodeBatch(texts, length, ids, mask);
        return (ids, mask);
    }

    /// <summary>As <see cref="EncodeBatch(IReadOnlyList{string}, int)"/>, into memory of the caller.</summary>
    /// <param name="texts">The texts, one row each.</param>
    /// <param name="length">Ids per row, at least 2.</param>
    /// <param name="ids">Receives <c>texts.Count * length</c> ids; may be longer.</param>
    /// <param name="attentionMask">Receives as many mask values; may be longer.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is below 2.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void EncodeBatch(IReadOnlyList<string> texts, int length, Span<int> ids, Span<int> attentionMask)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        long needed = (long)texts.Count * length;
        if (ids.Length < needed || attentionMask.Length < needed)
        {
            throw new ArgumentException(
                $"{texts.Count} texts of {length} ids need {needed} places; ids has {ids.Length}, attentionMask {attentionMask.Length}.", nameof(ids));
        }

        List<int> row = [];
        for (int i = 0; i < texts.Count; i++)
        {
            row.Clear();
            EncodeInto(texts[i], length, row);
            Span<int> rowIds = ids.Slice(i * length, length);
            Span<int> rowMask = attentionMask.Slice(i * length, length);
            row.CopyTo(rowIds);
            rowIds[row.Count..].Fill(PadId);
            rowMask[..row.Count].Fill(1);
            rowMask[row.Count..].Clear();
        }
    }

    /// <summary>The pieces of a text with their ids, start and end token included, not truncated.</summary>
    /// <param name="text">Any text.</param>
    public IReadOnlyList<TextToken> Tokens(string text)
    {
        return [.. Encode(text, int.MaxValue).Select(id => new TextToken(Piece(id), id))];
    }

    /// <summary>The piece of an id, as the vocabulary spells it.</summary>
    /// <param name="id">In [0, <see cref="VocabularySize"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">The id is outside the vocabulary.</exception>
    public string Piece(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        return Vocabulary.Piece(id) ?? string.Empty;
    }

    /// <summary>The id of a piece as the vocabulary spells it, or null.</summary>
    /// <param name="piece">A piece such as <c>##ing</c>.</param>
    public int? IdOf(string piece)
    {
        ArgumentNullException.ThrowIfNull(piece);
        return Vocabulary.Ids.TryGetValue(piece, out int id) ? id : null;
    }

    /// <summary>The text of a sequence of ids; what normalisation took away (case, accents, spacing) does not come back.</summary>
    /// <param name="ids">Token ids.</param>
    /// <param name="skipSpecialTokens">Leaves out special tokens, <c>[UNK]</c> among them.</param>
    /// <exception cref="ArgumentOutOfRangeException">An id is outside the vocabulary.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        List<int> kept = new(ids.Length);
        foreach (int id in ids)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(id, nameof(ids));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize, nameof(ids));
            if (!skipSpecialTokens || !_special.Ids.Contains(id))
            {
                kept.Add(id);
            }
        }

        return DecodePieces(kept);
    }

    /// <summary>
    /// Writes the vocabulary and <c>tokenizer_config.json</c> in the form that <c>transformers</c> and <see cref="FromPretrained"/> read.
    /// </summary>
    /// <param name="directory">The model folder; made when absent.</param>
    public void Save(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        Directory.CreateDirectory(directory);
        SaveVocabulary(directory);
        TokenizerFiles.WriteConfig(directory, Settings, SpecialTexts);
    }

    /// <summary>Appends the ids of a stretch of text without special tokens, stopping once <paramref name="limit"/> are there.</summary>
    private protected abstract void EncodeText(ReadOnlySpan<char> text, List<int> ids, int limit);

    private protected abstract string DecodePieces(List<int> ids);

    private protected abstract void SaveVocabulary(string directory);

    private static (int First, int Second) LongestFirst(int first, int second, int room)
    {
        if ((long)first + second <= room)
        {
            return (first, second);
        }

        // Half each, the odd place to the longer text; a text shorter than its half leaves the rest to the other.
        int shorter = Math.Min(first, second);
        int keepShorter = Math.Min(shorter, room / 2);
        int keepLonger = room - keepShorter;
        return first <= second ? (keepShorter, keepLonger) : (keepLonger, keepShorter);
    }

    private void EncodeInto(string text, int maxLength, List<int> ids)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, 2);
        ids.Add(StartId);
        EncodePieces(text, ids, maxLength - 1);
        if (ids.Count > maxLength - 1)
        {
            ids.RemoveRange(maxLength - 1, ids.Count - (maxLength - 1));
        }

        ids.Add(EndId);
    }

    private void EncodePieces(string text, List<int> ids, int limit)
    {
        ArgumentNullException.ThrowIfNull(text);
        ReadOnlySpan<char> rest = _unescapeHtml ? WebUtility.HtmlDecode(WebUtility.HtmlDecode(text)) : text;
        while (ids.Count < limit && _special.TryFind(rest, out int start, out int length, out int id))
        {
            EncodeText(rest[..start], ids, limit);
            ids.Add(id);
            rest = rest[(start + length)..];
        }

        if (ids.Count < limit)
        {
            EncodeText(rest, ids, limit);
        }
    }
}
