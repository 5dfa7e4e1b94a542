namespace MiniVlp.Kernels;

/// <summary>How a GPU rounds the operands of matrix products; sums, results, parameters and everything else are float32 in any case.</summary>
public enum MatMulPrecision
{
    /// <summary>Not at all.</summary>
    Float32,

    /// <summary>To 11 bits of mantissa, on the tensor cores of CUDA devices from sm_80 on; other devices do not round.</summary>
    TensorFloat32,

    /// <summary>
    /// To bfloat16, 8 bits of mantissa with the range of float32: mixed precision. On the tensor cores of CUDA devices from sm_80 on; other devices
    /// round the operands and compute in float32, so that the accuracy is the same.
    /// </summary>
    BFloat16,
}
