using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// Over rows of <c>width</c> elements, with the maximum taken out so that nothing overflows: softmax y = eˣ / Σ eˣ with dx = y (dy - Σ dy · y);
/// log-softmax y = x - ln Σ eˣ with dx = dy - e^y Σ dy; log-sum-exp y = ln Σ eˣ with dx = dy e^(x - y).
/// </summary>
public partial interface IBackend
{
    /// <summary>Writes y = softmax(x) by rows; x and y may be the same buffer. A row of -∞ gives NaN.</summary>
    void Softmax(DeviceBuffer x, int width, DeviceBuffer y);

    /// <summary>Gradient of <see cref="Softmax"/> from its result, written or accumulated as the target says.</summary>
    void SoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx);

    /// <summary>Writes y = log-softmax(x) by rows; x and y may be the same buffer.</summary>
    void LogSoftmax(DeviceBuffer x, int width, DeviceBuffer y);

    /// <summary>Gradient of <see cref="LogSoftmax"/> from its result, written or accumulated as the target says.</summary>
    void LogSoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx);

    /// <summary>Writes y [rows] = ln Σ eˣ.</summary>
    void LogSumExp(DeviceBuffer x, int width, DeviceBuffer y);

    /// <summary>Gradient of <see cref="LogSumExp"/>, written or accumulated as the target says.</summary>
    void LogSumExpBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx);
}

public sealed unsafe partial class CpuBackend
{
    private enum SoftmaxKind
    {
        Softmax,
        Log,
        LogSum,
    }

    /// <inheritdoc/>
    public void Softmax(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.Softmax);

    /// <inheritdoc/>
    public void LogSoftmax(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.Log);

    /// <inheritdoc/>
    public void LogSumExp(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.LogSum);

    /// <inheritdoc/>
    public void SoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(default, y, dy, width, dx, SoftmaxKind.Softmax);

    /// <inheritdoc/>
    public void LogSoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(default, y, dy, width, dx, SoftmaxKind.Log);

    /// <inheritdoc/>
    public void LogSumExpBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(x, y, dy, width, dx, SoftmaxKind.LogSum);

    private void Softmax(DeviceBuffer x, int width, DeviceBuffer y, SoftmaxKind kind)
    {
        int rows = kind == SoftmaxKind.LogSum ? y.Length : width == 0 ? 0 : x.Length / width;
        bool isStreamed = kind == SoftmaxKind.Softmax && Floats(x) != Floats(y) && NonTemporal.Pays(Floats(y), y.Length, width);
        Run(new SoftmaxKernel(Floats(x), Floats(y), rows, width, kind, isStreamed), ChunkCount(rows, RowsPerChunk(width)));
    }

