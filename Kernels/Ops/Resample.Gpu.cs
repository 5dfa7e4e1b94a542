using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Resample(DeviceBuffer x, DeviceBuffer table, ResampleArgs args, GradientTarget y)
    {
        if (y.IsNeeded) LaunchElements(new ResampleKernel(Input(x), Input(table), args, Target(y)), y.Buffer.Length);
    }

    internal readonly record struct ResampleKernel(ArrayView<float> X, ArrayView<float> Table, ResampleArgs Args, GpuTarget Y) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Y.View.Length; i += Grid.DimX * GroupSize)
            {
                int row = (int)i / Args.Inner, outer = row / Args.To, entry = (row - (outer * Args.To)) * (1 + Args.Taps);
                long at = ((((long)outer * Args.From) + (int)Table[entry]) * Args.Inner) + ((int)i - (row * Args.Inner));
                float sum = 0f;
                for (int tap = 0; tap < Args.Taps; tap++) sum = MathF.FusedMultiplyAdd(X[at + ((long)tap * Args.Inner)], Table[entry + 1 + tap], sum);
                Y.Put(i, sum);
            }
        }
    }
}
