namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// A copy of float32 elements in bfloat16, kept with the memory that it was made from (<see cref="GpuMemory.Copy"/>): a parameter is converted once
/// for each step of the optimizer, an activation once for the forward and the backward pass.
/// </summary>
/// <param name="Buffer">Two elements in each float; from the pool, and returned to it with the memory.</param>
/// <param name="Version">The version of the memory that was copied.</param>
/// <param name="Offset">First element that was copied.</param>
/// <param name="Length">Number of elements that were copied.</param>
/// <param name="Columns">Elements of one row, where rows were padded to a multiple of 8 elements; 0 where there was nothing to pad.</param>
internal sealed record BFloat16Copy(DeviceBuffer Buffer, long Version, int Offset, int Length, int Columns)
{
    /// <summary>A version that no memory has.</summary>
    public const long NotMade = -1;
}
