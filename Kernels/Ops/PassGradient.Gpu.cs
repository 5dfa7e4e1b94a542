using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void PassGradient(DeviceBuffer dy, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        if (dx.Accumulate) LaunchElements(new PassGradientKernel(Input(dy), Target(dx)), dy.Length);
        else Copy(dy, dx.Buffer);
    }

    internal readonly record struct PassGradientKernel(ArrayView<float> DY, GpuTarget DX) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < DY.Length; i += Grid.DimX * GroupSize) DX.Put(i, DY[i]);
        }
    }
}
