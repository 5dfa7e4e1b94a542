using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Columns of one group where rows are summed: neighbours in memory, so that a warp reads one line.</summary>
    private const int SummedColumns = 32;

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
        RowLanes lanes = RowLanes.For(statistics.Length / 2, width);
        Launch(new NormKernel<TCentering>(Input(x), Input(weight), Input(bias), Output(y), Output(statistics), lanes, epsilon, width), lanes.Groups);
    }

    private void NormalizeBackward<TCentering>(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias)
        where TCentering : struct, ICentering
    {
        int rows = statistics.Length / 2;
        if (dx.IsNeeded)
        {
            RowLanes lanes = RowLanes.For(rows, width);
            Launch(new NormBackwardKernel<TCentering>(Input(x), Input(weight), Input(statistics), Input(dy), Target(dx), lanes, width), lanes.Groups);
        }

        if (!dweight.IsNeeded && !dbias.IsNeeded) return;
        int blocks = Math.Clamp(GroupCount(rows, 64), 1, 64), columnGroups = GroupCount(width, SummedColumns);
        DeviceBuffer sums = Rent(2 * blocks * width);
        Launch(new NormSumsKernel(Input(x), Input(statistics), Input(dy), Output(sums), rows, width), columnGroups, blocks);
        Launch(new NormSumOfSumsKernel(Input(sums), Target(dweight), Target(dbias), blocks, width), columnGroups);
        Return(sums);
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

    internal readonly record struct NormKernel<TCentering>(
        ArrayView<float> X, ArrayView<float> Weight, ArrayView<float> Bias, ArrayView<float> Y, ArrayView<float> Statistics,
        RowLanes Lanes, float Epsilon, int Width) : IGpuKernel
        where TCentering : struct, ICentering
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Width : 0;
            long start = (long)row * Width;
            float mean = 0f;
            if (TCentering.IsCentered)
            {
                float sum = 0f, rest = 0f;
                for (int i = lane; i < end; i += Lanes.Count) sum += X[start + i];
                mean = GroupReduction.Sum(shared, sum, Lanes.Count) / Width;
                // What rounding left in the mean, so that constant rows come out as exactly the bias.
                for (int i = lane; i < end; i += Lanes.Count) rest += X[start + i] - mean;
                mean += GroupReduction.Sum(shared, rest, Lanes.Count) / Width;
            }

            float squares = 0f;
            for (int i = lane; i < end; i += Lanes.Count)
            {
                float difference = X[start + i] - mean;
                squares = MathF.FusedMultiplyAdd(difference, difference, squares);
            }

            float scale = 1f / MathF.Sqrt((GroupReduction.Sum(shared, squares, Lanes.Count) / Width) + Epsilon);
            if (row < Lanes.Rows && lane == 0)
            {
                Statistics[2L * row] = mean;
                Statistics[(2L * row) + 1] = scale;
            }

            for (int i = lane; i < end; i += Lanes.Count)
            {
                float value = (X[start + i] - mean) * scale;
                if (Weight.Length > 0) value *= Weight[i];
                if (Bias.Length > 0) value += Bias[i];
                Y[start + i] = value;
            }
        }
    }

    internal readonly record struct NormBackwardKernel<TCentering>(
        ArrayView<float> X, ArrayView<float> Weight, ArrayView<float> Statistics, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, int Width) : IGpuKernel
        where TCentering : struct, ICentering
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Width : 0;
            long start = (long)row * Width;
            float mean = end > 0 ? Statistics[2L * row] : 0f, scale = end > 0 ? Statistics[(2L * row) + 1] : 0f, sum = 0f, projection = 0f;
            for (int i = lane; i < end; i += Lanes.Count)
            {
                float g = Scaled(start, i);
                sum += g;
                projection = MathF.FusedMultiplyAdd(g, (X[start + i] - mean) * scale, projection);
            }

            SumPair sums = GroupReduction.Sum(shared, new SumPair(sum, projection), Lanes.Count);
            float meanOfG = TCentering.IsCentered ? sums.First / Width : 0f, meanOfProjection = sums.Second / Width;
            for (int i = lane; i < end; i += Lanes.Count)
                DX.Put(start + i, (Scaled(start, i) - meanOfG - ((X[start + i] - mean) * scale * meanOfProjection)) * scale);
        }

        /// <summary>g = dy · weight.</summary>
        private float Scaled(long start, int i) => Weight.Length > 0 ? DY[start + i] * Weight[i] : DY[start + i];
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
            int column = (Grid.IdxX * SummedColumns) + (Group.IdxX % SummedColumns);
            float weight = 0f, bias = 0f;
            if (column < Width)
            {
                for (int block = Group.IdxX / SummedColumns; block < Blocks; block += GroupSize / SummedColumns)
                {
                    weight += Sums[(block * Width) + column];
                    bias += Sums[((Blocks + block) * Width) + column];
                }
            }

            SumPair sums = GroupReduction.ReduceColumns<SumPair, SumReduction>(shared, new SumPair(weight, bias), SummedColumns);
            if (Group.IdxX >= SummedColumns || column >= Width) return;
            if (DWeight.IsNeeded) DWeight.Put(column, sums.First);
            if (DBias.IsNeeded) DBias.Put(column, sums.Second);
        }
    }
}
