using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The operands of a tensor core; the sums are float32 in any case. 32 bytes of an operand are one instruction deep: 16 bfloat16 or 8 float32.</summary>
internal interface ITensorCorePrecision
{
    /// <summary>Bytes of one element.</summary>
    static abstract int Bytes { get; }

    /// <summary>Whether there are registers for the operands of the next instruction beside those of the present one.</summary>
    static abstract bool LoadsAhead { get; }

    /// <summary>c + a · b for 16 x 8 elements of C.</summary>
    static abstract Float4 Multiply(Float4 c, UInt4 a, uint b0, uint b1);

    /// <summary>What has to be done to a word of an operand before it is multiplied.</summary>
    static abstract uint Round(uint word);
}

/// <summary>bfloat16: 8 bits of mantissa, the range of float32.</summary>
internal readonly struct BFloat16Precision : ITensorCorePrecision
{
    public static int Bytes => 2;

    public static bool LoadsAhead => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Multiply(Float4 c, UInt4 a, uint b0, uint b1) => InstructionsAmpere.MultiplyBFloat16(c, a, b0, b1);

    public static uint Round(uint word) => word;
}

/// <summary>TF32: float32 in memory, 11 bits of mantissa in the product. The hardware would cut the rest off; it is rounded before, here for mma.sync and by the TMA unit for wgmma.</summary>
internal readonly struct TensorFloat32Precision : ITensorCorePrecision
{
    public static int Bytes => 4;

    public static bool LoadsAhead => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Multiply(Float4 c, UInt4 a, uint b0, uint b1) => InstructionsAmpere.MultiplyTensorFloat32(c, a, b0, b1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Round(uint word) => InstructionsAmpere.RoundTensorFloat32(word);
}
