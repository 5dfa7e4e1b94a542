using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>y = x / max(‖x‖, ε) over rows of <c>width</c> elements; dx = (dy - y (y · dy)) / ‖x‖ where ‖x‖ > ε, else dy / ε.</summary>
public partial interface IBackend
{
    /// <summary>Writes y [rows, width] and norms [rows] = ‖x‖.</summary>
    void L2Normalize(DeviceBuffer x, float epsilon, int width, DeviceBuffer y, DeviceBuffer norms);

    /// <summary>Gradient of <see cref="L2Normalize"/>, written or accumulated as the target says.</summary>
    void L2NormalizeBackward(DeviceBuffer y, DeviceBuffer norms, DeviceBuffer dy, float epsilon, int width, GradientTarget dx);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void L2Normalize(DeviceBuffer x, float epsilon, int width, DeviceBuffer y, DeviceBuffer norms)
        => Run(
            new L2NormalizeKernel(Floats(x), Floats(y), Floats(norms), epsilon, norms.Length, width),
            ChunkCount(norms.Length, RowsPerChunk(width)));

    /// <inheritdoc/>
    public void L2NormalizeBackward(DeviceBuffer y, DeviceBuffer norms, DeviceBuffer dy, float epsilon, int width, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        Run(
            new L2NormalizeBackwardKernel(Floats(y), Floats(norms), Floats(dy), Floats(dx.Buffer), epsilon, norms.Length, width, dx.Accumulate),
            ChunkCount(norms.Length, RowsPerChunk(width)));
    }

    private readonly record struct L2NormalizeKernel(Pointer X, Pointer Y, Pointer Norms, float Epsilon, int Rows, int Width) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int first = chunk * RowsPerChunk(Width), last = Math.Min(Rows, first + RowsPerChunk(Width));
            for (int row = first; row < last; row++)
            {
                float* x = X + (row * Width), y = Y + (row * Width);
                float norm = MathF.Sqrt(RowSums.SumOfSquares<V>(x, 0f, Width)), factor = 1f / MathF.Max(norm, Epsilon);
                *(Norms + row) = norm;
                V factors = V.Create(factor);
                int i = 0;
                for (; i <= Width - V.Width; i += V.Width) V.Store(V.Load(x + i) * factors, y + i);
                for (; i < Width; i++) y[i] = x[i] * factor;
            }
        }
    }

    private readonly record struct L2NormalizeBackwardKernel(
        Pointer Y, Pointer Norms, Pointer DY, Pointer DX, float Epsilon, int Rows, int Width, bool Accumulate) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int first = chunk * RowsPerChunk(Width), last = Math.Min(Rows, first + RowsPerChunk(Width));
            for (int row = first; row < last; row++)
            {
                float* y = Y + (row * Width), dy = DY + (row * Width), dx = DX + (row * Width);
                float norm = *(Norms + row), factor = 1f / MathF.Max(norm, Epsilon);
                float projection = norm > Epsilon ? RowSums.Dot<V>(y, dy, Width) : 0f;
                V factors = V.Create(factor), projections = V.Create(projection);
                int i = 0;
                for (; i <= Width - V.Width; i += V.Width)
                {
                    V gradient = (V.Load(dy + i) - (V.Load(y + i) * projections)) * factors;
                    V.Store(Accumulate ? V.Load(dx + i) + gradient : gradient, dx + i);
                }

                for (; i < Width; i++)
                {
                    float gradient = (dy[i] - (y[i] * projection)) * factor;
                    dx[i] = Accumulate ? dx[i] + gradient : gradient;
                }
            }
        }
    }
}
