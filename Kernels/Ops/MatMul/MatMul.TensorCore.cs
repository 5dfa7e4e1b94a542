namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Computes a product on tensor cores, or returns false for the portable kernels to do it.</summary>
    private static bool TryTensorCoreMatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
        => false;
}