    private void SoftmaxBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx, SoftmaxKind kind)
    {
        if (!dx.IsNeeded || width == 0) return;
        int rows = dx.Buffer.Length / width;
        Run(
            new SoftmaxBackwardKernel(
                Floats(x), Floats(y), Floats(dy), Floats(dx.Buffer), rows, width, dx.Accumulate, kind,
                kind == SoftmaxKind.Softmax && !dx.Accumulate && NonTemporal.Pays(Floats(dx.Buffer), dx.Buffer.Length, width)),
            ChunkCount(rows, RowsPerChunk(width)));
    }

    /// <summary>A streamed result is gathered in scratch memory and written once, past the caches.</summary>
    private readonly record struct SoftmaxKernel(Pointer X, Pointer Y, int Rows, int Width, SoftmaxKind Kind, bool IsStreamed) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int first = chunk * RowsPerChunk(Width), last = Math.Min(Rows, first + RowsPerChunk(Width));
            float* scratch = IsStreamed ? ThreadScratch.Get(Width) : null;
            for (int row = first; row < last; row++)
            {
                float* x = X + (row * Width);
                float max = RowSums.Max<V>(x, Width);
                if (Kind == SoftmaxKind.Softmax)
                {
                    float* y = Y + (row * Width);
                    if (IsStreamed) Stream<V>(scratch, y, 1f / Exponentials<V>(x, scratch, max));
                    else Scale<V>(y, 1f / Exponentials<V>(x, y, max));
                    continue;
                }

                float logSum = max + MathF.Log(RowSums.SumOfExponentials<V>(x, max, Width));
                if (Kind == SoftmaxKind.LogSum) *(Y + row) = float.IsNegativeInfinity(max) ? max : logSum;
                else Subtract<V>(x, Y + (row * Width), max, logSum - max);
            }

            if (IsStreamed) NonTemporal.Fence();
        }

        /// <summary>y = e^(x - max); returns their sum. The next row is asked for meanwhile.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Exponentials<V>(float* x, float* y, float max)
            where V : unmanaged, ISimd<V>
        {
            V sums = V.Zero, maxima = V.Create(max);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width)
            {
                Prefetch.Far(x + Width + i);
                V value = SimdMath.ExpNonPositive(V.Load(x + i) - maxima);
                sums += value;
                V.Store(value, y + i);
            }

            float sum = V.Sum(sums);
            for (; i < Width; i++) sum += y[i] = SimdMath.ExpNonPositive(new SimdScalar(x[i] - max)).Value;
            return sum;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Scale<V>(float* y, float factor)
            where V : unmanaged, ISimd<V>
        {
            V factors = V.Create(factor);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width) V.Store(V.Load(y + i) * factors, y + i);
            for (; i < Width; i++) y[i] *= factor;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Stream<V>(float* exponentials, float* y, float factor)
            where V : unmanaged, ISimd<V>
        {
            V factors = V.Create(factor);
            for (int i = 0; i < Width; i += V.Width) V.StoreNonTemporal(V.Load(exponentials + i) * factors, y + i);
        }

        /// <summary>y = (x - max) - ln Σ e^(x - max): in this order, large values lose nothing.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Subtract<V>(float* x, float* y, float max, float log)
            where V : unmanaged, ISimd<V>
        {
            V maxima = V.Create(max), logs = V.Create(log);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width) V.Store(V.Load(x + i) - maxima - logs, y + i);
            for (; i < Width; i++) y[i] = x[i] - max - log;
        }
    }

    private readonly record struct SoftmaxBackwardKernel(
        Pointer X, Pointer Y, Pointer DY, Pointer DX, int Rows, int Width, bool Accumulate, SoftmaxKind Kind, bool IsStreamed) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int first = chunk * RowsPerChunk(Width), last = Math.Min(Rows, first + RowsPerChunk(Width));
            for (int row = first; row < last; row++)
            {
                float* dx = DX + (row * Width);
                if (Kind == SoftmaxKind.LogSum)
                {
                    WriteExponentials<V>(X + (row * Width), *(Y + row), *(DY + row), null, dx);
                    continue;
                }

                float* y = Y + (row * Width), dy = DY + (row * Width);
                if (Kind == SoftmaxKind.Log) WriteExponentials<V>(y, 0f, -RowSums.Sum<V>(dy, Width), dy, dx);
                else if (IsStreamed) StreamProducts<V>(y, dy, RowSums.Dot<V>(y, dy, Width), dx);
                else WriteProducts<V>(y, dy, RowSums.Dot<V>(y, dy, Width), dx);
            }

            if (IsStreamed) NonTemporal.Fence();
        }

        /// <summary>dx = e^(x - shift) · factor (+ dy).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void WriteExponentials<V>(float* x, float shift, float factor, float* dy, float* dx)
            where V : unmanaged, ISimd<V>
        {
            V shifts = V.Create(shift), factors = V.Create(factor);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width)
            {
                V gradient = V.FusedMultiplyAdd(SimdMath.ExpNonPositive(V.Load(x + i) - shifts), factors, dy is null ? V.Zero : V.Load(dy + i));
                V.Store(Accumulate ? V.Load(dx + i) + gradient : gradient, dx + i);
            }

            for (; i < Width; i++)
            {
                float gradient = (SimdMath.ExpNonPositive(new SimdScalar(x[i] - shift)).Value * factor) + (dy is null ? 0f : dy[i]);
                dx[i] = Accumulate ? dx[i] + gradient : gradient;
            }
        }

        /// <summary>dx = y (dy - projection), past the caches.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void StreamProducts<V>(float* y, float* dy, float projection, float* dx)
            where V : unmanaged, ISimd<V>
        {
            V projections = V.Create(projection);
            for (int i = 0; i < Width; i += V.Width)
            {
                Prefetch.Far(y + Width + i);
                Prefetch.Far(dy + Width + i);
                V.StoreNonTemporal(V.Load(y + i) * (V.Load(dy + i) - projections), dx + i);
            }
        }

        /// <summary>dx = y (dy - projection).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void WriteProducts<V>(float* y, float* dy, float projection, float* dx)
            where V : unmanaged, ISimd<V>
        {
            V projections = V.Create(projection);
            int i = 0;
            for (; i <= Width - V.Width; i += V.Width)
            {
                V gradient = V.Load(y + i) * (V.Load(dy + i) - projections);
                V.Store(Accumulate ? V.Load(dx + i) + gradient : gradient, dx + i);
            }

            for (; i < Width; i++)
            {
                float gradient = y[i] * (dy[i] - projection);
                dx[i] = Accumulate ? dx[i] + gradient : gradient;
            }
        }
    }
}
