using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <summary>Elements that one chunk of a bias gradient reads, and the most chunks there are.</summary>
    private const int BiasGradientGrain = 64 * 1024;
    private const int MostBiasGradientChunks = 64;

    /// <inheritdoc/>
    public void BiasGradient(DeviceBuffer x, int columns, GradientTarget sums)
    {
        if (!sums.IsNeeded || columns == 0) return;
        int rows = x.Length / columns, chunks = Math.Clamp(ChunkCount(x.Length, BiasGradientGrain), 1, MostBiasGradientChunks);
        DeviceBuffer partial = Rent(chunks * columns);
        Run(new PartialBiasGradientKernel(Floats(x), rows, columns, chunks, Floats(partial)), chunks);
        Run(new BiasGradientKernel(Floats(partial), chunks, columns, Floats(sums.Buffer), sums.Accumulate), 1);
        Return(partial);
    }

    /// <summary>Sums a block of rows into one row of partial sums, four rows at a time so that memory is what it waits for.</summary>
    private readonly record struct PartialBiasGradientKernel(Pointer X, int Rows, int Columns, int Chunks, Pointer Partial) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int row = (int)((long)chunk * Rows / Chunks), end = (int)((long)(chunk + 1) * Rows / Chunks);
            float* sums = (float*)Partial + ((long)chunk * Columns), x = (float*)X + ((long)row * Columns);
            new Span<float>(sums, Columns).Clear();
            for (; row <= end - 4; row += 4, x += 4L * Columns)
            {
                float* x1 = x + Columns, x2 = x1 + Columns, x3 = x2 + Columns;
                int j = 0;
                for (; j <= Columns - V.Width; j += V.Width)
                    V.Store(V.Load(sums + j) + (V.Load(x + j) + V.Load(x1 + j) + (V.Load(x2 + j) + V.Load(x3 + j))), sums + j);
                for (; j < Columns; j++) sums[j] += x[j] + x1[j] + (x2[j] + x3[j]);
            }

            for (; row < end; row++, x += Columns)
            {
                int j = 0;
                for (; j <= Columns - V.Width; j += V.Width) V.Store(V.Load(sums + j) + V.Load(x + j), sums + j);
                for (; j < Columns; j++) sums[j] += x[j];
            }
        }
    }

    /// <summary>Adds the partial sums in their order.</summary>
    private readonly record struct BiasGradientKernel(Pointer Partial, int Rows, int Columns, Pointer Sums, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            float* sums = Sums, partial = Partial;
            for (int row = 0; row < Rows; row++, partial += Columns)
            {
                bool adds = Accumulate || row > 0;
                int j = 0;
                for (; j <= Columns - V.Width; j += V.Width) V.Store(adds ? V.Load(sums + j) + V.Load(partial + j) : V.Load(partial + j), sums + j);
                for (; j < Columns; j++) sums[j] = adds ? sums[j] + partial[j] : partial[j];
            }
        }
    }
}
