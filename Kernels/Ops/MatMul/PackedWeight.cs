namespace MiniVlp.Kernels;

/// <summary>How a <see cref="PackedWeight"/> stores its elements; sums are float32 with each of them.</summary>
public enum WeightFormat
{
    /// <summary>4 bytes, exact.</summary>
    Float32,

    /// <summary>2 bytes: the upper half of a float32, rounded to nearest even; 8 bits of precision.</summary>
    BFloat16,

    /// <summary>1 byte: round(127 · w / s) with s the largest magnitude of the output's row (symmetric, one scale for each output).</summary>
    Int8,
}

/// <summary>
/// The weight [outputs, inputs] of a linear layer, rearranged once for the products of the backend that made it
/// (<see cref="IBackend.PackWeight"/>): for inference, where it is read many times and never written.
/// </summary>
public sealed class PackedWeight : IDisposable
{
    private readonly IBackend _backend;

    internal PackedWeight(IBackend backend, DeviceBuffer memory, DeviceBuffer scales, int outputs, int inputs, WeightFormat format)
        => (_backend, Memory, Scales, Outputs, Inputs, Format) = (backend, memory, scales, outputs, inputs, format);

    /// <summary>Rows of the weight: size of the last axis of the result.</summary>
    public int Outputs { get; }

    /// <summary>Columns of the weight: size of the last axis of the operand.</summary>
    public int Inputs { get; }

    /// <summary>How the elements are stored.</summary>
    public WeightFormat Format { get; }

    /// <summary>Bytes that it takes.</summary>
    public long Bytes => sizeof(float) * ((long)Memory.Length + Scales.Length);

    /// <summary>Elements in the order of the backend, in whatever format, counted in floats.</summary>
    internal DeviceBuffer Memory { get; private set; }

    /// <summary>One factor for each output, or no buffer.</summary>
    internal DeviceBuffer Scales { get; private set; }

    /// <summary>Gives its memory back.</summary>
    public void Dispose()
    {
        if (!Memory.IsNull) _backend.Return(Memory);
        if (!Scales.IsNull) _backend.Return(Scales);
        Memory = Scales = default;
    }

    /// <exception cref="InvalidOperationException">Another backend made it, or it was disposed.</exception>
    internal void RequireBackend(IBackend backend)
    {
        if (!ReferenceEquals(backend, _backend)) throw new InvalidOperationException($"The weight was packed for {_backend.Name}, and {backend.Name} is to multiply by it.");
        if (Memory.IsNull) throw new InvalidOperationException("The packed weight was disposed.");
    }
}

public partial interface IBackend
{
    /// <summary>Rearranges the weight of a linear layer for <see cref="MatMulPacked{TActivation}"/>; the weight itself is not needed afterwards.</summary>
    /// <param name="weight">W [outputs, inputs].</param>
    /// <param name="outputs">Rows of W.</param>
    /// <param name="inputs">Columns of W.</param>
    /// <param name="format">How to store the elements. GPUs have float32 here; their <see cref="MatMulPrecision"/> rounds both operands.</param>
    /// <exception cref="NotSupportedException">The backend lacks the format.</exception>
    PackedWeight PackWeight(DeviceBuffer weight, int outputs, int inputs, WeightFormat format);

    /// <summary>
    /// C = f(A · Wᵀ + bias) + residual for A [rows, inputs], C and residual [rows, outputs], bias [outputs]; bias and residual may be absent.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another backend packed the weight.</exception>
    void MatMulPacked<TActivation>(PackedWeight weight, int rows, DeviceBuffer a, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual)
        where TActivation : struct, IUnaryOp;

    /// <summary>C = A · Wᵀ + bias + residual.</summary>
    /// <exception cref="InvalidOperationException">Another backend packed the weight.</exception>
    void MatMulPacked(PackedWeight weight, int rows, DeviceBuffer a, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual);
}
