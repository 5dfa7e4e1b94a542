using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <content>Which blocks there are, and the copies for them.</content>
internal readonly partial record struct WgmmaMatMulKernel<TBlocks, TOperands, TActivation>
{
    /// <summary>One thread: asks for step after step of block after block, as soon as there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Produce(uint shared, uint full, uint empty)
    {
        ulong mapA = GlobalAddress(MapA), mapB = GlobalAddress(MapB);
        uint stage = 0, phase = 1;
        for (int index = FirstIndex; index < Indices; index += IndexStride)
        {
            Place place = Locate(index);
            int productA = SharesA != 0 ? 0 : place.Product, productB = SharesB != 0 ? 0 : place.Product;
            for (int k = place.FirstDepth; k < place.EndDepth; k += Step)
            {
                uint to = shared + (stage * (uint)StageBytes), barrier = full + (8 * stage);
                BarrierWait(empty + (8 * stage), phase);
                BarrierArriveExpect(barrier, (uint)StageBytes);
                LoadRows(to, mapA, place.Row, k, productA, barrier);
                LoadColumns(to + (uint)RowsBytes, mapB, place.Column, k, productB, barrier);
                stage++;
                if (stage == Stages)
                {
                    stage = 0;
                    phase ^= 1;
                }
            }
        }
    }

    /// <summary>A step of A.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadRows(uint to, ulong map, int row, int k, int product, uint barrier)
    {
        if (!TOperands.IsStepContiguousA)
        {
            LoadTile(to, map, k, row, product, barrier);
            return;
        }

        LoadTile(to, map, row, k, product, barrier);
        if (BlockRows > 64) LoadTile(to + BoxBytes, map, row + 64, k, product, barrier);
    }

    /// <summary>A step of B, or this group's part of it for all groups of the cluster.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadColumns(uint to, ulong map, int column, int k, int product, uint barrier)
    {
        int columns = BlockColumns / TBlocks.ClusterSize;
        if (TBlocks.ClusterSize > 1)
        {
            int first = Rank * columns;
            column += first;
            to += (uint)first * 128;
        }

        if (!TOperands.IsStepContiguousB)
        {
            LoadPart(to, map, k, column, product, barrier);
            return;
        }

        LoadPart(to, map, column, k, product, barrier);
        if (columns > 64) LoadPart(to + BoxBytes, map, column + 64, k, product, barrier);
        if (columns <= 128) return;
        LoadPart(to + (2 * BoxBytes), map, column + 128, k, product, barrier);
        LoadPart(to + (3 * BoxBytes), map, column + 192, k, product, barrier);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadPart(uint to, ulong map, int x, int y, int product, uint barrier)
    {
        if (TBlocks.ClusterSize == 1) LoadTile(to, map, x, y, product, barrier);
        else LoadTile(to, map, x, y, product, barrier, (1 << TBlocks.ClusterSize) - 1);
    }

    /// <summary>The place of this group in its cluster.</summary>
    private static int Rank => Grid.IdxX & (TBlocks.ClusterSize - 1);

    /// <summary>The cluster, which takes every so many-th place.</summary>
    private static int FirstIndex => Grid.IdxX / TBlocks.ClusterSize;

    private static int IndexStride => Grid.DimX / TBlocks.ClusterSize;

    private int Down => (Epilogue.Rows + ClusterRows - 1) / ClusterRows;

    private int Across => (Epilogue.Columns + BlockColumns - 1) / BlockColumns;

    /// <summary>Places of a cluster, in all products and parts.</summary>
    private int Indices => Down * Across * Products * Parts;

    /// <summary>A block: the first row and column of it, which product and which part of the depth it belongs to, and where its C starts.</summary>
    private struct Place
    {
        public int Row, Column, Product, FirstDepth, EndDepth;
        public long Start;
    }

    /// <summary>
    /// The block of this group at a place of its cluster: by parts, products, bands of some places down C, and down first within a band. Groups of a
    /// cluster have blocks below one another, the last of which may lie beyond C.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Place Locate(int index)
    {
        int down = Down, across = Across, matrix = index / (down * across), part = matrix / Products;
        index -= matrix * down * across;
        int first = index / (BlocksTogether * across) * BlocksTogether, height = down - first < BlocksTogether ? down - first : BlocksTogether;
        index -= first * across;
        Place place = default;
        place.Row = Pin(((first + (index % height)) * ClusterRows) + (Rank * BlockRows));
        place.Column = Pin(index / height * BlockColumns);
        place.Product = Pin(matrix - (part * Products));
        place.FirstDepth = Pin(part * PartDepth);
        place.EndDepth = Pin(place.FirstDepth + PartDepth < Depth ? place.FirstDepth + PartDepth : Depth);
        place.Start = Pin((long)matrix * Epilogue.Rows * Epilogue.Columns);
        return place;
    }
}
