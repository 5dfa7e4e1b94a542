using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>Where the masked patches of a picture lie.</summary>
public enum PatchPattern
{
    /// <summary>Anywhere (MAE, arXiv:2111.06377; SimMIM).</summary>
    Random,

    /// <summary>In rectangles of random area and aspect ratio (BEiT, arXiv:2106.08254, algorithm 1).</summary>
    Blockwise,

    /// <summary>All but one of each square of patches, the same one in all squares (the grid of MAE's ablation).</summary>
    Grid,
}

/// <summary>Chooses the patches of a picture that a model has to predict: exactly <see cref="MaskedCount"/> of them.</summary>
/// <param name="Rows">Rows of patches.</param>
/// <param name="Columns">Columns of patches.</param>
/// <param name="MaskedCount">How many are masked, from 1 to all but one: 75 of 14 x 14 in BEiT, 147 in MAE.</param>
public sealed record PatchMasking(int Rows, int Columns, int MaskedCount)
{
    private const int BlockAttempts = 10;

    /// <summary>Where the masked patches lie.</summary>
    public PatchPattern Pattern { get; init; }

    /// <summary>Least area of a block in patches, as long as so many are still to be masked.</summary>
    public int SmallestBlock { get; init; } = 16;

    /// <summary>Height over width of a block lies between this, in (0, 1], and its reciprocal.</summary>
    public double LeastAspect { get; init; } = 0.3;

    /// <summary>A masking by share: what stays visible is ⌊patches (1 - ratio)⌋, as in MAE.</summary>
    /// <param name="rows">Rows of patches.</param>
    /// <param name="columns">Columns of patches.</param>
    /// <param name="ratio">Share that is masked: 0.75 in MAE.</param>
    public static PatchMasking OfRatio(int rows, int columns, double ratio) => new(rows, columns, (rows * columns) - (int)(rows * columns * (1 - ratio)));

    /// <summary>Draws the masks of a batch of pictures.</summary>
    /// <param name="batch">Number of pictures.</param>
    /// <param name="device">Where to put the masks; the CPU when null.</param>
    /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
    /// <param name="masked">Which pictures are masked at all, one for each; empty: all.</param>
    /// <returns>[batch, rows · columns]: 1 for a masked patch, 0 for a visible one.</returns>
    /// <exception cref="InvalidOperationException">An option is out of range, or no grid masks so many patches.</exception>
    /// <exception cref="ShapeException"><paramref name="masked"/> has another length.</exception>
    public IndexTensor Apply(int batch, Device? device = null, Generator? generator = null, ReadOnlySpan<bool> masked = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        if (!masked.IsEmpty && masked.Length != batch) throw new ShapeException($"PatchMasking: {masked.Length} pictures are said to be masked or not, but the batch has {batch}.");
        int period = CheckOptions();
        generator ??= Generator.Current;
        int patches = Rows * Columns;
        int[] masks = new int[batch * patches];
        for (int i = 0; i < batch; i++)
        {
            if (!masked.IsEmpty && !masked[i]) continue;
            Span<int> mask = masks.AsSpan(i * patches, patches);
            if (Pattern == PatchPattern.Random) DrawRandom(mask, generator);
            else if (Pattern == PatchPattern.Grid) DrawGrid(mask, period, generator);
            else DrawBlocks(mask, generator);
        }

        return IndexTensor.FromArray(masks, [batch, patches], device);
    }

    /// <returns>The side of the squares of a grid; 0 for other patterns.</returns>
    private int CheckOptions()
    {
        long patches = (long)Rows * Columns;
        if (Rows < 1 || Columns < 1 || MaskedCount < 1 || MaskedCount >= patches) throw new InvalidOperationException($"PatchMasking: of {Rows} x {Columns} patches 1 to all but one can be masked, found {MaskedCount}.");
        if (SmallestBlock < 1) throw new InvalidOperationException($"PatchMasking: SmallestBlock must be at least 1, found {SmallestBlock}.");
        if (!(LeastAspect is > 0 and <= 1)) throw new InvalidOperationException(FormattableString.Invariant($"PatchMasking: LeastAspect must lie in (0, 1], found {LeastAspect}."));
        if (Pattern != PatchPattern.Grid) return 0;
        for (int period = 2; period <= Math.Min(Rows, Columns); period++)
            if (Rows % period == 0 && Columns % period == 0 && patches - MaskedCount == patches / (period * period)) return period;
        throw new InvalidOperationException($"PatchMasking: no grid keeps {patches - MaskedCount} of {Rows} x {Columns} patches; with squares of 2 x 2, which both sides are multiples of, it keeps a quarter.");
    }

    /// <summary>The first places of a random order, exchanged one by one.</summary>
    private void DrawRandom(Span<int> mask, Generator generator)
    {
        int[] places = new int[mask.Length];
        for (int i = 0; i < places.Length; i++) places[i] = i;
        for (int i = 0; i < MaskedCount; i++)
        {
            int j = i + generator.Next(places.Length - i);
            (places[i], places[j]) = (places[j], places[i]);
            mask[places[i]] = 1;
        }
    }

    private void DrawGrid(Span<int> mask, int period, Generator generator)
    {
        int row = generator.Next(period), column = generator.Next(period);
        for (int i = 0; i < mask.Length; i++) mask[i] = i / Columns % period == row && i % Columns % period == column ? 0 : 1;
    }

    /// <summary>Blocks as long as one fits into what is still to be masked; the last few patches grow at the rim of the blocks.</summary>
    private void DrawBlocks(Span<int> mask, Generator generator)
    {
        int left = MaskedCount;
        for (int failures = 0; left > 0 && failures < BlockAttempts;)
        {
            int added = TryBlock(mask, left, generator);
            failures = added == 0 ? failures + 1 : 0;
            left -= added;
        }

        for (; left > 0; left--) GrowByOne(mask, generator);
    }

    /// <returns>How many patches a random block newly masks; 0 when it was not laid.</returns>
    private int TryBlock(Span<int> mask, int left, Generator generator)
    {
        double smallest = Math.Min(SmallestBlock, left), area = smallest + ((left - smallest) * generator.NextUniform());
        double aspect = Math.Exp(((2 * generator.NextUniform()) - 1) * Math.Log(LeastAspect));
        int height = Math.Max(1, (int)Math.Round(Math.Sqrt(area * aspect))), width = Math.Max(1, (int)Math.Round(Math.Sqrt(area / aspect)));
        if (height > Rows || width > Columns) return 0;
        int top = generator.Next(Rows - height + 1), first = generator.Next(Columns - width + 1), added = 0;
        for (int y = top; y < top + height; y++)
            foreach (int masked in mask.Slice((y * Columns) + first, width)) added += 1 - masked;
        if (added > left) return 0;
        for (int y = top; y < top + height; y++) mask.Slice((y * Columns) + first, width).Fill(1);
        return added;
    }

    /// <summary>Masks one visible patch that has a masked neighbour; any patch when none is masked yet.</summary>
    private void GrowByOne(Span<int> mask, Generator generator)
    {
        List<int> rim = [];
        for (int i = 0; i < mask.Length; i++)
        {
            if (mask[i] == 1) continue;
            int x = i % Columns;
            bool touches = (x > 0 && mask[i - 1] == 1) || (x < Columns - 1 && mask[i + 1] == 1) || (i >= Columns && mask[i - Columns] == 1) || (i + Columns < mask.Length && mask[i + Columns] == 1);
            if (touches) rim.Add(i);
        }

        mask[rim.Count > 0 ? rim[generator.Next(rim.Count)] : generator.Next(mask.Length)] = 1;
    }
}
