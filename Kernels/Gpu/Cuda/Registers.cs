namespace MiniVlp.Kernels.Gpu.Cuda;

// What one thread holds in registers, as structs of named fields: ILGPU takes them apart into registers, and neither arrays nor indices would be.

/// <summary>Two floats.</summary>
internal struct Float2
{
    public float X, Y;
}

/// <summary>Two 32-bit words.</summary>
internal struct UInt2
{
    public uint X, Y;
}

/// <summary>Four 32-bit words: 128 bits of memory, or what a thread holds of a 16 x 16 operand of bfloat16.</summary>
internal struct UInt4
{
    public uint X, Y, Z, W;
}

/// <summary>
/// Accumulators of 16 rows x 32 columns a warp: one <see cref="Float4"/> for each 8 columns, in which a thread holds (g, 2q), (g, 2q + 1),
/// (g + 8, 2q) and (g + 8, 2q + 1) with g = lane / 4 and q = lane % 4.
/// </summary>
internal struct Accumulator32
{
    public Float4 C0, C1, C2, C3;
}

/// <summary>Accumulators of 16 rows x 64 columns a warp.</summary>
internal struct Accumulator64
{
    public Float4 C0, C1, C2, C3, C4, C5, C6, C7;
}

/// <summary>Accumulators of 16 rows x 80 columns a warp.</summary>
internal struct Accumulator80
{
    public Accumulator64 Low;
    public Float4 C8, C9;
}

/// <summary>Accumulators of 16 rows x 128 columns a warp.</summary>
internal struct Accumulator128
{
    public Accumulator64 Low, High;
}

/// <summary>Accumulators of 16 rows x 256 columns a warp: with m64n256 of wgmma, 128 registers a thread.</summary>
internal struct Accumulator256
{
    public Accumulator128 Low, High;
}
