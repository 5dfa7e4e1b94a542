using System.Runtime.CompilerServices;
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
        => SoftmaxBackward(y, dy, width, dx, SoftmaxKind.Softmax);

    /// <inheritdoc/>
    public void LogSoftmax(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.Log);

    /// <inheritdoc/>
    public void LogSoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => SoftmaxBackward(y, dy, width, dx, SoftmaxKind.Log);

    /// <inheritdoc/>
    public void LogSumExp(DeviceBuffer x, int width, DeviceBuffer y) => Softmax(x, width, y, SoftmaxKind.LogSum);

    /// <inheritdoc/>
    public void LogSumExpBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
    {
        if (!dx.IsNeeded || width == 0) return;
        if (RowSlice.IsAligned(width, x, dx.Buffer)) LogSumExpBackward<AlignedRows>(x, y, dy, width, dx);
        else LogSumExpBackward<RaggedRows>(x, y, dy, width, dx);
    }

    private void Softmax(DeviceBuffer x, int width, DeviceBuffer y, SoftmaxKind kind)
    {
        if (RowSlice.IsAligned(width, x, kind == SoftmaxKind.LogSum ? default : y)) Softmax<AlignedRows>(x, width, y, kind);
        else Softmax<RaggedRows>(x, width, y, kind);
    }

    private void Softmax<TLayout>(DeviceBuffer x, int width, DeviceBuffer y, SoftmaxKind kind)
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(kind == SoftmaxKind.LogSum ? y.Length : width == 0 ? 0 : x.Length / width, width);
        Launch(new SoftmaxKernel<TLayout>(Input(x), Output(y), lanes, width, (int)kind), lanes.Groups);
    }

    private void SoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx, SoftmaxKind kind)
    {
        if (!dx.IsNeeded || width == 0) return;
        if (RowSlice.IsAligned(width, y, dy, dx.Buffer)) SoftmaxBackward<AlignedRows>(y, dy, width, dx, kind);
        else SoftmaxBackward<RaggedRows>(y, dy, width, dx, kind);
    }

    private void SoftmaxBackward<TLayout>(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx, SoftmaxKind kind)
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(dx.Buffer.Length / width, width);
        Launch(new SoftmaxBackwardKernel<TLayout>(Input(y), Input(dy), Target(dx), lanes, width, (int)kind), lanes.Groups);
    }

    private void LogSumExpBackward<TLayout>(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(y.Length, width);
        Launch(new LogSumExpBackwardKernel<TLayout>(Input(x), Input(y), Input(dy), Target(dx), lanes, width), lanes.Groups);
    }

    /// <summary>The largest element of each row, Σ e^(x - largest), and what is made of them.</summary>
    internal readonly record struct SoftmaxKernel<TLayout>(ArrayView<float> X, ArrayView<float> Y, RowLanes Lanes, int Width, int Kind) : IGpuKernel
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
            RowSlice x = Load(start, first);
            float max = x.Max();
            for (RowPart part = first.Next; part.Exists; part = part.Next) max = MathF.Max(max, Load(start, part).Max());
            max = GroupReduction.Max(shared, max, Lanes.Count);
            RowSlice e = RowSlice.Exp(x - max);
            float sum = e.Sum();
            for (RowPart part = first.Next; part.Exists; part = part.Next) sum += RowSlice.Exp(Load(start, part) - max).Sum();
            sum = GroupReduction.Sum(shared, sum, Lanes.Count);
            if (Kind == (int)SoftmaxKind.LogSum)
            {
                if (row < Lanes.Rows && Lanes.Lane == 0) Y[row] = max == float.NegativeInfinity ? max : max + GpuMath.Log(sum);
            }
            else if (Kind == (int)SoftmaxKind.Softmax)
            {
                float factor = 1f / sum;
                (e * factor).Store<TLayout>(Y, start, first);
                for (RowPart part = first.Next; part.Exists; part = part.Next) (RowSlice.Exp(Load(start, part) - max) * factor).Store<TLayout>(Y, start, part);
            }
            else
            {
                // In this order, large values lose nothing.
                float log = GpuMath.Log(sum);
                (x - max - log).Store<TLayout>(Y, start, first);
                for (RowPart part = first.Next; part.Exists; part = part.Next) (Load(start, part) - max - log).Store<TLayout>(Y, start, part);
            }
        }

        /// <summary>What adds nothing where the row has ended: e^(-∞) is 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private RowSlice Load(long start, RowPart part) => RowSlice.Load<TLayout>(X, start, part, float.NegativeInfinity);
    }

    /// <summary>Softmax: dx = y · (dy - Σ y · dy). Log-softmax: dx = dy - e^y · Σ dy.</summary>
    internal readonly record struct SoftmaxBackwardKernel<TLayout>(
        ArrayView<float> Y, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, int Width, int Kind) : IGpuKernel
        where TLayout : struct, IRowLayout
    {
        public static int GroupSize => RowLanes.GroupSize;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            long start = (long)Lanes.Row * Width;
            RowPart first = RowPart.Of(Lanes, Width);
            RowSlice y = RowSlice.Load<TLayout>(Y, start, first), dy = RowSlice.Load<TLayout>(DY, start, first);
            float sum = Term(y, dy);
            for (RowPart part = first.Next; part.Exists; part = part.Next) sum += Term(RowSlice.Load<TLayout>(Y, start, part), RowSlice.Load<TLayout>(DY, start, part));
            sum = GroupReduction.Sum(shared, sum, Lanes.Count);
            Gradient(y, dy, sum).Put<TLayout>(DX, start, first);
            for (RowPart part = first.Next; part.Exists; part = part.Next)
                Gradient(RowSlice.Load<TLayout>(Y, start, part), RowSlice.Load<TLayout>(DY, start, part), sum).Put<TLayout>(DX, start, part);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Term(RowSlice y, RowSlice dy) => Kind == (int)SoftmaxKind.Softmax ? y.Dot(dy) : dy.Sum();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private RowSlice Gradient(RowSlice y, RowSlice dy, float sum) => Kind == (int)SoftmaxKind.Softmax ? y * (dy - sum) : dy - (RowSlice.Exp(y) * sum);
    }

    /// <summary>dx = e^(x - y) · dy with one y and one dy for each row.</summary>
    internal readonly record struct LogSumExpBackwardKernel<TLayout>(
        ArrayView<float> X, ArrayView<float> Y, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, int Width) : IGpuKernel
        where TLayout : struct, IRowLayout
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            int row = Lanes.Row;
            if (row >= Lanes.Rows) return;
            long start = (long)row * Width;
            float y = Y[row], dy = DY[row];
            for (RowPart part = RowPart.Of(Lanes, Width); part.Exists; part = part.Next)
                (RowSlice.Exp(RowSlice.Load<TLayout>(X, start, part) - y) * dy).Put<TLayout>(DX, start, part);
        }
    }
}
