using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public PackedWeight PackWeight(DeviceBuffer weight, int outputs, int inputs, WeightFormat format)
    {
        if (format != WeightFormat.Float32)
            throw new NotSupportedException($"{Name} keeps weights as float32; its Precision says how products round them. WeightFormat.{format} is for the CPU.");
        DeviceBuffer copy = Rent(weight.Length);
        Copy(weight, copy);
        ((GpuMemory)copy.Memory!).IsConstant = true;
        return new PackedWeight(this, copy, default, outputs, inputs, format);
    }

    /// <inheritdoc/>
    public void MatMulPacked<TActivation>(PackedWeight weight, int rows, DeviceBuffer a, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual)
        where TActivation : struct, IUnaryOp
    {
        weight.RequireBackend(this);
        MatMul<TActivation>(new(rows, weight.Outputs, weight.Inputs) { TransposeB = true }, a, weight.Memory, c, bias, residual, default);
    }

    /// <inheritdoc/>
    public void MatMulPacked(PackedWeight weight, int rows, DeviceBuffer a, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual)
    {
        weight.RequireBackend(this);
        MatMul(new(rows, weight.Outputs, weight.Inputs) { TransposeB = true }, a, weight.Memory, c, bias, residual);
    }
}
