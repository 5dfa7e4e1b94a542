using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Columns of one group where rows are summed: neighbours in memory, so that a warp reads one line.</summary>
    private const int SummedColumns = 32;

    /// <summary>Columns of the blocks' sums that a group adds up: few, as there are more blocks than columns are long.</summary>
    private const int SumOfSumsColumns = 8;

    /// <summary>Groups of <see cref="NormGradientsKernel{TCentering}"/>: what a large device runs at once; not its own number, so that sums are the same everywhere.</summary>
    private const int NormGradientGroups = 264;

    /// <inheritdoc/>
    public void LayerNorm(DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        => Normalize<Centered>(x, weight, bias, epsilon, width, y, statistics);

    /// <inheritdoc/>
    public void LayerNormBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias)
        => NormalizeBackward<Centered>(x, weight, statistics, dy, width, dx, dweight, dbias);

    /// <inheritdoc/>
    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        => Normalize<Uncentered>(x, weight, default, epsilon, width, y, statistics);

    /// <inheritdoc/>
    public void RmsNormBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width, GradientTarget dx, GradientTarget dweight)
        => NormalizeBackward<Uncentered>(x, weight, statistics, dy, width, dx, dweight, default);

    private void Normalize<TCentering>(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        where TCentering : struct, ICentering
    {
        if (RowSlice.IsAligned(width, x, weight, bias, y)) Normalize<TCentering, AlignedRows>(x, weight, bias, epsilon, width, y, statistics);
        else Normalize<TCentering, RaggedRows>(x, weight, bias, epsilon, width, y, statistics);
    }

    private void Normalize<TCentering, TLayout>(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        where TCentering : struct, ICentering
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(statistics.Length / 2, width);
        Launch(new NormKernel<TCentering, TLayout>(
            Input(x), Input(weight), Input(bias), Output(y), TLayout.IsAligned ? CopyAhead(y) : default, Output(statistics), lanes, epsilon, width), lanes.Groups);
    }

    private void NormalizeBackward<TCentering>(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias)
        where TCentering : struct, ICentering
    {
        int rows = statistics.Length / 2;
        bool isForSums = dweight.IsNeeded || dbias.IsNeeded;
        if (dx.IsNeeded && isForSums && RowSlice.Lanes(rows, width).Count * RowSlice.Length >= width && RowSlice.IsAligned(width, x, weight, dy, dx.Buffer))
        {
            NormalizeBackwardAtOnce<TCentering>(x, weight, statistics, dy, width, dx, dweight, dbias);
            return;
        }

        if (dx.IsNeeded)
        {
            if (RowSlice.IsAligned(width, x, weight, dy, dx.Buffer)) NormalizeBackward<TCentering, AlignedRows>(x, weight, statistics, dy, width, dx);
            else NormalizeBackward<TCentering, RaggedRows>(x, weight, statistics, dy, width, dx);
        }

        if (!isForSums) return;
        int blocks = Math.Clamp(GroupCount(rows, 64), 1, 64);
        DeviceBuffer sums = Rent(2 * blocks * width);
        Launch(new NormSumsKernel(Input(x), Input(statistics), Input(dy), Output(sums), rows, width), GroupCount(width, SummedColumns), blocks);
        Launch(new NormSumOfSumsKernel(Input(sums), Target(dweight), Target(dbias), blocks, width), GroupCount(width, SumOfSumsColumns));
        Return(sums);
    }

    private void NormalizeBackwardAtOnce<TCentering>(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias)
        where TCentering : struct, ICentering
    {
        RowLanes lanes = RowSlice.Lanes(statistics.Length / 2, width);
        int groups = Math.Clamp(lanes.Groups, 1, NormGradientGroups);
        DeviceBuffer sums = Rent(2 * groups * width);
        Launch(new NormGradientsKernel<TCentering>(Input(x), Input(weight), Input(statistics), Input(dy), Target(dx), CopyAhead(dx.Buffer), Output(sums), lanes, width), groups);
        Launch(new NormSumOfSumsKernel(Input(sums), Target(dweight), Target(dbias), groups, width), GroupCount(width, SumOfSumsColumns));
        Return(sums);
    }

    private void NormalizeBackward<TCentering, TLayout>(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width, GradientTarget dx)
        where TCentering : struct, ICentering
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(statistics.Length / 2, width);
        Launch(new NormBackwardKernel<TCentering, TLayout>(Input(x), Input(weight), Input(statistics), Input(dy), Target(dx), lanes, width), lanes.Groups);
    }

    /// <summary>Whether a norm takes the mean out: a type and not a field, so that no barrier lies behind a condition, which PoCL gets wrong.</summary>
    internal interface ICentering
    {
        static abstract bool IsCentered { get; }
    }

    internal readonly struct Centered : ICentering
    {
        public static bool IsCentered => true;
    }

    internal readonly struct Uncentered : ICentering
    {
        public static bool IsCentered => false;
    }

    internal readonly record struct NormKernel<TCentering, TLayout>(
        ArrayView<float> X, ArrayView<float> Weight, ArrayView<float> Bias, ArrayView<float> Y, ArrayView<float> Copy, ArrayView<float> Statistics,
        RowLanes Lanes, float Epsilon, int Width) : IGpuKernel
        where TCentering : struct, ICentering
        where TLayout : struct, IRowLayout
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row;
            long start = (long)row * Width;
            RowPart first = RowPart.Of(Lanes, Width);
            RowSlice x = RowSlice.Load<TLayout>(X, start, first);
            float mean = 0f;
            if (TCentering.IsCentered)
            {
                float sum = x.Sum();
                for (RowPart part = first.Next; part.Exists; part = part.Next) sum += RowSlice.Load<TLayout>(X, start, part).Sum();
                mean = GroupReduction.Sum(shared, sum, Lanes.Count) / Width;

                // What rounding left in the mean, so that constant rows come out as exactly the bias.
                float rest = Difference(x, first, mean).Sum();
                for (RowPart part = first.Next; part.Exists; part = part.Next) rest += Difference(RowSlice.Load<TLayout>(X, start, part), part, mean).Sum();
                mean += GroupReduction.Sum(shared, rest, Lanes.Count) / Width;
            }

            x = Difference(x, first, mean);
            float squares = x.Dot(x);
            for (RowPart part = first.Next; part.Exists; part = part.Next)
            {
                RowSlice difference = Difference(RowSlice.Load<TLayout>(X, start, part), part, mean);
                squares += difference.Dot(difference);
            }

            float scale = 1f / MathF.Sqrt((GroupReduction.Sum(shared, squares, Lanes.Count) / Width) + Epsilon);
            if (row < Lanes.Rows && Lanes.Lane == 0)
            {
                Statistics[2L * row] = mean;
                Statistics[(2L * row) + 1] = scale;
            }

            Store(x * scale, start, first);
            for (RowPart part = first.Next; part.Exists; part = part.Next) Store(Difference(RowSlice.Load<TLayout>(X, start, part), part, mean) * scale, start, part);
        }

        /// <summary>x - mean; zeros stay where the row has ended.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static RowSlice Difference(RowSlice x, RowPart part, float mean) => TCentering.IsCentered ? (x - mean).Keep<TLayout>(part) : x;

        /// <summary>y = x̂ · weight + bias.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Store(RowSlice normalized, long start, RowPart part)
        {
            RowSlice y = normalized;
            if (Weight.Length > 0) y *= RowSlice.Load<TLayout>(Weight, 0, part);
            if (Bias.Length > 0) y += RowSlice.Load<TLayout>(Bias, 0, part);
            y.Store<TLayout>(Y, start, part);
            y.StoreCopy<TLayout>(Copy, start, part);
        }
    }

    internal readonly record struct NormBackwardKernel<TCentering, TLayout>(
        ArrayView<float> X, ArrayView<float> Weight, ArrayView<float> Statistics, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, int Width) : IGpuKernel
        where TCentering : struct, ICentering
        where TLayout : struct, IRowLayout
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(RowLanes.GroupSize);
            int row = Lanes.Row;
            long start = (long)row * Width;
            RowPart first = RowPart.Of(Lanes, Width);
            float mean = first.Exists ? Statistics[2L * row] : 0f, scale = first.Exists ? Statistics[(2L * row) + 1] : 0f;
            RowSlice x = Normalized(start, first, mean, scale), g = Scaled(start, first);
            float sum = g.Sum(), projection = g.Dot(x);
            for (RowPart part = first.Next; part.Exists; part = part.Next)
            {
                RowSlice scaled = Scaled(start, part);
                sum += scaled.Sum();
                projection += scaled.Dot(Normalized(start, part, mean, scale));
            }

            SumPair sums = GroupReduction.Sum(shared, new SumPair(sum, projection), Lanes.Count);
            float meanOfG = TCentering.IsCentered ? sums.First / Width : 0f, meanOfProjection = sums.Second / Width;
            ((g - meanOfG - (x * meanOfProjection)) * scale).Put<TLayout>(DX, start, first);
            for (RowPart part = first.Next; part.Exists; part = part.Next)
                ((Scaled(start, part) - meanOfG - (Normalized(start, part, mean, scale) * meanOfProjection)) * scale).Put<TLayout>(DX, start, part);
        }

        /// <summary>x̂; what it is where the row has ended does not matter, as g is zero there.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private RowSlice Normalized(long start, RowPart part, float mean, float scale) => (RowSlice.Load<TLayout>(X, start, part) - mean) * scale;

        /// <summary>g = dy · weight.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private RowSlice Scaled(long start, RowPart part)
        {
            RowSlice g = RowSlice.Load<TLayout>(DY, start, part);
            if (Weight.Length > 0) g *= RowSlice.Load<TLayout>(Weight, 0, part);
            return g;
        }
    }

    /// <summary>
    /// dx, and each group's Σ dy · x̂ and Σ dy over its rows, so that x and dy are read once: a thread adds up in registers what it has of every
    /// row. For rows that the threads of a row hold at once. Group g leaves its sums in row g of two tables [groups, width].
    /// </summary>
    internal readonly record struct NormGradientsKernel<TCentering>(
        ArrayView<float> X, ArrayView<float> Weight, ArrayView<float> Statistics, ArrayView<float> DY, GpuTarget DX, ArrayView<float> Copy, ArrayView<float> Sums, RowLanes Lanes, int Width) : IGpuKernel
        where TCentering : struct, ICentering
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(RowLanes.GroupSize);
            ArrayView<Float4> sharedColumns = SharedMemory.Allocate<Float4>(RowLanes.GroupSize);
            RowSlice weightSums = default, biasSums = default;
            int row = Lanes.Row, step = Grid.DimX * (RowLanes.GroupSize >> Lanes.Shift);
            for (int first = 0; first < Lanes.Rows; first += step, row += step)
            {
                RowPart part = new(Lanes.Lane, Lanes.Count, 0, row < Lanes.Rows ? Width : 0);
                long start = (long)row * Width;
                float mean = part.Exists ? Statistics[2L * row] : 0f, scale = part.Exists ? Statistics[(2L * row) + 1] : 0f;
                RowSlice x = (RowSlice.Load<AlignedRows>(X, start, part) - mean) * scale, g = RowSlice.Load<AlignedRows>(DY, start, part);
                weightSums += g * x;
                biasSums += g;
                if (Weight.Length > 0) g *= RowSlice.Load<AlignedRows>(Weight, 0, part);
                SumPair sums = GroupReduction.Sum(shared, new SumPair(g.Sum(), g.Dot(x)), Lanes.Count);
                float meanOfG = TCentering.IsCentered ? sums.First / Width : 0f, meanOfProjection = sums.Second / Width;
                RowSlice dx = (g - meanOfG - (x * meanOfProjection)) * scale;
                if (DX.Accumulate != 0) dx = RowSlice.Load<AlignedRows>(DX.View, start, part) + dx;
                dx.Store<AlignedRows>(DX.View, start, part);
                dx.StoreCopy<AlignedRows>(Copy, start, part);
            }

            weightSums = SumOfGroup(sharedColumns, weightSums);
            biasSums = SumOfGroup(sharedColumns, biasSums);
            RowPart columns = new(Lanes.Lane, Lanes.Count, 0, Group.IdxX < Lanes.Count ? Width : 0);
            weightSums.Store<AlignedRows>(Sums, (long)Grid.IdxX * Width, columns);
            biasSums.Store<AlignedRows>(Sums, (long)(Grid.DimX + Grid.IdxX) * Width, columns);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private RowSlice SumOfGroup(ArrayView<Float4> shared, RowSlice sums)
            => new(SumOfGroup(shared, sums.A), SumOfGroup(shared, sums.B), SumOfGroup(shared, sums.C), SumOfGroup(shared, sums.D));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private Float4 SumOfGroup(ArrayView<Float4> shared, Float4 sums) => GroupReduction.ReduceColumns<Float4, SumReduction>(shared, sums, Lanes.Count);
    }

    /// <summary>Σ dy · x̂ and Σ dy over one block of rows and some columns; block b leaves them in row b of two tables [blocks, width].</summary>
    internal readonly record struct NormSumsKernel(
        ArrayView<float> X, ArrayView<float> Statistics, ArrayView<float> DY, ArrayView<float> Sums, int Rows, int Width) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(GroupSize);
            int blocks = Grid.DimY, rowsPerBlock = (Rows + blocks - 1) / blocks, column = (Grid.IdxX * SummedColumns) + (Group.IdxX % SummedColumns);
            int first = Grid.IdxY * rowsPerBlock, end = Math.Min(Rows, first + rowsPerBlock);
            float weight = 0f, bias = 0f;
            if (column < Width)
            {
                for (int row = first + (Group.IdxX / SummedColumns); row < end; row += GroupSize / SummedColumns)
                {
                    long i = ((long)row * Width) + column;
                    float gradient = DY[i];
                    weight = MathF.FusedMultiplyAdd(gradient, (X[i] - Statistics[2L * row]) * Statistics[(2L * row) + 1], weight);
                    bias += gradient;
                }
            }

            SumPair sums = GroupReduction.ReduceColumns<SumPair, SumReduction>(shared, new SumPair(weight, bias), SummedColumns);
            if (Group.IdxX >= SummedColumns || column >= Width) return;
            Sums[(Grid.IdxY * Width) + column] = sums.First;
            Sums[((blocks + Grid.IdxY) * Width) + column] = sums.Second;
        }
    }

    /// <summary>dweight and dbias from the blocks' sums.</summary>
    internal readonly record struct NormSumOfSumsKernel(ArrayView<float> Sums, GpuTarget DWeight, GpuTarget DBias, int Blocks, int Width) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(GroupSize);
            int column = (Grid.IdxX * SumOfSumsColumns) + (Group.IdxX % SumOfSumsColumns);
            float weight = 0f, bias = 0f;
            if (column < Width)
            {
                for (int block = Group.IdxX / SumOfSumsColumns; block < Blocks; block += GroupSize / SumOfSumsColumns)
                {
                    weight += Sums[(block * Width) + column];
                    bias += Sums[((Blocks + block) * Width) + column];
                }
            }

            SumPair sums = GroupReduction.ReduceColumns<SumPair, SumReduction>(shared, new SumPair(weight, bias), SumOfSumsColumns);
            if (Group.IdxX >= SumOfSumsColumns || column >= Width) return;
            if (DWeight.IsNeeded) DWeight.Put(column, sums.First);
            if (DBias.IsNeeded) DBias.Put(column, sums.Second);
        }
    }
}
