using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
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
    public void SoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(default, y, dy, width, dx, SoftmaxKind.Softmax);

    /// <inheritdoc/>
    public void LogSoftmax(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.Log);

    /// <inheritdoc/>
    public void LogSoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(default, y, dy, width, dx, SoftmaxKind.Log);

    /// <inheritdoc/>
    public void LogSumExp(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.LogSum);

    /// <inheritdoc/>
    public void LogSumExpBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(x, y, dy, width, dx, SoftmaxKind.LogSum);

    private void Softmax(DeviceBuffer x, int width, DeviceBuffer y, SoftmaxKind kind)
    {
        RowLanes lanes = RowLanes.For(kind == SoftmaxKind.LogSum ? y.Length : width == 0 ? 0 : x.Length / width, width);
        Launch(new SoftmaxKernel(Input(x), Output(y), lanes, width, (int)kind), lanes.Groups);
    }

    private void SoftmaxBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx, SoftmaxKind kind)
    {
        if (!dx.IsNeeded || width == 0) return;
        RowLanes lanes = RowLanes.For(dx.Buffer.Length / width, width);
        Launch(new SoftmaxBackwardKernel(Input(x), Input(y), Input(dy), Target(dx), lanes, width, (int)kind), lanes.Groups);
    }

    /// <summary>The largest element of each row, Σ e^(x - largest), and what is made of them.</summary>
    internal readonly record struct SoftmaxKernel(ArrayView<float> X, ArrayView<float> Y, RowLanes Lanes, int Width, int Kind) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Width : 0;
            long start = (long)row * Width;
            float max = float.NegativeInfinity, sum = 0f;
            for (int i = lane; i < end; i += Lanes.Count) max = MathF.Max(max, X[start + i]);
            max = GroupReduction.Max(shared, max, Lanes.Count);
            for (int i = lane; i < end; i += Lanes.Count) sum += GpuMath.Exp(X[start + i] - max);
            sum = GroupReduction.Sum(shared, sum, Lanes.Count);
            if (Kind == (int)SoftmaxKind.LogSum)
            {
                if (row < Lanes.Rows && lane == 0) Y[row] = max == float.NegativeInfinity ? max : max + GpuMath.Log(sum);
            }
            else if (Kind == (int)SoftmaxKind.Softmax)
            {
                float factor = 1f / sum;
                for (int i = lane; i < end; i += Lanes.Count) Y[start + i] = GpuMath.Exp(X[start + i] - max) * factor;
            }
            else
            {
                // In this order, large values lose nothing.
                float log = GpuMath.Log(sum);
                for (int i = lane; i < end; i += Lanes.Count) Y[start + i] = X[start + i] - max - log;
            }
        }
    }

    internal readonly record struct SoftmaxBackwardKernel(
        ArrayView<float> X, ArrayView<float> Y, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, int Width, int Kind) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Width : 0;
            long start = (long)row * Width;
            float sum = 0f;
            if (Kind == (int)SoftmaxKind.Softmax)
            {
                for (int i = lane; i < end; i += Lanes.Count) sum = MathF.FusedMultiplyAdd(Y[start + i], DY[start + i], sum);
            }
            else if (Kind == (int)SoftmaxKind.Log)
            {
                for (int i = lane; i < end; i += Lanes.Count) sum += DY[start + i];
            }

            sum = GroupReduction.Sum(shared, sum, Lanes.Count);
            if (Kind == (int)SoftmaxKind.LogSum)
            {
                for (int i = lane; i < end; i += Lanes.Count) DX.Put(start + i, GpuMath.Exp(X[start + i] - Y[row]) * DY[row]);
            }
            else if (Kind == (int)SoftmaxKind.Softmax)
            {
                for (int i = lane; i < end; i += Lanes.Count) DX.Put(start + i, Y[start + i] * (DY[start + i] - sum));
            }
            else
            {
                for (int i = lane; i < end; i += Lanes.Count) DX.Put(start + i, DY[start + i] - (GpuMath.Exp(Y[start + i]) * sum));
            }
        }
    }
}
