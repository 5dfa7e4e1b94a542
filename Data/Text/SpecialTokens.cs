using System.Buffers;

namespace MiniVlp.Data.Text;

/// <summary>Finds the special tokens that stand literally in a text, before any normalisation, as Hugging Face tokenizers do.</summary>
internal sealed class SpecialTokens
{
    // Objects, not tuples: LINQ and sorting over objects are compiled ahead in .NET, over a tuple at the start of every process.
    private readonly SpecialToken[] _tokens;
    private readonly SearchValues<string> _search;

    /// <param name="texts">Special tokens; those without an id are left out.</param>
    /// <param name="ids">The ids of all pieces.</param>
    public SpecialTokens(IEnumerable<string> texts, IReadOnlyDictionary<string, int> ids)
    {
        _tokens = [.. texts.Where(text => text.Length > 0 && ids.ContainsKey(text)).Select(text => new SpecialToken(text, ids[text]))];
        Array.Sort(_tokens, (a, b) => b.Text.Length.CompareTo(a.Text.Length));
        _search = SearchValues.Create(Array.ConvertAll(_tokens, token => token.Text), StringComparison.Ordinal);
        HashSet<int> set = [];
        foreach (SpecialToken token in _tokens) set.Add(token.Id);
        Ids = set;
    }

    public IReadOnlySet<int> Ids { get; }

    public IEnumerable<string> Texts => _tokens.OrderBy(token => token.Id).Select(token => token.Text);

    /// <summary>The first special token of the text: the leftmost, and the longest of those that start there.</summary>
    public bool TryFind(ReadOnlySpan<char> text, out int start, out int length, out int id)
    {
        start = text.IndexOfAny(_search);
        if (start >= 0)
        {
            foreach (SpecialToken token in _tokens)
            {
                if (text[start..].StartsWith(token.Text, StringComparison.Ordinal))
                {
                    length = token.Text.Length;
                    id = token.Id;
                    return true;
                }
            }
        }

        length = 0;
        id = 0;
        return false;
    }

    private sealed record SpecialToken(string Text, int Id);
}
