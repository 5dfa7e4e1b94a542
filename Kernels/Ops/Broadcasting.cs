using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// How a small operand spreads over a full one, seen as [<paramref name="Outer"/>, <paramref name="Repeat"/>, <paramref name="Inner"/>]:
/// element (o, i) of the small one stands for the elements (o, r, i) of the full one, for every r. A row over a matrix has Outer 1, a
/// column has Inner 1, a single element has both, equal shapes have Repeat 1.
/// </summary>
/// <param name="Outer">Product of the leading axes that both have.</param>
/// <param name="Repeat">Product of the axes that the small operand lacks.</param>
/// <param name="Inner">Product of the trailing axes that both have.</param>
public readonly record struct Broadcast(int Outer, int Repeat, int Inner)
{
    /// <summary>Elements of the full operand.</summary>
    public int FullLength => Outer * Repeat * Inner;

    /// <summary>Elements of the small operand.</summary>
    public int SmallLength => Outer * Inner;

    /// <summary>Two operands of the same shape.</summary>
    public static Broadcast None(int length) => new(1, 1, length);
}

public partial interface IBackend
{
    /// <summary>small[o, i] = scale · Σᵣ full[o, r, i], written or accumulated as the target says; the order of summation is fixed.</summary>
    void SumMiddle(DeviceBuffer full, Broadcast layout, float scale, GradientTarget small);

    /// <summary>full[o, r, i] = scale · small[o, i] for every r, written or accumulated as the target says; the gradient of <see cref="SumMiddle"/>.</summary>
    void Spread(DeviceBuffer small, Broadcast layout, float scale, GradientTarget full);

    /// <summary>y[i] = scale · x[i] + offset, written or accumulated as the target says.</summary>
    void Affine(DeviceBuffer x, float scale, float offset, GradientTarget y);
}

/// <summary>One term per element of a full operand, from its index and the matching elements of the small operand.</summary>
internal interface IElementTerm
{
    static abstract bool UsesSmall { get; }

    static virtual bool IsVectorized => true;

    /// <summary>The terms of the elements from <paramref name="index"/> on.</summary>
    V At<V>(int index, V small)
        where V : unmanaged, ISimd<V>;
}

public sealed unsafe partial class CpuBackend
{
    /// <summary>Columns that one accumulator row of a reduction holds: 8 KiB, a quarter of the first-level cache.</summary>
    private const int ReductionTile = 2048;

    /// <summary>Upper limit of partial sums that a long axis is divided into.</summary>
    private const int MaxReductionBlocks = 64;

    /// <inheritdoc/>
    public void SumMiddle(DeviceBuffer full, Broadcast layout, float scale, GradientTarget small)
    {
        if (!small.IsNeeded) return;
        if (layout.Repeat == 1) Affine(full, scale, 0f, small);
        else Reduce(new ScaledTerm(Floats(full), scale), null, layout, small);
    }

    /// <inheritdoc/>
    public void Spread(DeviceBuffer small, Broadcast layout, float scale, GradientTarget full)
    {
        if (full.IsNeeded) Map(new SmallTerm(scale), Floats(small), layout, full);
    }

    /// <inheritdoc/>
    public void Affine(DeviceBuffer x, float scale, float offset, GradientTarget y)
    {
        if (y.IsNeeded) Map(new AffineTerm(Floats(x), scale, offset), null, Broadcast.None(x.Length), y);
    }

    /// <summary>full[o, r, i] = term(o, r, i), overwriting or accumulating.</summary>
    private void Map<TTerm>(TTerm term, float* small, Broadcast layout, GradientTarget full)
        where TTerm : unmanaged, IElementTerm
        => Run(new MapKernel<TTerm>(term, small, layout, Floats(full.Buffer), full.Accumulate), ChunkCount(layout.FullLength, ElementwiseGrain));

    /// <summary>target[o, i] = Σᵣ term(o, r, i): partial sums of blocks of r where there are many, then the sum of those.</summary>
    private void Reduce<TTerm>(TTerm term, float* small, Broadcast layout, GradientTarget target)
        where TTerm : unmanaged, IElementTerm
    {
        int tile = Math.Min(layout.Inner, ReductionTile);
        int blocks = (int)Math.Clamp((((long)layout.Repeat * tile) + ElementwiseGrain - 1) / ElementwiseGrain, 1, MaxReductionBlocks);
        if (blocks == 1)
        {
            ReduceBlocks(term, small, layout, 1, Floats(target.Buffer), target.Accumulate);
            return;
        }

        DeviceBuffer partial = Rent(layout.SmallLength * blocks);
        ReduceBlocks(term, small, layout, blocks, Floats(partial), accumulate: false);
        ReduceBlocks(new ScaledTerm(Floats(partial), 1f), null, layout with { Repeat = blocks }, 1, Floats(target.Buffer), target.Accumulate);
        Return(partial);
    }

