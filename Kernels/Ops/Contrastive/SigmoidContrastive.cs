using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>Operands of a sigmoid contrastive loss, seen from one side.</summary>
/// <param name="Rows">[n, width].</param>
/// <param name="Columns">[n, width].</param>
/// <param name="Scale">One element: the factor of the dot products.</param>
/// <param name="Bias">One element: added to the scaled products.</param>
public readonly record struct SigmoidContrastiveOperands(DeviceBuffer Rows, DeviceBuffer Columns, DeviceBuffer Scale, DeviceBuffer Bias);

public partial interface IBackend
{
    /// <summary>
    /// losses_i = -Σ_j log σ(z_ij (scale · row_i · column_j + bias)) with z_ij = 1 for i = j and -1 otherwise (SigLIP, arXiv:2303.15343), which is
    /// Σ_j softplus(x_ij) - x_ii. Scores exist only as tiles. Writes losses, [n].
    /// </summary>
    void SigmoidContrastive(int rows, int width, in SigmoidContrastiveOperands operands, DeviceBuffer losses);

    /// <summary>
    /// With G_ij = weight · dloss · (σ(x_ij) - [i = j]): drow_i = scale Σ_j G_ij column_j, dcolumn_j = scale Σ_i G_ij row_i, dscale = Σ_ij G_ij row_i · column_j,
    /// dbias = Σ_ij G_ij. Sums run in a fixed order.
    /// </summary>
    void SigmoidContrastiveBackward(
        int rows, int width, in SigmoidContrastiveOperands operands, float weight, DeviceBuffer dloss,
        GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale, GradientTarget dbias);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void SigmoidContrastive(int rows, int width, in SigmoidContrastiveOperands operands, DeviceBuffer losses)
    {
        ContrastiveTiles tiles = Tiles(rows, width, operands);
        Run(new SigmoidContrastiveKernel(tiles, Floats(operands.Bias), Floats(losses)), tiles.RowBlocks);
    }

    /// <inheritdoc/>
    public void SigmoidContrastiveBackward(
        int rows, int width, in SigmoidContrastiveOperands operands, float weight, DeviceBuffer dloss,
        GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale, GradientTarget dbias)
    {
        if (!drows.IsNeeded && !dcolumns.IsNeeded && !dscale.IsNeeded && !dbias.IsNeeded) return;
        ContrastiveTiles tiles = Tiles(rows, width, operands);
        DeviceBuffer panel = dcolumns.IsNeeded ? Rent(checked((int)tiles.PanelLength)) : default;
        DeviceBuffer scaleParts = dscale.IsNeeded ? Rent(tiles.RowBlocks) : default, biasParts = dbias.IsNeeded ? Rent(tiles.RowBlocks) : default;
        tiles = tiles with { Panel = Floats(panel) };
        FloatTarget rowTarget = FloatTarget.From(drows), columnTarget = FloatTarget.From(dcolumns);
        int step = dcolumns.IsNeeded ? ContrastiveTiles.PanelTiles : Math.Max(1, tiles.TileCount), first = 0;
        do
        {
            int end = Math.Min(tiles.TileCount, first + step);
            Run(
                new SigmoidContrastiveGradientKernel(
                    tiles, Floats(operands.Bias), weight, Floats(dloss), rowTarget with { Accumulate = rowTarget.Accumulate || first > 0 },
                    Floats(scaleParts), Floats(biasParts), first, end),
                tiles.RowBlocks);
            if (dcolumns.IsNeeded) Run(new ColumnGradientKernel(tiles, columnTarget, first), (end - first) * ColumnGradientKernel.Slices(width));
            first = end;
        }
        while (first < tiles.TileCount);

        AddParts(scaleParts, dscale);
        AddParts(biasParts, dbias);
        if (!panel.IsNull) Return(panel);
    }

    private static ContrastiveTiles Tiles(int rows, int width, in SigmoidContrastiveOperands operands) => ContrastiveTiles.From(
        new ContrastiveBlock(rows, rows, width, IsBatch: true, OnlyOwn: false), new ContrastiveOperands(operands.Rows, operands.Columns, default, default, default, operands.Scale));

