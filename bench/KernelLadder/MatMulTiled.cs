using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.KernelLadder;

/// <summary>
/// C = A · B, step 2: a group of 16 x 16 threads computes a tile of 16 x 16 elements. It walks along the depth; at each stop the threads
/// bring a tile of A and a tile of B into shared memory, one element each, and then all read them from there.
/// <code>
///              B  ▯ 16 x 16          each element of A and B is read from memory
///                 ↓                  size / 16 times instead of size times
///    A  ▯ 16 x 16 →  C  ▯ 16 x 16
/// </code>
/// <para>
/// What limits it: memory is asked for a sixteenth (4 flops a byte), but each multiplication and addition still needs two loads from shared
/// memory, so that shared memory is now what the arithmetic waits for, and two barriers for every 16 steps of the sum.
/// </para>
/// </summary>
/// <param name="A">[size, size].</param>
/// <param name="B">[size, size].</param>
/// <param name="C">[size, size].</param>
/// <param name="Size">A multiple of 64.</param>
internal readonly record struct TiledMatMulKernel(ArrayView<float> A, ArrayView<float> B, ArrayView<float> C, int Size) : IGpuKernel
{
    private const int Tile = 16;

    public static int GroupSize => Tile * Tile;

    /// <summary>Groups along x and along y.</summary>
    public static int Groups(int size) => size / Tile;

    public void Execute()
    {
        ArrayView<float> a = SharedMemory.Allocate<float>(Tile * Tile), b = SharedMemory.Allocate<float>(Tile * Tile);
        int row = Group.IdxX / Tile, column = Group.IdxX % Tile;
        int fromA = (((Grid.IdxY * Tile) + row) * Size) + column, fromB = (row * Size) + (Grid.IdxX * Tile) + column;
        float sum = 0f;
        for (int k = 0; k < Size; k += Tile)
        {
            a[Group.IdxX] = A[fromA + k];
            b[Group.IdxX] = B[fromB + (k * Size)];
            Group.Barrier();
            for (int i = 0; i < Tile; i++) sum += a[(row * Tile) + i] * b[(i * Tile) + column];
            Group.Barrier();
        }

        C[(((Grid.IdxY * Tile) + row) * Size) + (Grid.IdxX * Tile) + column] = sum;
    }
}
