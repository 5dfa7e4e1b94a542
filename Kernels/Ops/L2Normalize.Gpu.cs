using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void L2Normalize(DeviceBuffer x, float epsilon, int width, DeviceBuffer y, DeviceBuffer norms)
    {
        if (RowSlice.IsAligned(width, x, y)) L2Normalize<AlignedRows>(x, epsilon, width, y, norms);
        else L2Normalize<RaggedRows>(x, epsilon, width, y, norms);
    }

    /// <inheritdoc/>
    public void L2NormalizeBackward(DeviceBuffer y, DeviceBuffer norms, DeviceBuffer dy, float epsilon, int width, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        if (RowSlice.IsAligned(width, y, dy, dx.Buffer)) L2NormalizeBackward<AlignedRows>(y, norms, dy, epsilon, width, dx);
        else L2NormalizeBackward<RaggedRows>(y, norms, dy, epsilon, width, dx);
    }

    private void L2Normalize<TLayout>(DeviceBuffer x, float epsilon, int width, DeviceBuffer y, DeviceBuffer norms)
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(norms.Length, width);
        Launch(new L2NormalizeKernel<TLayout>(Input(x), Output(y), Output(norms), lanes, epsilon, width), lanes.Groups);
    }

    private void L2NormalizeBackward<TLayout>(DeviceBuffer y, DeviceBuffer norms, DeviceBuffer dy, float epsilon, int width, GradientTarget dx)
        where TLayout : struct, IRowLayout
    {
        RowLanes lanes = RowSlice.Lanes(norms.Length, width);
        Launch(new L2NormalizeBackwardKernel<TLayout>(Input(y), Input(norms), Input(dy), Target(dx), lanes, epsilon, width), lanes.Groups);
    }

    internal readonly record struct L2NormalizeKernel<TLayout>(
        ArrayView<float> X, ArrayView<float> Y, ArrayView<float> Norms, RowLanes Lanes, float Epsilon, int Width) : IGpuKernel
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
            float squares = x.Dot(x);
            for (RowPart part = first.Next; part.Exists; part = part.Next)
            {
                RowSlice other = RowSlice.Load<TLayout>(X, start, part);
                squares += other.Dot(other);
            }

            float norm = MathF.Sqrt(GroupReduction.Sum(shared, squares, Lanes.Count)), factor = 1f / MathF.Max(norm, Epsilon);
            if (row < Lanes.Rows && Lanes.Lane == 0) Norms[row] = norm;
            (x * factor).Store<TLayout>(Y, start, first);
            for (RowPart part = first.Next; part.Exists; part = part.Next) (RowSlice.Load<TLayout>(X, start, part) * factor).Store<TLayout>(Y, start, part);
        }
    }

    internal readonly record struct L2NormalizeBackwardKernel<TLayout>(
        ArrayView<float> Y, ArrayView<float> Norms, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, float Epsilon, int Width) : IGpuKernel
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
            RowSlice y = RowSlice.Load<TLayout>(Y, start, first), dy = RowSlice.Load<TLayout>(DY, start, first);
            float projection = y.Dot(dy), norm = first.Exists ? Norms[row] : 0f;
            for (RowPart part = first.Next; part.Exists; part = part.Next)
                projection += RowSlice.Load<TLayout>(Y, start, part).Dot(RowSlice.Load<TLayout>(DY, start, part));
            projection = GroupReduction.Sum(shared, projection, Lanes.Count);
            if (!(norm > Epsilon)) projection = 0f;
            float factor = 1f / MathF.Max(norm, Epsilon);
            ((dy - (y * projection)) * factor).Put<TLayout>(DX, start, first);
            for (RowPart part = first.Next; part.Exists; part = part.Next)
                ((RowSlice.Load<TLayout>(DY, start, part) - (RowSlice.Load<TLayout>(Y, start, part) * projection)) * factor).Put<TLayout>(DX, start, part);
        }
    }
}