    /// <summary>One chunk is one block of rows against all columns.</summary>
    private readonly record struct SigmoidContrastiveKernel(ContrastiveTiles Tiles, Pointer Bias, Pointer Losses) : ICpuKernel
    {
        public void Execute<V>(int rowBlock)
            where V : unmanaged, ISimd<V>
        {
            int rows = Tiles.RowsOf(rowBlock), row = TileMatMul.Pad<V>(rows);
            float* packed = ThreadScratch.Get((long)row * (Tiles.Block.Width + ContrastiveTiles.ColumnBlock + 1));
            float* dots = packed + ((nint)row * Tiles.Block.Width), sums = dots + (row * ContrastiveTiles.ColumnBlock);
            new Span<float>(sums, row).Clear();
            Tiles.PackRows(Tiles.Rows, rowBlock, packed, row);
            for (int tile = 0; tile < Tiles.TileCount; tile++)
            {
                Tiles.Tile<V>(tile, packed, dots, row);
                AddSoftplus<V>(Tiles.ColumnsOf(tile), dots, row, sums);
                for (int j = 0; j < Tiles.ColumnsOf(tile); j++)
                {
                    (int first, int end) = Tiles.Candidates(rowBlock, (tile * ContrastiveTiles.ColumnBlock) + j);
                    for (int i = first; i < end; i++) sums[i] -= (Tiles.Factor * dots[(j * row) + i]) + *(float*)Bias;
                }
            }

            new Span<float>(sums, rows).CopyTo(new Span<float>((float*)Losses + Tiles.FirstRow(rowBlock), rows));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void AddSoftplus<V>(int columns, float* dots, int row, float* sums)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Tiles.Factor), bias = V.Create(*(float*)Bias);
            for (int i = 0; i < row; i += V.Width)
            {
                V sum = V.Zero;
                float* dot = dots + i;
                for (int j = 0; j < columns; j++, dot += row)
                {
                    V x = V.FusedMultiplyAdd(scale, V.Load(dot), bias);
                    sum += V.Max(x, V.Zero) + SimdMath.LogOnePlus(SimdMath.ExpNonPositive(-V.Abs(x)));
                }

                V.Store(V.Load(sums + i) + sum, sums + i);
            }
        }
    }

    /// <summary>G for some tiles of columns and the rows' gradient from it; one chunk is one block of rows.</summary>
    private readonly record struct SigmoidContrastiveGradientKernel(
        ContrastiveTiles Tiles, Pointer Bias, float Weight, Pointer DLoss, FloatTarget DRows, Pointer ScaleParts, Pointer BiasParts, int FirstTile, int EndTile) : ICpuKernel
    {
        public void Execute<V>(int rowBlock)
            where V : unmanaged, ISimd<V>
        {
            const int TileRows = ContrastiveTiles.ColumnBlock;
            int rows = Tiles.RowsOf(rowBlock), row = TileMatMul.Pad<V>(rows), width = Tiles.Block.Width, gatherRow = TileMatMul.Pad<V>(width) + ContrastiveTiles.RowGap;
            float* packed = ThreadScratch.Get(((long)row * (width + gatherRow + (2 * TileRows) + 1)) + ((long)gatherRow * TileRows));
            float* gradient = packed + ((nint)row * width), dots = gradient + ((nint)row * gatherRow), scratch = dots + (row * TileRows);
            float* columnFeatures = scratch + (row * TileRows), rowFactor = columnFeatures + ((nint)gatherRow * TileRows);
            float factor = Weight * *(float*)DLoss;
            for (int i = 0; i < row; i++) rowFactor[i] = i < rows ? factor : 0f;
            Tiles.PackRows(Tiles.Rows, rowBlock, packed, row);
            new Span<float>(gradient, rows * gatherRow).Clear();
            double scaleGradient = 0, biasGradient = 0;
            for (int tile = FirstTile; tile < EndTile; tile++)
            {
                float* scoreGradient = Tiles.IsPanelKept ? Tiles.Kept(rowBlock, tile) : scratch;
                Tiles.Tile<V>(tile, packed, dots, row);
                ScoreGradient<V>(Tiles.ColumnsOf(tile), dots, scoreGradient, row, rowFactor);
                for (int j = 0; j < Tiles.ColumnsOf(tile); j++)
                {
                    (int first, int end) = Tiles.Candidates(rowBlock, (tile * TileRows) + j);
                    for (int i = first; i < end; i++) scoreGradient[(j * row) + i] -= factor;
                }

                Sums<V>(Tiles.ColumnsOf(tile) * row, dots, scoreGradient, out float withDots, out float plain);
                scaleGradient += withDots;
                biasGradient += plain;
                if (DRows.IsNeeded) Tiles.GatherRows<V>(rowBlock, tile, scoreGradient, row, columnFeatures, gradient);
            }

            AddPart(ScaleParts, rowBlock, scaleGradient);
            AddPart(BiasParts, rowBlock, biasGradient);
            WriteRows<V>(DRows, (nint)Tiles.FirstRow(rowBlock) * width, width, gradient, gatherRow, rows, width, Tiles.Factor);
        }

        private void AddPart(float* parts, int rowBlock, double value)
        {
            if (parts != null) parts[rowBlock] = (FirstTile > 0 ? parts[rowBlock] : 0f) + (float)value;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void ScoreGradient<V>(int columns, float* dots, float* scoreGradient, int row, float* rowFactor)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Tiles.Factor), bias = V.Create(*(float*)Bias);
            for (int j = 0; j < columns; j++, dots += row, scoreGradient += row)
                for (int i = 0; i < row; i += V.Width)
                    V.Store(V.Load(rowFactor + i) * SimdMath.Sigmoid(V.FusedMultiplyAdd(scale, V.Load(dots + i), bias)), scoreGradient + i);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Sums<V>(int length, float* dots, float* scoreGradient, out float withDots, out float plain)
            where V : unmanaged, ISimd<V>
        {
            V products = V.Zero, sum = V.Zero;
            for (int i = 0; i < length; i += V.Width)
            {
                V value = V.Load(scoreGradient + i);
                products = V.FusedMultiplyAdd(V.Load(dots + i), value, products);
                sum += value;
            }

            withDots = V.Sum(products);
            plain = V.Sum(sum);
        }
    }
}
