using System.Text;

namespace MiniVlp.Data.Text;

/// <summary>Learns a WordPiece vocabulary from captions by joining the most frequent neighbouring pieces.</summary>
internal static class WordPieceVocabularyBuilder
{
    private const string Continuation = "##";
    private static readonly string[] Special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

    public static List<string> Build(IEnumerable<string> captions, int maxSize)
    {
        List<Word> words = CountWords(captions);
        List<string> vocabulary = [.. Special, .. FrequentCharacters(words, maxSize - Special.Length)];
        HashSet<string> known = new(vocabulary, StringComparer.Ordinal);
        PairTable pairs = new(words);
        while (vocabulary.Count < maxSize && pairs.TryTakeMostFrequent(out (string First, string Second) pair))
        {
            string joined = pair.First + pair.Second[Continuation.Length..];
            pairs.Join(pair, joined);
            if (known.Add(joined))
            {
                vocabulary.Add(joined);
            }
        }

        return vocabulary;
    }

    private static List<Word> CountWords(IEnumerable<string> captions)
    {
        Dictionary<string, long> counts = new(StringComparer.Ordinal);
        foreach (string caption in captions)
        {
            foreach (string word in WordPieceTextTokenizer.Words(caption, TokenizerSettings.Bert()))
            {
                counts[word] = counts.GetValueOrDefault(word) + 1;
            }
        }

        // Ordinal order, so that the order of the captions cannot matter.
        return [.. counts.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => new Word(Spell(c.Key), c.Value))];
    }

    private static List<string> Spell(string word)
    {
        List<string> pieces = [];
        foreach (Rune rune in word.EnumerateRunes())
        {
            pieces.Add(pieces.Count == 0 ? rune.ToString() : Continuation + rune.ToString());
        }

        return pieces;
    }

    private static IEnumerable<string> FrequentCharacters(List<Word> words, int room)
    {
        Dictionary<string, long> counts = new(StringComparer.Ordinal);
        foreach (Word word in words)
        {
            foreach (string piece in word.Pieces)
            {
                counts[piece] = counts.GetValueOrDefault(piece) + word.Count;
            }
        }

        return counts.OrderByDescending(c => c.Value).ThenBy(c => c.Key, StringComparer.Ordinal).Take(room)
            .Select(c => c.Key).Order(StringComparer.Ordinal);
    }

    private sealed record Word(List<string> Pieces, long Count);

    /// <summary>How often each pair of neighbours occurs, which words hold it, and a queue of pairs by count.</summary>
    private sealed class PairTable
    {
        private readonly List<Word> _words;
        private readonly Dictionary<(string First, string Second), (long Count, HashSet<int> Words)> _pairs = [];
        private readonly PriorityQueue<(string First, string Second), (long Count, string First, string Second)> _queue = new(new ByCount());

        public PairTable(List<Word> words)
        {
            _words = words;
            for (int index = 0; index < words.Count; index++)
            {
                AddPairs(index, 1, []);
            }

            foreach ((string First, string Second) pair in _pairs.Keys)
            {
                Enqueue(pair);
            }
        }

        public bool TryTakeMostFrequent(out (string First, string Second) pair)
        {
            while (_queue.TryDequeue(out pair, out (long Count, string First, string Second) priority))
            {
                // Entries are not updated in place: one whose count has changed since is stale, its successor stands elsewhere in the queue.
                if (_pairs.TryGetValue(pair, out (long Count, HashSet<int> Words) entry) && entry.Count == priority.Count && entry.Count >= 2)
                {
                    return true;
                }
            }

            return false;
        }

        public void Join((string First, string Second) pair, string joined)
        {
            HashSet<(string First, string Second)> touched = [];
            foreach (int index in _pairs[pair].Words.ToArray())
            {
                AddPairs(index, -1, touched);
                List<string> pieces = _words[index].Pieces;
                for (int i = 0; i + 1 < pieces.Count; i++)
                {
                    if (pieces[i] == pair.First && pieces[i + 1] == pair.Second)
                    {
                        pieces[i] = joined;
                        pieces.RemoveAt(i + 1);
                    }
                }

                AddPairs(index, 1, touched);
            }

            foreach ((string First, string Second) changed in touched)
            {
                Enqueue(changed);
            }
        }

        private void AddPairs(int index, int sign, HashSet<(string First, string Second)> touched)
        {
            Word word = _words[index];
            for (int i = 0; i + 1 < word.Pieces.Count; i++)
            {
                (string, string) pair = (word.Pieces[i], word.Pieces[i + 1]);
                (long count, HashSet<int>? holders) = _pairs.GetValueOrDefault(pair);
                holders ??= [];
                if (sign > 0)
                {
                    holders.Add(index);
                }
                else
                {
                    holders.Remove(index);
                }

                _pairs[pair] = (count + (sign * word.Count), holders);
                touched.Add(pair);
            }
        }

        private void Enqueue((string First, string Second) pair)
        {
            long count = _pairs[pair].Count;
            if (count >= 2)
            {
                _queue.Enqueue(pair, (count, pair.First, pair.Second));
            }
        }
    }

    /// <summary>Most frequent first; equal counts in ordinal order, so that the result is the same on every machine.</summary>
    private sealed class ByCount : IComparer<(long Count, string First, string Second)>
    {
        public int Compare((long Count, string First, string Second) x, (long Count, string First, string Second) y)
        {
            int order = y.Count.CompareTo(x.Count);
            order = order != 0 ? order : string.CompareOrdinal(x.First, y.First);
            return order != 0 ? order : string.CompareOrdinal(x.Second, y.Second);
        }
    }
}
