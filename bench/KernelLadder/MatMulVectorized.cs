using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.KernelLadder;

/// <summary>
/// C = A · B, step 3: a group of 256 threads computes a tile of 64 x 64, and each thread a block of 4 x 4 of it in registers. For every
/// step of the sum a thread reads four elements of a column of A and four of a row of B, one 128-bit load each, and does 16 multiplications
/// and additions with them: an outer product. So that four elements of a *column* lie side by side, the tile of A is turned on its way into
/// shared memory; a gap behind each row of it keeps the threads that write it out of each other's memory banks.
/// <para>
/// What limits it: per group 16 flops a byte of memory, and 2 loads for 16 multiply-adds, so that the arithmetic units are busy most of the
/// time; what is left is the wait for memory at each stop, which a second pair of tiles, filled while the first is used, would hide, and the
/// instructions around the arithmetic, which blocks of 8 x 8 halve. The product's kernel does both. Beyond that stands the peak of FP32
/// itself, which only the tensor cores pass.
/// </para>
/// </summary>
/// <param name="A">[size, size].</param>
/// <param name="B">[size, size].</param>
/// <param name="C">[size, size].</param>
/// <param name="Size">A multiple of 64.</param>
internal readonly record struct VectorizedMatMulKernel(ArrayView<float> A, ArrayView<float> B, ArrayView<float> C, int Size) : IGpuKernel
{
    private const int Tile = 64, Depth = 16, Block = 4, BlocksAcross = Tile / Block, RowOfA = Tile + Block;

    public static int GroupSize => BlocksAcross * BlocksAcross;

    /// <summary>Groups along x and along y.</summary>
    public static int Groups(int size) => size / Tile;

    public void Execute()
    {
        ArrayView<Float4> a = SharedMemory.Allocate<Float4>(Depth * RowOfA / Block), b = SharedMemory.Allocate<Float4>(Depth * BlocksAcross);
        ArrayView<float> turned = a.Cast<float>();
        ArrayView<Float4> vectorsOfA = A.Cast<Float4>(), vectorsOfB = B.Cast<Float4>(), vectorsOfC = C.Cast<Float4>();
        int vectors = Size / Block, blockRow = Group.IdxX / BlocksAcross, blockColumn = Group.IdxX % BlocksAcross;

        // What this thread fetches: four steps of the sum in one row of A, four columns in one step of B.
        int loadRow = Group.IdxX / (Depth / Block), loadStep = Group.IdxX % (Depth / Block);
        int fromA = (((Grid.IdxY * Tile) + loadRow) * vectors) + loadStep;
        int fromB = (blockRow * vectors) + (Grid.IdxX * BlocksAcross) + blockColumn;
        Float4 row0 = default, row1 = default, row2 = default, row3 = default;
        for (int k = 0; k < Size; k += Depth)
        {
            Float4 steps = vectorsOfA[fromA + (k / Block)];
            int to = (loadStep * Block * RowOfA) + loadRow;
            turned[to] = steps.X;
            turned[to + RowOfA] = steps.Y;
            turned[to + (2 * RowOfA)] = steps.Z;
            turned[to + (3 * RowOfA)] = steps.W;
            b[Group.IdxX] = vectorsOfB[fromB + (k * vectors)];
            Group.Barrier();
            for (int i = 0; i < Depth; i++)
            {
                Float4 left = a[(i * RowOfA / Block) + blockRow], right = b[(i * BlocksAcross) + blockColumn];
                row0.AddProduct(left.X, right);
                row1.AddProduct(left.Y, right);
                row2.AddProduct(left.Z, right);
                row3.AddProduct(left.W, right);
            }

            Group.Barrier();
        }

        int element = (((Grid.IdxY * Tile) + (blockRow * Block)) * vectors) + (Grid.IdxX * BlocksAcross) + blockColumn;
        vectorsOfC[element] = row0;
        vectorsOfC[element + vectors] = row1;
        vectorsOfC[element + (2 * vectors)] = row2;
        vectorsOfC[element + (3 * vectors)] = row3;
    }
}
