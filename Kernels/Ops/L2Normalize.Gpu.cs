using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void L2Normalize(DeviceBuffer x, float epsilon, int width, DeviceBuffer y, DeviceBuffer norms)
    {
        RowLanes lanes = RowLanes.For(norms.Length, width);
        Launch(new L2NormalizeKernel(Input(x), Output(y), Output(norms), lanes, epsilon, width), lanes.Groups);
    }

    /// <inheritdoc/>
    public void L2NormalizeBackward(DeviceBuffer y, DeviceBuffer norms, DeviceBuffer dy, float epsilon, int width, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        RowLanes lanes = RowLanes.For(norms.Length, width);
        Launch(new L2NormalizeBackwardKernel(Input(y), Input(norms), Input(dy), Target(dx), lanes, epsilon, width), lanes.Groups);
    }

    internal readonly record struct L2NormalizeKernel(
        ArrayView<float> X, ArrayView<float> Y, ArrayView<float> Norms, RowLanes Lanes, float Epsilon, int Width) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Width : 0;
            long start = (long)row * Width;
            float squares = 0f;
            for (int i = lane; i < end; i += Lanes.Count) squares = MathF.FusedMultiplyAdd(X[start + i], X[start + i], squares);
            float norm = MathF.Sqrt(GroupReduction.Sum(shared, squares, Lanes.Count)), factor = 1f / MathF.Max(norm, Epsilon);
            if (row < Lanes.Rows && lane == 0) Norms[row] = norm;
            for (int i = lane; i < end; i += Lanes.Count) Y[start + i] = X[start + i] * factor;
        }
    }

    internal readonly record struct L2NormalizeBackwardKernel(
        ArrayView<float> Y, ArrayView<float> Norms, ArrayView<float> DY, GpuTarget DX, RowLanes Lanes, float Epsilon, int Width) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Width : 0;
            long start = (long)row * Width;
            float projection = 0f, norm = end > 0 ? Norms[row] : 0f;
            for (int i = lane; i < end; i += Lanes.Count) projection = MathF.FusedMultiplyAdd(Y[start + i], DY[start + i], projection);
            projection = GroupReduction.Sum(shared, projection, Lanes.Count);
            if (!(norm > Epsilon)) projection = 0f;
            float factor = 1f / MathF.Max(norm, Epsilon);
            for (int i = lane; i < end; i += Lanes.Count) DX.Put(start + i, (DY[start + i] - (Y[start + i] * projection)) * factor);
        }
    }
}
