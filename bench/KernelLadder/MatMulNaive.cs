using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.KernelLadder;

/// <summary>
/// C = A · B, step 1: one thread computes one element, straight from the formula c_ij = Σ_k a_ik b_kj.
/// <para>
/// What limits it: every multiplication and addition (2 flops) asks the caches for two floats (8 bytes), a quarter of a flop a byte. Threads
/// of one warp share a row of A and read neighbouring elements of B, so that the requests are wide; but nothing is kept in the program's
/// own hands, and the load units are busy all the time while the arithmetic waits.
/// </para>
/// </summary>
/// <param name="A">[size, size].</param>
/// <param name="B">[size, size].</param>
/// <param name="C">[size, size].</param>
/// <param name="Size">A multiple of 64.</param>
internal readonly record struct NaiveMatMulKernel(ArrayView<float> A, ArrayView<float> B, ArrayView<float> C, int Size) : IGpuKernel
{
    public static int GroupSize => 256;

    /// <summary>Groups along x.</summary>
    public static int Groups(int size) => size * size / GroupSize;

    public void Execute()
    {
        int element = (Grid.IdxX * GroupSize) + Group.IdxX;
        int row = element / Size, column = element % Size;
        float sum = 0f;
        for (int k = 0; k < Size; k++) sum += A[(row * Size) + k] * B[(k * Size) + column];
        C[element] = sum;
    }
}
