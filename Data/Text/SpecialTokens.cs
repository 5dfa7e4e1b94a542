using System.Buffers;

namespace MiniVlp.Data.Text;

/// <summary>Finds the special tokens that stand literally in a text, before any normalisation, as Hugging Face tokenizers do.</summary>
internal sealed class SpecialTokens
{
    private readonly (string Text, int Id)[] _tokens;
    private readonly SearchValues<string> _search;

    public SpecialTokens(IEnumerable<KeyValuePair<string, int>> tokens)
    {
        _tokens = [.. tokens.Where(t => t.Key.Length > 0).Select(t => (t.Key, t.Value)).OrderByDescending(t => t.Key.Length)];
        _search = SearchValues.Create(_tokens.Select(t => t.Text).ToArray(), StringComparison.Ordinal);
        Ids = _tokens.Select(t => t.Id).ToHashSet();
    }

    public IReadOnlySet<int> Ids { get; }

    public IEnumerable<string> Texts => _tokens.OrderBy(t => t.Id).Select(t => t.Text);

    /// <summary>The first special token of the text: the leftmost, and the longest of those that start there.</summary>
    public bool TryFind(ReadOnlySpan<char> text, out int start, out int length, out int id)
    {
        start = text.IndexOfAny(_search);
        if (start >= 0)
        {
            foreach ((string token, int tokenId) in _tokens)
            {
                if (text[start..].StartsWith(token, StringComparison.Ordinal))
                {
                    length = token.Length;
                    id = tokenId;
                    return true;
                }
            }
        }

        length = 0;
        id = 0;
        return false;
    }
}
