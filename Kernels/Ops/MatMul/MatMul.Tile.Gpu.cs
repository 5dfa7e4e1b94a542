using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Sizes of the products of one launch, and how they are divided among groups.</summary>
    /// <param name="Rows">Rows of C.</param>
    /// <param name="Columns">Columns of C.</param>
    /// <param name="Depth">Steps of the sum.</param>
    /// <param name="StrideA">Elements from one stored row of A to the next.</param>
    /// <param name="StrideB">Elements from one stored row of B to the next.</param>
    /// <param name="InnerBatch">Products along the inner batch axis.</param>
    /// <param name="OuterStrideA">Elements from one A to the next along the outer batch axis.</param>
    /// <param name="InnerStrideA">Elements from one A to the next along the inner batch axis.</param>
    /// <param name="OuterStrideB">Elements from one B to the next along the outer batch axis.</param>
    /// <param name="InnerStrideB">Elements from one B to the next along the inner batch axis.</param>
    /// <param name="Products">Number of products.</param>
    /// <param name="RowTiles">Tiles down C.</param>
    /// <param name="ColumnTiles">Tiles across C.</param>
    /// <param name="PartDepth">Steps of the sum that one group takes; less than all when parts of a sum go to different groups.</param>
    internal readonly record struct MatMulGrid(
        int Rows, int Columns, int Depth, int StrideA, int StrideB, int InnerBatch,
        int OuterStrideA, int InnerStrideA, int OuterStrideB, int InnerStrideB, int Products, int RowTiles, int ColumnTiles, int PartDepth)
    {
        /// <summary>Where A of a product begins.</summary>
        public long OffsetA(int product) => ((long)(product / InnerBatch) * OuterStrideA) + ((long)(product % InnerBatch) * InnerStrideA);

        /// <summary>Where B of a product begins.</summary>
        public long OffsetB(int product) => ((long)(product / InnerBatch) * OuterStrideB) + ((long)(product % InnerBatch) * InnerStrideB);
    }

    /// <summary>
    /// One group computes one square tile of C, or the part of its sums that a stretch of the depth gives; the finished sums pass through shared memory,
    /// so that C is written row by row.
    /// </summary>
    internal readonly record struct MatMulTileKernel<TTile, TLeft, TRight, [EpilogueActivations] TActivation>(
        ArrayView<float> A, ArrayView<float> B, MatMulGrid Sizes, MatMulEpilogue<TActivation> Epilogue) : IGpuKernel
        where TTile : struct, IThreadTile<TTile>
        where TLeft : struct, ITileLayout
        where TRight : struct, ITileLayout
        where TActivation : struct, IUnaryOp
    {
        /// <summary>Row tiles that are walked down before the next column of tiles, so that groups that run together share operands in the cache.</summary>
        private const int RowTilesTogether = 8;

        public static int GroupSize => 256;

        public static bool IsHot => true;

        public static bool KeepsOrder => true;

        public static int MinGroupsPerMultiprocessor => TTile.GroupsPerMultiprocessor;

        public void Execute()
        {
            ArrayView<Float4> shared = SharedMemory.Allocate<Float4>(TileProduct.Length);
            int tiles = Sizes.RowTiles * Sizes.ColumnTiles;
            int tile = Grid.IdxX % tiles, product = Grid.IdxX / tiles % Sizes.Products, part = Grid.IdxX / tiles / Sizes.Products;
            int firstTogether = tile / (RowTilesTogether * Sizes.ColumnTiles) * RowTilesTogether, inside = tile - (firstTogether * Sizes.ColumnTiles);
            int together = Sizes.RowTiles - firstTogether < RowTilesTogether ? Sizes.RowTiles - firstTogether : RowTilesTogether;
            int firstRow = (firstTogether + (inside % together)) * TTile.Size, firstColumn = inside / together * TTile.Size;
            int step = part * Sizes.PartDepth, end = step + Sizes.PartDepth < Sizes.Depth ? step + Sizes.PartDepth : Sizes.Depth;

            TileOperand left = new(A, Sizes.OffsetA(product), Sizes.Rows, Sizes.StrideA);
            TileOperand right = new(B, Sizes.OffsetB(product), Sizes.Columns, Sizes.StrideB);
            TTile sums = default;
            TileProduct.Add<TTile, TLeft, TRight>(ref sums, shared, left, firstRow, right, firstColumn, step, end);

            ArrayView<float> floats = shared.Cast<float>();
            long start = (((long)part * Sizes.Products) + product) * Sizes.Rows;
            for (int i = 0; i < TTile.Parts; i++)
            {
                TTile.PutPart(sums, shared, i);
                Group.Barrier();
                for (int element = Group.IdxX; element < 4096; element += GroupSize)
                {
                    int row = firstRow + TTile.RowOfPart(i, (int)((uint)element / (uint)TTile.Size)), column = firstColumn + (element & (TTile.Size - 1));
                    if (row < Sizes.Rows && column < Sizes.Columns)
                        Epilogue.Finish(((start + row) * Sizes.Columns) + column, column, floats[element]);
                }

                Group.Barrier();
            }
        }
    }
}
