using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.PtxSim.Tests.Faults;

/// <summary>
/// C = A · Bᵀ in bfloat16, one tile of 64 x 64 a group, by cp.async in a ring of three stages, ldmatrix and mma.sync: the smallest kernel with
/// everything in it that can be wrong in a pipeline. Rows and columns are multiples of 64, the depth too.
/// </summary>
internal readonly record struct PipelinedProduct(ArrayView<uint> A, ArrayView<uint> B, ArrayView<float> C, int Columns, int Depth) : IGpuKernel
{
    private const int StageBytes = 2 * 64 * 128;

    public static int GroupSize => 128;

    public static int DynamicSharedBytes => 3 * StageBytes;

    public static CudaLevel Level => CudaLevel.Sm80;

    public void Execute()
    {
        uint shared = DynamicSharedAddress(), thread = (uint)Group.IdxX, lane = thread & 31, warp = thread >> 5;
        uint row = thread >> 3, chunk = thread & 7, to = shared + (row * 128) + ((chunk ^ (row & 7)) << 4);
        ulong rowBytes = (ulong)Depth * 2;
        ulong a = GlobalAddress(A) + ((((uint)Grid.IdxX * 64) + row) * rowBytes) + (chunk * 16);
        ulong b = GlobalAddress(B) + ((((uint)Grid.IdxY * 64) + row) * rowBytes) + (chunk * 16);
        int steps = Depth / 64;
        for (int step = 0; step < 2; step++)
        {
            if (step < steps) Copy(to + ((uint)step * StageBytes), a + ((ulong)step * 128), b + ((ulong)step * 128), rowBytes);
            CopyAsyncCommit();
        }

        Accumulator64 c = default;
        for (int step = 0; step < steps; step++)
        {
            CopyAsyncWait(1);
            Barrier();
            uint stage = shared + ((uint)(step % 3) * StageBytes), rowA = (warp * 16) + (lane & 15), rowB = (lane & 7) + ((lane >> 4) * 8);
            for (uint k = 0; k < 4; k++)
            {
                UInt4 left = LoadMatrices(stage + (rowA * 128) + ((((2 * k) + (lane >> 4)) ^ (rowA & 7)) << 4));
                uint right = stage + 8192 + (rowB * 128) + ((((2 * k) + ((lane >> 3) & 1)) ^ (rowB & 7)) << 4);
                Multiply(ref c.C0, ref c.C1, left, LoadMatrices(right));
                Multiply(ref c.C2, ref c.C3, left, LoadMatrices(right + 2048));
                Multiply(ref c.C4, ref c.C5, left, LoadMatrices(right + 4096));
                Multiply(ref c.C6, ref c.C7, left, LoadMatrices(right + 6144));
            }

            int next = step + 2;
            if (next < steps) Copy(to + ((uint)(next % 3) * StageBytes), a + ((ulong)next * 128), b + ((ulong)next * 128), rowBytes);
            CopyAsyncCommit();
        }

        CopyAsyncWait(0);
        Store(c, ((uint)Grid.IdxX * 64) + (warp * 16) + (lane >> 2), ((uint)Grid.IdxY * 64) + ((lane & 3) * 2));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(uint to, ulong a, ulong b, ulong rowBytes)
    {
        for (uint i = 0; i < 4; i++)
        {
            CopyAsync(to + (i * 2048), a + (i * 16 * rowBytes));
            CopyAsync(to + 8192 + (i * 2048), b + (i * 16 * rowBytes));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(ref Float4 c0, ref Float4 c1, UInt4 a, UInt4 b)
    {
        c0 = MultiplyBFloat16(c0, a, b.X, b.Y);
        c1 = MultiplyBFloat16(c1, a, b.Z, b.W);
    }

    /// <summary>Stores 16 x 64 sums of a warp; row and column are those of the lane's first element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Store(Accumulator64 c, uint row, uint column)
    {
        ulong to = GlobalAddress(C) + (((ulong)row * (ulong)Columns) + column) * 4, below = to + ((ulong)Columns * 32);
        StoreTile(to, below, c.C0);
        StoreTile(to + 32, below + 32, c.C1);
        StoreTile(to + 64, below + 64, c.C2);
        StoreTile(to + 96, below + 96, c.C3);
        StoreTile(to + 128, below + 128, c.C4);
        StoreTile(to + 160, below + 160, c.C5);
        StoreTile(to + 192, below + 192, c.C6);
        StoreTile(to + 224, below + 224, c.C7);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreTile(ulong to, ulong below, Float4 c)
    {
        StoreGlobal(to, c.X, c.Y);
        StoreGlobal(below, c.Z, c.W);
    }
}
