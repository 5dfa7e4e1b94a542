using MiniVlp.Kernels;

namespace MiniVlp.Models.Generation;

/// <summary>Draws the next token of a row from its scores: temperature, then the k likeliest, then the nucleus.</summary>
internal sealed class TokenSampler(GenerationOptions options, ulong seed)
{
    private double[] _weights = [];
    private int[] _candidates = [];

    /// <summary>Draws by (seed, row, sample, step) alone.</summary>
    /// <param name="scores">[vocabulary], -∞ where a token may not come; at least one is finite.</param>
    /// <param name="row">Number of the row.</param>
    /// <param name="sample">Number of the row's sample.</param>
    /// <param name="step">Number of tokens written so far.</param>
    public int Draw(ReadOnlySpan<float> scores, int row, int sample, int step)
    {
        (uint high, uint low, _, _) = Philox.Generate((uint)step, (uint)row, (uint)sample, 0, (uint)seed, (uint)(seed >> 32));
        return Draw(scores, (((ulong)high << 32 | low) >> 11) * (1.0 / (1UL << 53)));
    }

    /// <summary>The token at a uniform number in [0, 1) of the cumulated probabilities.</summary>
    internal int Draw(ReadOnlySpan<float> scores, double uniform)
    {
        double total = Weigh(scores);
        int count = Candidates(scores.Length, total);
        double left = 0;
        for (int i = 0; i < count; i++) left += _weights[_candidates[i]];
        double target = uniform * left;
        for (int i = 0; i < count; i++)
        {
            target -= _weights[_candidates[i]];
            if (target < 0) return _candidates[i];
        }

        return _candidates[count - 1];
    }

    /// <summary>e^((score - largest) / temperature) for each token; returns the sum.</summary>
    private double Weigh(ReadOnlySpan<float> scores)
    {
        if (_weights.Length < scores.Length) (_weights, _candidates) = (new double[scores.Length], new int[scores.Length]);
        float largest = float.NegativeInfinity;
        foreach (float score in scores) largest = Math.Max(largest, score);
        double total = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            _weights[i] = Math.Exp((scores[i] - largest) / options.Temperature);
            total += _weights[i];
        }

        if (!double.IsFinite(total)) throw new InvalidOperationException($"Generate: the largest logit is {largest} and the weights add up to {total}: the logits are not numbers.");

        return total;
    }

    /// <summary>Lists what may be drawn; returns how many. Only a cut needs an order: likeliest first, of equals the earlier.</summary>
    private int Candidates(int vocabulary, double total)
    {
        bool cut = options.TopK > 0 || options.TopP < 1;

        // All tokens below this weight together weigh less than 1 - p, so that none of them is in the nucleus.
        double floor = options.TopK > 0 ? KthLargest(vocabulary) : options.TopP < 1 ? (1.0 - options.TopP) * total / vocabulary : 0;
        int count = 0;
        for (int i = 0; i < vocabulary; i++)
            if (_weights[i] > 0 && _weights[i] >= floor) _candidates[count++] = i;
        if (!cut) return count;
        Span<int> candidates = _candidates.AsSpan(0, count);
        candidates.Sort((a, b) => _weights[a] != _weights[b] ? _weights[b].CompareTo(_weights[a]) : a.CompareTo(b));
        if (options.TopK > 0 && count > options.TopK)
        {
            count = options.TopK;
            candidates = candidates[..count];
        }

        if (options.TopP >= 1) return count;
        double all = options.TopK > 0 ? Sum(candidates) : total, sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += _weights[candidates[i]];
            if (sum >= options.TopP * all) return i + 1;
        }

        return count;
    }

    private double Sum(ReadOnlySpan<int> candidates)
    {
        double sum = 0;
        foreach (int candidate in candidates) sum += _weights[candidate];
        return sum;
    }

    private double KthLargest(int vocabulary)
    {
        if (options.TopK >= vocabulary) return 0;
        PriorityQueue<double, double> largest = new(options.TopK + 1);
        for (int i = 0; i < vocabulary; i++)
        {
            if (largest.Count < options.TopK) largest.Enqueue(_weights[i], _weights[i]);
            else if (_weights[i] > largest.Peek()) largest.EnqueueDequeue(_weights[i], _weights[i]);
        }

        return largest.Peek();
    }
}
