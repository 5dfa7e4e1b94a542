namespace MiniVlp.Data.Metrics;

/// <summary>How often which class was taken for which: accuracy, and what answering without looking would get.</summary>
public sealed class ConfusionMatrix
{
    private readonly int[] _counts;

    /// <summary>Makes an empty matrix.</summary>
    /// <param name="classNames">The classes, at least one; a class's place is its number.</param>
    /// <exception cref="ArgumentException">There is no class.</exception>
    public ConfusionMatrix(IReadOnlyList<string> classNames)
    {
        ArgumentNullException.ThrowIfNull(classNames);
        if (classNames.Count == 0)
        {
            throw new ArgumentException("A confusion matrix needs at least one class.", nameof(classNames));
        }

        ClassNames = [.. classNames];
        _counts = new int[classNames.Count * classNames.Count];
    }

    /// <summary>The classes.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>Number of samples.</summary>
    public int Count { get; private set; }

    /// <summary>Share of samples whose class was found; 0 without samples.</summary>
    public double Accuracy => Count == 0 ? 0 : (double)Enumerable.Range(0, ClassNames.Count).Sum(i => this[i, i]) / Count;

    /// <summary>Accuracy of always answering the most frequent class of these samples; 0 without samples.</summary>
    public double Majority => Count == 0 ? 0 : (double)Enumerable.Range(0, ClassNames.Count).Max(CountOf) / Count;

    /// <summary>Accuracy of guessing: 1 / classes.</summary>
    public double Chance => 1.0 / ClassNames.Count;

    /// <summary>How many samples of class <paramref name="truth"/> were taken for <paramref name="predicted"/>.</summary>
    /// <param name="truth">The right class.</param>
    /// <param name="predicted">The answer.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such class.</exception>
    public int this[int truth, int predicted] => _counts[Index(truth, predicted)];

    /// <summary>Counts one sample.</summary>
    /// <param name="truth">The right class.</param>
    /// <param name="predicted">The answer.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such class.</exception>
    public void Add(int truth, int predicted)
    {
        _counts[Index(truth, predicted)]++;
        Count++;
    }

    /// <summary>Samples whose right class this is.</summary>
    /// <param name="truth">The class.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such class.</exception>
    public int CountOf(int truth) => Enumerable.Range(0, ClassNames.Count).Sum(predicted => this[truth, predicted]);

    private int Index(int truth, int predicted)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(truth);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(truth, ClassNames.Count);
        ArgumentOutOfRangeException.ThrowIfNegative(predicted);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(predicted, ClassNames.Count);
        return (truth * ClassNames.Count) + predicted;
    }
}
