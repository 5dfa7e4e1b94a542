using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Gpu;

/// <summary>Sets what products and attention compute with.</summary>
internal static class PrecisionChoice
{
    /// <summary>Sets it for all that the device computes from here on.</summary>
    /// <exception cref="NotSupportedException">There is no such precision, or the device has none but float32.</exception>
    public static void Use(Device device, string precision)
    {
        MatMulPrecision choice = precision switch
        {
            "float32" => MatMulPrecision.Float32,
            "tf32" => MatMulPrecision.TensorFloat32,
            "bf16" => MatMulPrecision.BFloat16,
            _ => throw new NotSupportedException($"There is no precision {precision}."),
        };
        if (device.Backend is GpuBackend gpu) gpu.Precision = choice;
        else if (choice != MatMulPrecision.Float32) throw new NotSupportedException($"{device} does not compute in {precision}.");
    }
}
