using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>What an element-wise kernel computes, as a type: one number from elements of up to three full operands and one small operand.</summary>
internal interface IGpuTerm
{
    /// <summary>How many of the full operands a, b, c are read.</summary>
    static abstract int OperandCount { get; }

    /// <summary>Whether the small operand is read.</summary>
    static abstract bool UsesSmall { get; }

    /// <summary>The term of one element; <paramref name="p"/> and <paramref name="q"/> are numbers that all elements share.</summary>
    static abstract float At(float a, float b, float c, float small, float p, float q);
}

/// <summary>The operands of an <see cref="IGpuTerm"/>; those that it does not read are empty.</summary>
internal readonly record struct TermOperands(ArrayView<float> A, ArrayView<float> B, ArrayView<float> C, ArrayView<float> Small, float P, float Q)
{
    /// <summary>The term of one element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float At<TTerm>(long index, float small)
        where TTerm : struct, IGpuTerm
        => TTerm.At(
            TTerm.OperandCount > 0 ? A[index] : 0f,
            TTerm.OperandCount > 1 ? B[index] : 0f,
            TTerm.OperandCount > 2 ? C[index] : 0f,
            small,
            P,
            Q);

    /// <summary>The terms of four elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 QuadAt<TTerm>(long quad, Float4 small)
        where TTerm : struct, IGpuTerm
    {
        Float4 a = TTerm.OperandCount > 0 ? Float4.Load(A, quad) : default;
        Float4 b = TTerm.OperandCount > 1 ? Float4.Load(B, quad) : default;
        Float4 c = TTerm.OperandCount > 2 ? Float4.Load(C, quad) : default;
        return new Float4(
            TTerm.At(a.X, b.X, c.X, small.X, P, Q),
            TTerm.At(a.Y, b.Y, c.Y, small.Y, P, Q),
            TTerm.At(a.Z, b.Z, c.Z, small.Z, P, Q),
            TTerm.At(a.W, b.W, c.W, small.W, P, Q));
    }
}
