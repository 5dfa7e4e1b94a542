namespace MiniVlp.Models.Generation;

/// <summary>A set of token sequences by their beginnings: which tokens may follow one.</summary>
internal sealed class AnswerTrie
{
    private readonly Node _root = new();

    public AnswerTrie(IReadOnlyList<IReadOnlyList<int>> sequences)
    {
        foreach (IReadOnlyList<int> sequence in sequences)
        {
            Node node = _root;
            foreach (int token in sequence)
            {
                if (!node.Next.TryGetValue(token, out Node? next)) node.Next.Add(token, next = new Node());
                node = next;
            }

            node.IsEnd = true;
        }
    }

    /// <summary>The tokens that may follow, and whether the sequence may end here; nothing behind a beginning that no sequence has.</summary>
    public (IReadOnlyCollection<int> Tokens, bool CanEnd) After(IReadOnlyList<int> beginning)
    {
        Node node = _root;
        foreach (int token in beginning)
        {
            if (!node.Next.TryGetValue(token, out Node? next)) return ([], false);
            node = next;
        }

        return (node.Next.Keys, node.IsEnd);
    }

    private sealed class Node
    {
        public Dictionary<int, Node> Next { get; } = [];

        public bool IsEnd { get; set; }
    }
}
