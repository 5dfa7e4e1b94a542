using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// LayerNorm (Ba et al., arXiv:1607.06450): y = x̂ · weight + bias, x̂ = (x - mean) / √(variance + ε), over rows of <c>width</c> elements.
/// RmsNorm (Zhang and Sennrich, arXiv:1910.07467): the same without mean and bias, x̂ = x / √(mean of squares + ε).
/// With g = dy · weight: dx = (g - mean(g) - x̂ · mean(g · x̂)) / √(variance + ε), where RmsNorm lacks mean(g); dweight = Σ dy · x̂, dbias = Σ dy.
/// </summary>
public partial interface IBackend
{
    /// <summary>Writes y [rows, width] and statistics [rows, 2] (mean, 1 / standard deviation). Weight and bias [width] may be null.</summary>
    void LayerNorm(DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics);

    /// <summary>Gradients of <see cref="LayerNorm"/>, written or accumulated as the targets say.</summary>
    void LayerNormBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias);

    /// <summary>Writes y [rows, width] and statistics [rows, 2] (0, 1 / root of the mean square). Weight [width] may be null.</summary>
    void RmsNorm(DeviceBuffer x, DeviceBuffer weight, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics);

    /// <summary>Gradients of <see cref="RmsNorm"/>, written or accumulated as the targets say.</summary>
    void RmsNormBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width, GradientTarget dx, GradientTarget dweight);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void LayerNorm(DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        => Normalize(x, weight, bias, epsilon, width, y, statistics, isCentered: true);

    /// <inheritdoc/>
    public void LayerNormBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias)
        => NormalizeBackward(x, weight, statistics, dy, width, dx, dweight, dbias, isCentered: true);

    /// <inheritdoc/>
    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        => Normalize(x, weight, default, epsilon, width, y, statistics, isCentered: false);

    /// <inheritdoc/>
    public void RmsNormBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width, GradientTarget dx, GradientTarget dweight)
        => NormalizeBackward(x, weight, statistics, dy, width, dx, dweight, default, isCentered: false);

    /// <summary>Rows of one chunk of a kernel that works row by row.</summary>
    private static int RowsPerChunk(int width) => Math.Max(1, ElementwiseGrain / Math.Max(1, width));

    private void Normalize(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics, bool isCentered)
    {
        int rows = statistics.Length / 2;
        Run(
            new NormKernel(
                Floats(x), Floats(weight), Floats(bias), Floats(y), Floats(statistics), epsilon, rows, width, isCentered, NonTemporal.Pays(Floats(y), y.Length, width)),
            ChunkCount(rows, RowsPerChunk(width)));
    }

    private void NormalizeBackward(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width,
        GradientTarget dx, GradientTarget dweight, GradientTarget dbias, bool isCentered)
    {
        if (!dx.IsNeeded && !dweight.IsNeeded && !dbias.IsNeeded) return;
        int rows = statistics.Length / 2, blocks = Math.Clamp(ChunkCount(rows, RowsPerChunk(width)), 1, MaxReductionBlocks);
        bool needsSums = dweight.IsNeeded || dbias.IsNeeded;
        DeviceBuffer sums = needsSums ? Rent(2 * blocks * width) : default;
        Run(
            new NormBackwardKernel(
                Floats(x), Floats(weight), Floats(statistics), Floats(dy), Floats(dx.Buffer), Floats(sums), rows, width, blocks, dx.Accumulate, isCentered,
                dx.IsNeeded && !dx.Accumulate && NonTemporal.Pays(Floats(dx.Buffer), dx.Buffer.Length, width)),
            blocks);
        if (!needsSums) return;
        SumMiddle(sums.Slice(0, blocks * width), new Broadcast(1, blocks, width), 1f, dweight);
        SumMiddle(sums.Slice(blocks * width, blocks * width), new Broadcast(1, blocks, width), 1f, dbias);
        Return(sums);
    }

    private readonly record struct NormKernel(
        Pointer X, Pointer Weight, Pointer Bias, Pointer Y, Pointer Statistics, float Epsilon, int Rows, int Width, bool IsCentered, bool IsStreamed) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int first = chunk * RowsPerChunk(Width), last = Math.Min(Rows, first + RowsPerChunk(Width));
            for (int row = first; row < last; row++)
            {
                float* x = X + (row * Width), y = Y + (row * Width), statistics = Statistics + (2 * row);
                float mean = 0f;
                if (IsCentered)
                {
                    mean = RowSums.Sum<V>(x, Width) / Width;
                    // What rounding left in the mean, so that constant rows come out as exactly the bias.
                    mean += RowSums.SumOfDifferences<V>(x, mean, Width) / Width;
                }

                float scale = 1f / MathF.Sqrt((RowSums.SumOfSquares<V>(x, mean, Width) / Width) + Epsilon);
                statistics[0] = mean;
                statistics[1] = scale;
                if (IsStreamed) Stream<V>(x, y, mean, scale);
                else Write<V>(x, y, mean, scale);
            }

            if (IsStreamed) NonTemporal.Fence();
        }

        /// <summary>The same as below past the caches, where rows are whole vectors.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Stream<V>(float* x, float* y, float mean, float scale)
            where V : unmanaged, ISimd<V>
        {
            float* weight = Weight, bias = Bias;
            V means = V.Create(mean), scales = V.Create(scale);
            for (int i = 0; i < Width; i += V.Width)
            {
                Prefetch.Near(x + Width + i);
                V value = (V.Load(x + i) - means) * scales;
                if (weight is not null) value *= V.Load(weight + i);
                if (bias is not null) value += V.Load(bias + i);
                V.StoreNonTemporal(value, y + i);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Write<V>(float* x, float* y, float mean, float scale)
            where V : unmanaged, ISimd<V>
        {
            float* weight = Weight, bias = Bias;
            V means = V.Create(mean), scales = V.Create(scale);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width)
            {
                V value = (V.Load(x + i) - means) * scales;
                if (weight is not null) value *= V.Load(weight + i);
                if (bias is not null) value += V.Load(bias + i);
                V.Store(value, y + i);
            }

            for (; i < Width; i++)
            {
                float value = (x[i] - mean) * scale;
                if (weight is not null) value *= weight[i];
                if (bias is not null) value += bias[i];
                y[i] = value;
            }
        }
    }

    /// <summary>A chunk is a block of rows; it leaves its part of dweight and dbias in row <c>chunk</c> of the two tables of sums.</summary>
    private readonly record struct NormBackwardKernel(
        Pointer X, Pointer Weight, Pointer Statistics, Pointer DY, Pointer DX, Pointer Sums, int Rows, int Width, int Blocks, bool Accumulate, bool IsCentered,
        bool IsStreamed) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int rowsPerBlock = (Rows + Blocks - 1) / Blocks;
            int first = Math.Min(Rows, chunk * rowsPerBlock), last = Math.Min(Rows, first + rowsPerBlock);
            bool needsSums = (float*)Sums is not null, needsX = (float*)DX is not null;
            float* weightSums = Sums + (chunk * Width), biasSums = Sums + ((Blocks + chunk) * Width);
            if (needsSums)
            {
                new Span<float>(weightSums, Width).Clear();
                new Span<float>(biasSums, Width).Clear();
            }

            for (int row = first; row < last; row++)
            {
                float mean = *(Statistics + (2 * row)), scale = *(Statistics + ((2 * row) + 1));
                float* x = X + (row * Width), dy = DY + (row * Width);
                AddSums<V>(x, dy, mean, scale, needsSums ? weightSums : null, biasSums, out float meanOfG, out float meanOfProjection);
                if (needsX) WriteRow<V>(x, dy, mean, scale, meanOfG, meanOfProjection, DX + (row * Width));
            }

            if (IsStreamed) NonTemporal.Fence();
        }

        /// <summary>Adds the row to the sums of the columns, unless they are null, and gives the two means that its gradient needs.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void AddSums<V>(float* x, float* dy, float mean, float scale, float* weightSums, float* biasSums, out float meanOfG, out float meanOfProjection)
            where V : unmanaged, ISimd<V>
        {
            float* weight = Weight;
            V means = V.Create(mean), scales = V.Create(scale), sum = V.Zero, projection = V.Zero;
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width)
            {
                V g = V.Load(dy + i), normalized = (V.Load(x + i) - means) * scales;
                if (weightSums is not null)
                {
                    V.Store(V.FusedMultiplyAdd(g, normalized, V.Load(weightSums + i)), weightSums + i);
                    V.Store(V.Load(biasSums + i) + g, biasSums + i);
                }

                if (weight is not null) g *= V.Load(weight + i);
                sum += g;
                projection = V.FusedMultiplyAdd(g, normalized, projection);
            }

            float sumOfG = V.Sum(sum), sumOfProjection = V.Sum(projection);
            for (; i < Width; i++)
            {
                float g = dy[i], normalized = (x[i] - mean) * scale;
                if (weightSums is not null)
                {
                    weightSums[i] += g * normalized;
                    biasSums[i] += g;
                }

                if (weight is not null) g *= weight[i];
                sumOfG += g;
                sumOfProjection += g * normalized;
            }

            meanOfG = IsCentered ? sumOfG / Width : 0f;
            meanOfProjection = sumOfProjection / Width;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void WriteRow<V>(float* x, float* dy, float mean, float scale, float meanOfG, float meanOfProjection, float* dx)
            where V : unmanaged, ISimd<V>
        {
            float* weight = Weight;
            V means = V.Create(mean), scales = V.Create(scale);
            V shift = V.Create(meanOfG), slope = V.Create(meanOfProjection);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width)
            {
                Prefetch.Near(x + Width + i);
                Prefetch.Near(dy + Width + i);
                V g = V.Load(dy + i);
                if (weight is not null) g *= V.Load(weight + i);
                V gradient = (g - shift - ((V.Load(x + i) - means) * scales * slope)) * scales;
                if (IsStreamed) V.StoreNonTemporal(gradient, dx + i);
                else V.Store(Accumulate ? V.Load(dx + i) + gradient : gradient, dx + i);
            }

            for (; i < Width; i++)
            {
                float g = weight is null ? dy[i] : dy[i] * weight[i];
                float gradient = (g - meanOfG - ((x[i] - mean) * scale * meanOfProjection)) * scale;
                dx[i] = Accumulate ? dx[i] + gradient : gradient;
            }
        }
    }
}
