using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// What happens to the sums of a block before they go to C: z = α · sums + β · C + bias, C = f(z) + residual, and z to PreActivation. The sums
/// pass through shared memory, because an accumulator's place in a warp would scatter the accesses: 64 floats of a row lie together there, the
/// 16-byte chunk c of row r at c ^ 2 (r % 4), which keeps stores and loads free of bank conflicts.
/// </summary>
/// <param name="C">The result; read where β is not 0.</param>
/// <param name="Bias">One element for each column, or empty.</param>
/// <param name="Residual">As large as C, or empty.</param>
/// <param name="PreActivation">As large as C, or empty.</param>
/// <param name="Copy">C as bfloat16, or empty; for aligned C of which it is worth it.</param>
/// <param name="Rows">Rows of one C.</param>
/// <param name="Columns">Columns of one C.</param>
/// <param name="Alpha">α.</param>
/// <param name="Beta">β.</param>
/// <param name="IsAligned">1: columns are a multiple of 4 and all addresses of 16 bytes; 0: one element at a time.</param>
internal readonly record struct TensorCoreEpilogue<TActivation>(
    ArrayView<float> C, ArrayView<float> Bias, ArrayView<float> Residual, ArrayView<float> PreActivation, ArrayView<float> Copy,
    int Rows, int Columns, float Alpha, float Beta, int IsAligned)
    where TActivation : struct, IUnaryOp
{
    /// <summary>Puts 16 rows of accumulators into shared memory, 256 bytes a row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stage(in Accumulator64 sums, uint shared, uint lane)
    {
        Stage32(sums.C0, sums.C1, sums.C2, sums.C3, shared, 256, 0, lane);
        Stage32(sums.C4, sums.C5, sums.C6, sums.C7, shared, 256, 8, lane);
    }

    /// <summary>Puts 16 rows x 32 columns of accumulators into shared memory, from a 16-byte chunk of the row on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stage32(Float4 c0, Float4 c1, Float4 c2, Float4 c3, uint shared, uint rowBytes, uint chunk, uint lane)
    {
        uint row = lane >> 2, swizzle = (row & 3) << 1, at = shared + (row * rowBytes) + ((lane & 1) << 3), below = 8 * rowBytes, column = chunk + ((lane >> 1) & 1);
        Stage8(c0, at + (((column + 0) ^ swizzle) << 4), below);
        Stage8(c1, at + (((column + 2) ^ swizzle) << 4), below);
        Stage8(c2, at + (((column + 4) ^ swizzle) << 4), below);
        Stage8(c3, at + (((column + 6) ^ swizzle) << 4), below);
    }

    /// <summary>
    /// Finishes what a warp has staged: <paramref name="count"/> rows of 64 or 32 columns, whose logarithm <paramref name="width"/> is (both are
    /// constants); the first of them is C[row, column] of the product that starts at element <paramref name="start"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Finish(uint shared, int count, int width, long start, int row, int column, uint lane)
    {
        if (IsAligned != 0) FinishVectors(shared, count, width, start, row, column, (int)lane);
        else FinishElements(shared, count, width, start, row, column, (int)lane);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Stage8(Float4 c, uint at, uint below)
    {
        StoreShared(at, c.X, c.Y);
        StoreShared(at + below, c.Z, c.W);
    }

    /// <summary>128 bits a lane: a row of 64 takes half a warp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FinishVectors(uint shared, int count, int width, long start, int row, int column, int lane)
    {
        int chunk = lane & ((1 << (width - 2)) - 1);
        column += chunk * 4;
        if (column >= Columns) return;
        ulong c = GlobalAddress(C), residual = GlobalAddress(Residual), pre = GlobalAddress(PreActivation), copy = GlobalAddress(Copy);
        Float4 bias = default;
        if (Bias.Length > 0) bias = LoadConstantFloat4(GlobalAddress(Bias) + ((ulong)(uint)column * 4));
        for (int i = lane >> (width - 2); i < count; i += 128 >> width)
        {
            if (row + i >= Rows) break;
            Float4 z = LoadSharedFloat4(shared + (uint)((i << (width + 2)) + ((chunk ^ ((i & 3) << 1)) << 4)));
            ulong at = (ulong)(start + ((long)(row + i) * Columns) + column) * 4;
            z.X = (z.X * Alpha) + bias.X;
            z.Y = (z.Y * Alpha) + bias.Y;
            z.Z = (z.Z * Alpha) + bias.Z;
            z.W = (z.W * Alpha) + bias.W;
            if (Beta != 0f)
            {
                Float4 before = LoadGlobalFloat4(c + at);
                z.X += Beta * before.X;
                z.Y += Beta * before.Y;
                z.Z += Beta * before.Z;
                z.W += Beta * before.W;
            }

            if (PreActivation.Length > 0) StoreGlobal(pre + at, z);
            z.X = GpuMath.Forward<TActivation>(z.X);
            z.Y = GpuMath.Forward<TActivation>(z.Y);
            z.Z = GpuMath.Forward<TActivation>(z.Z);
            z.W = GpuMath.Forward<TActivation>(z.W);
            if (Residual.Length > 0)
            {
                Float4 addend = LoadConstantFloat4(residual + at);
                z.X += addend.X;
                z.Y += addend.Y;
                z.Z += addend.Z;
                z.W += addend.W;
            }

            StoreGlobal(c + at, z);
            if (Copy.Length > 0) StoreGlobal(copy + (at >> 1), PackBFloat16(z.X, z.Y), PackBFloat16(z.Z, z.W));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FinishElements(uint shared, int count, int width, long start, int row, int column, int lane)
    {
        for (int place = lane; place < count << width; place += 32)
        {
            int r = place >> width, at = place & ((1 << width) - 1);
            if (row + r >= Rows || column + at >= Columns) continue;
            long index = start + ((long)(row + r) * Columns) + column + at;
            float z = LoadSharedFloat(shared + (uint)((r << (width + 2)) + (((at >> 2) ^ ((r & 3) << 1)) << 4) + ((at & 3) << 2))) * Alpha;
            if (Bias.Length > 0) z += Bias[column + at];
            if (Beta != 0f) z += Beta * C[index];
            if (PreActivation.Length > 0) PreActivation[index] = z;
            z = GpuMath.Forward<TActivation>(z);
            if (Residual.Length > 0) z += Residual[index];
            C[index] = z;
        }
    }
}
