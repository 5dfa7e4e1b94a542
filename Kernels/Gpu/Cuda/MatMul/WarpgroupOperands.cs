using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// The operands of a product by wgmma: their type, and how they lie. A row of 128 bytes in shared memory is a step deep, or a step of an operand
/// whose steps are contiguous is made of such rows; an instruction is 32 bytes of depth.
/// </summary>
internal interface IWarpgroupOperands
{
    /// <summary>Whether elements are float32, to be read as TF32, instead of bfloat16.</summary>
    static abstract bool IsTensorFloat32 { get; }

    /// <summary>Whether A is stored as Depth x Rows.</summary>
    static abstract bool IsStepContiguousA { get; }

    /// <summary>Whether B is stored as Depth x Columns.</summary>
    static abstract bool IsStepContiguousB { get; }

    /// <summary>c + a · b for 64 x 256 elements of C and one instruction of depth.</summary>
    static abstract Accumulator256 Multiply(Accumulator256 c, ulong a, ulong b);

    /// <summary>c + a · b for 64 x 192 elements of C and one instruction of depth.</summary>
    static abstract Accumulator192 Multiply(Accumulator192 c, ulong a, ulong b);
}

/// <summary>bfloat16, in every layout: descriptors transpose on the way.</summary>
internal readonly struct BFloat16Operands<TA, TB> : IWarpgroupOperands
    where TA : struct, IOperandLayout
    where TB : struct, IOperandLayout
{
    public static bool IsTensorFloat32 => false;

    public static bool IsStepContiguousA => TA.IsStepContiguous;

    public static bool IsStepContiguousB => TB.IsStepContiguous;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator256 Multiply(Accumulator256 c, ulong a, ulong b)
        => InstructionsHopper.Multiply(c, a, b, TA.IsStepContiguous ? 1 : 0, TB.IsStepContiguous ? 1 : 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator192 Multiply(Accumulator192 c, ulong a, ulong b)
        => InstructionsHopper.Multiply(c, a, b, TA.IsStepContiguous ? 1 : 0, TB.IsStepContiguous ? 1 : 0);
}

/// <summary>
/// float32 as TF32. wgmma transposes elements of 16 bits alone, so that both operands must have contiguous depth: x · Wᵀ, as a linear layer has
/// it. wgmma itself cuts the lower 13 bits of an element off; the TMA unit rounds to TF32 on the way to shared memory, by the type in the map.
/// </summary>
internal readonly struct TensorFloat32Operands : IWarpgroupOperands
{
    public static bool IsTensorFloat32 => true;

    public static bool IsStepContiguousA => false;

    public static bool IsStepContiguousB => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator256 Multiply(Accumulator256 c, ulong a, ulong b) => InstructionsHopper.MultiplyTensorFloat32(c, a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator192 Multiply(Accumulator192 c, ulong a, ulong b) => InstructionsHopper.MultiplyTensorFloat32(c, a, b);
}
