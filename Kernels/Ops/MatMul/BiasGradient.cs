using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    private const int BiasGradientGrain = 64;

    /// <inheritdoc/>
    public void BiasGradient(DeviceBuffer x, int columns, GradientTarget sums)
    {
        if (!sums.IsNeeded) return;
        int rows = columns == 0 ? 0 : x.Length / columns;
        Run(new BiasGradientKernel(Floats(x), rows, columns, Floats(sums.Buffer), sums.Accumulate), ChunkCount(columns, BiasGradientGrain));
    }

    /// <summary>A strip of columns per chunk, all rows in order.</summary>
    private readonly record struct BiasGradientKernel(Pointer X, int Rows, int Columns, Pointer Sums, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * BiasGradientGrain, end = Math.Min(Columns, start + BiasGradientGrain);
            float* sums = Sums;
            for (int j = start; j < end; j += V.Width)
            {
                int count = Math.Min(V.Width, end - j);
                float* x = (float*)X + j;
                V sum = V.Zero;
                for (int i = 0; i < Rows; i++, x += Columns) sum += count == V.Width ? V.Load(x) : V.LoadPartial(x, count);
                if (Accumulate) sum += count == V.Width ? V.Load(sums + j) : V.LoadPartial(sums + j, count);
                if (count == V.Width) V.Store(sum, sums + j);
                else V.StorePartial(sum, sums + j, count);
            }
        }
    }
}