    private void ReduceBlocks<TTerm>(TTerm term, float* small, Broadcast layout, int blocks, float* output, bool accumulate)
        where TTerm : unmanaged, IElementTerm
    {
        int tiles = Math.Max(1, ChunkCount(layout.Inner, ReductionTile));
        long work = Math.Max(1, (long)layout.Repeat * layout.Inner);
        int grouped = blocks == 1 && tiles == 1 ? (int)Math.Max(1, ElementwiseGrain / work) : 1;
        Run(
            new ReduceKernel<TTerm>(term, small, layout, blocks, tiles, grouped, output, accumulate),
            layout.Inner == 0 ? 0 : ChunkCount(layout.Outer, grouped) * blocks * tiles);
    }

    private readonly record struct MapKernel<TTerm>(TTerm Term, Pointer Small, Broadcast Layout, Pointer Output, bool Accumulate) : ICpuKernel
        where TTerm : unmanaged, IElementTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = (int)Math.Min(Layout.FullLength, start + (long)ElementwiseGrain);
            bool isColumn = Layout.Inner == 1;
            int run = isColumn ? Layout.Repeat : Layout.Inner;
            while (start < end)
            {
                int row = start / run, column = start - (row * run), count = Math.Min(end - start, run - column);
                if (isColumn) ExecuteRun<V>(start, count, TTerm.UsesSmall ? (float*)Small + row : null, isSame: true);
                else ExecuteRun<V>(start, count, TTerm.UsesSmall ? Small + (row / Layout.Repeat * Layout.Inner) + column : null, isSame: false);
                start += count;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void ExecuteRun<V>(int start, int count, float* small, bool isSame)
            where V : unmanaged, ISimd<V>
        {
            TTerm term = Term;
            float* output = Output;
            bool accumulate = Accumulate;
            int i = 0;
            if (TTerm.IsVectorized)
            {
                V same = TTerm.UsesSmall && isSame ? V.Create(*small) : V.Zero;
                for (; i <= count - V.Width; i += V.Width)
                {
                    V value = term.At(start + i, TTerm.UsesSmall && !isSame ? V.Load(small + i) : same);
                    V.Store(accumulate ? V.Load(output + start + i) + value : value, output + start + i);
                }
            }

            for (; i < count; i++)
            {
                float value = term.At(start + i, new SimdScalar(!TTerm.UsesSmall ? 0f : isSame ? *small : small[i])).Value;
                output[start + i] = accumulate ? output[start + i] + value : value;
            }
        }
    }

