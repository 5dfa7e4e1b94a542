namespace MiniVlp.Data.Text;

/// <summary>The pieces of a tokenizer by id, its special tokens, and what <c>tokenizer_config.json</c> says about them.</summary>
internal sealed class TokenizerVocabulary
{
    private readonly string?[] _pieces;
    private readonly Dictionary<string, int> _ids;

    /// <param name="pieces">Pieces by id; null where no piece has that id.</param>
    /// <param name="source">The file, for messages.</param>
    public TokenizerVocabulary(string?[] pieces, string source)
    {
        _pieces = pieces;
        Source = source;
        _ids = new Dictionary<string, int>(pieces.Length, StringComparer.Ordinal);
        for (int id = 0; id < pieces.Length; id++)
        {
            if (pieces[id] is { } piece)
            {
                // A piece listed twice keeps its last id, as a Python dict filled from the file would.
                _ids[piece] = id;
            }
        }
    }

    public string Source { get; }

    public int Size => _pieces.Length;

    public IReadOnlyDictionary<string, int> Ids => _ids;

    public string? Piece(int id)
    {
        return (uint)id < (uint)_pieces.Length ? _pieces[id] : null;
    }

    /// <summary>The id of a piece that the tokenizer cannot do without.</summary>
    public int Require(string piece, string role)
    {
        return _ids.TryGetValue(piece, out int id)
            ? id
            : throw new InvalidDataException($"{Source}: the vocabulary of {Size} pieces has no '{piece}', which is the {role} token.");
    }

    /// <summary>The same vocabulary with further pieces at given ids (the added tokens of a configuration).</summary>
    public TokenizerVocabulary With(IEnumerable<KeyValuePair<int, string>> added)
    {
        List<string?> pieces = [.. _pieces];
        foreach ((int id, string piece) in added)
        {
            if (id < 0 || id > pieces.Count + 100_000)
            {
                throw new InvalidDataException($"{Source}: the added token '{piece}' has id {id}, far outside a vocabulary of {pieces.Count} pieces.");
            }

            while (pieces.Count <= id)
            {
                pieces.Add(null);
            }

            pieces[id] = piece;
        }

        return new TokenizerVocabulary([.. pieces], Source);
    }
}
