using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public partial interface IBackend
{
    /// <summary>dx[i] = dy[i], written or accumulated as the target says: the gradient of whatever enters a sum unchanged.</summary>
    void PassGradient(DeviceBuffer dy, GradientTarget dx);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void PassGradient(DeviceBuffer dy, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        if (!dx.Accumulate) Copy(dy, dx.Buffer);
        else Run(new AddToKernel(Floats(dy), Floats(dx.Buffer), dy.Length), ChunkCount(dy.Length, ElementwiseGrain));
    }

    private readonly record struct AddToKernel(Pointer Source, Pointer Sum, int Length) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain), i = start;
            float* source = Source, sum = Sum;
            for (; i <= end - V.Width; i += V.Width) V.Store(V.Load(sum + i) + V.Load(source + i), sum + i);
            for (; i < end; i++) sum[i] += source[i];
        }
    }
}