    /// <summary>A chunk is some outer indices whole, or one tile of columns of one block of rows of one outer index.</summary>
    private readonly record struct ReduceKernel<TTerm>(
        TTerm Term, Pointer Small, Broadcast Layout, int Blocks, int Tiles, int Grouped, Pointer Output, bool Accumulate) : ICpuKernel
        where TTerm : unmanaged, IElementTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int tile = chunk % Tiles, block = chunk / Tiles % Blocks, group = chunk / Tiles / Blocks;
            int rows = (Layout.Repeat + Blocks - 1) / Blocks, firstRow = Math.Min(Layout.Repeat, block * rows);
            rows = Math.Min(rows, Layout.Repeat - firstRow);
            int firstColumn = tile * ReductionTile, columns = Math.Min(ReductionTile, Layout.Inner - firstColumn);
            int lastOuter = Math.Min(Layout.Outer, (group + 1) * Grouped);
            for (int outer = group * Grouped; outer < lastOuter; outer++)
            {
                int full = (((outer * Layout.Repeat) + firstRow) * Layout.Inner) + firstColumn;
                float* small = TTerm.UsesSmall ? Small + (outer * Layout.Inner) + firstColumn : null;
                float* output = Output + (((outer * Blocks) + block) * Layout.Inner) + firstColumn;
                if (Layout.Inner == 1) SumRun<V>(full, rows, small, output);
                else SumRows<V>(full, rows, columns, small, output);
            }
        }

        /// <summary>One sum over neighbouring elements, gathered in double precision every 4096 of them.</summary>
        private void SumRun<V>(int start, int count, float* small, float* output)
            where V : unmanaged, ISimd<V>
        {
            const int Stretch = 4096;
            TTerm term = Term;
            float smallValue = TTerm.UsesSmall ? *small : 0f;
            V same = V.Create(smallValue);
            double total = 0;
            for (int first = 0; first < count; first += Stretch)
            {
                int end = start + Math.Min(count, first + Stretch), i = start + first;
                if (TTerm.IsVectorized)
                {
                    V a = V.Zero, b = V.Zero, c = V.Zero, d = V.Zero;
                    for (; i <= end - (4 * V.Width); i += 4 * V.Width)
                    {
                        a += term.At(i, same);
                        b += term.At(i + V.Width, same);
                        c += term.At(i + (2 * V.Width), same);
                        d += term.At(i + (3 * V.Width), same);
                    }

                    for (; i <= end - V.Width; i += V.Width) a += term.At(i, same);
                    total += V.Sum((a + b) + (c + d));
                }

                for (; i < end; i++) total += term.At(i, new SimdScalar(smallValue)).Value;
            }

            *output = Accumulate ? *output + (float)total : (float)total;
        }

        /// <summary>One sum per column, four rows at a time into an accumulator row that stays in the first-level cache.</summary>
        private void SumRows<V>(int start, int rows, int columns, float* small, float* output)
            where V : unmanaged, ISimd<V>
        {
            TTerm term = Term;
            int stride = Layout.Inner, row = 0;
            float* sums = ThreadScratch.Get(columns);
            new Span<float>(sums, columns).Clear();
            for (; row + 4 <= rows; row += 4)
            {
                int i = 0, at = start + (row * stride);
                if (TTerm.IsVectorized)
                {
                    for (; i <= columns - V.Width; i += V.Width)
                    {
                        V same = TTerm.UsesSmall ? V.Load(small + i) : V.Zero;
                        V pair = term.At(at + i, same) + term.At(at + stride + i, same);
                        V other = term.At(at + (2 * stride) + i, same) + term.At(at + (3 * stride) + i, same);
                        V.Store(V.Load(sums + i) + (pair + other), sums + i);
                    }
                }

                for (; i < columns; i++)
                {
                    SimdScalar same = new(TTerm.UsesSmall ? small[i] : 0f);
                    SimdScalar pair = term.At(at + i, same) + term.At(at + stride + i, same);
                    SimdScalar other = term.At(at + (2 * stride) + i, same) + term.At(at + (3 * stride) + i, same);
                    sums[i] += (pair + other).Value;
                }
            }

            for (; row < rows; row++)
            {
                int i = 0, at = start + (row * stride);
                if (TTerm.IsVectorized)
                {
                    for (; i <= columns - V.Width; i += V.Width)
                        V.Store(V.Load(sums + i) + term.At(at + i, TTerm.UsesSmall ? V.Load(small + i) : V.Zero), sums + i);
                }

                for (; i < columns; i++) sums[i] += term.At(at + i, new SimdScalar(TTerm.UsesSmall ? small[i] : 0f)).Value;
            }

            if (!Accumulate) new Span<float>(sums, columns).CopyTo(new Span<float>(output, columns));
            else for (int i = 0; i < columns; i++) output[i] += sums[i];
        }
    }

    private readonly record struct ScaledTerm(Pointer Full, float Scale) : IElementTerm
    {
        public static bool UsesSmall => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<V>(int index, V small)
            where V : unmanaged, ISimd<V>
            => V.Load(Full + index) * V.Create(Scale);
    }

    private readonly record struct SmallTerm(float Scale) : IElementTerm
    {
        public static bool UsesSmall => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<V>(int index, V small)
            where V : unmanaged, ISimd<V>
            => small * V.Create(Scale);
    }

    private readonly record struct AffineTerm(Pointer X, float Scale, float Offset) : IElementTerm
    {
        public static bool UsesSmall => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<V>(int index, V small)
            where V : unmanaged, ISimd<V>
            => V.FusedMultiplyAdd(V.Load(X + index), V.Create(Scale), V.Create(Offset));
    }
}
