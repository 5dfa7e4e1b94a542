using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Fill(DeviceBuffer destination, float value)
    {
        int quads = Float4.CountIn(destination.Length, destination);
        LaunchElements(new FillKernel(Output(destination), value, quads), quads > 0 ? quads : destination.Length);
    }

    internal readonly record struct FillKernel(ArrayView<float> Destination, float Value, int Quads) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long first = Grid.GlobalLinearIndex, step = Grid.DimX * GroupSize;
            for (long quad = first; quad < Quads; quad += step) Destination.Cast<Float4>()[quad] = Float4.Of(Value);
            for (long i = ((long)Quads * Float4.Length) + first; i < Destination.Length; i += step) Destination[i] = Value;
        }
    }
}
