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
    /// With G_ij = weight · dloss · (σ(x_ij) - [i = j]): drow_i = scale Σ_j G_ij column_j, dscale = Σ_ij G_ij row_i · column_j, dbias = Σ_ij G_ij.
    /// Columns get their gradient from a second call with the roles exchanged.
    /// </summary>
    void SigmoidContrastiveBackward(
        int rows, int width, in SigmoidContrastiveOperands operands, float weight, DeviceBuffer dloss, GradientTarget drows, GradientTarget dscale, GradientTarget dbias);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void SigmoidContrastive(int rows, int width, in SigmoidContrastiveOperands operands, DeviceBuffer losses)
    {
        ContrastiveScores scores = Scores(rows, width, operands);
        Run(new SigmoidContrastiveKernel(scores, Floats(operands.Bias), Floats(losses)), ChunkCount(rows, scores.RowBlock));
    }

    /// <inheritdoc/>
    public void SigmoidContrastiveBackward(
        int rows, int width, in SigmoidContrastiveOperands operands, float weight, DeviceBuffer dloss, GradientTarget drows, GradientTarget dscale, GradientTarget dbias)
    {
        if (!drows.IsNeeded && !dscale.IsNeeded && !dbias.IsNeeded) return;
        ContrastiveScores scores = Scores(rows, width, operands);
        int chunks = ChunkCount(rows, scores.RowBlock);
        DeviceBuffer scaleParts = dscale.IsNeeded ? Rent(chunks) : default, biasParts = dbias.IsNeeded ? Rent(chunks) : default;
        Run(
            new SigmoidContrastiveBackwardKernel(scores, Floats(operands.Bias), weight, Floats(dloss), FloatTarget.From(drows), Floats(scaleParts), Floats(biasParts)),
            chunks);
        AddParts(scaleParts, dscale);
        AddParts(biasParts, dbias);
    }

    private static ContrastiveScores Scores(int rows, int width, in SigmoidContrastiveOperands operands) => ContrastiveScores.From(
        new ContrastiveShape(rows, 0, 0, width, 0f, 0f, InBatchNegatives: true),
        new ContrastiveOperands(operands.Rows, operands.Columns, default, default, default, default, operands.Scale));

    private readonly record struct SigmoidContrastiveKernel(ContrastiveScores Scores, Pointer Bias, Pointer Losses) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int firstRow = chunk * Scores.RowBlock, rows = Math.Min(Scores.RowBlock, Scores.RowCount - firstRow), row = TileMatMul.Pad<V>(rows);
            float* packed = ThreadScratch.Get((long)row * (Scores.Width + ContrastiveScores.ColumnBlock + 1));
            float* tile = packed + ((nint)row * Scores.Width), sums = tile + ((nint)row * ContrastiveScores.ColumnBlock);
            new Span<float>(sums, row).Clear();
            Scores.PackRows(Scores.Rows, firstRow, rows, packed, row);
            for (int t = 0; t < Scores.TileCount; t++)
            {
                ColumnRange columns = Scores.Range(t);
                Scores.Tile<V>(columns.Features, columns.Count, packed, tile, row);
                AddSoftplus<V>(columns.Count, tile, row, sums);
                int first = Math.Max(0, columns.First - firstRow), end = Math.Min(rows, columns.First + columns.Count - firstRow);
                for (int i = first; i < end; i++) sums[i] -= (Scores.Factor * tile[((firstRow + i - columns.First) * row) + i]) + *(float*)Bias;
            }

            new Span<float>(sums, rows).CopyTo(new Span<float>((float*)Losses + firstRow, rows));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void AddSoftplus<V>(int count, float* tile, int row, float* sums)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Scores.Factor), bias = V.Create(*(float*)Bias);
            for (int i = 0; i < row; i += V.Width)
            {
                V sum = V.Zero;
                float* dot = tile + i;
                for (int j = 0; j < count; j++, dot += row)
                {
                    V x = V.FusedMultiplyAdd(scale, V.Load(dot), bias);
                    sum += V.Max(x, V.Zero) + SimdMath.LogOnePlus(SimdMath.Exp(-V.Abs(x)));
                }

                V.Store(V.Load(sums + i) + sum, sums + i);
            }
        }
    }

    private readonly record struct SigmoidContrastiveBackwardKernel(
        ContrastiveScores Scores, Pointer Bias, float Weight, Pointer DLoss, FloatTarget DRows, Pointer ScaleParts, Pointer BiasParts) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int firstRow = chunk * Scores.RowBlock, rows = Math.Min(Scores.RowBlock, Scores.RowCount - firstRow), row = TileMatMul.Pad<V>(rows);
            int padded = TileMatMul.Pad<V>(Scores.Width), widthRow = padded + ContrastiveScores.RowGap;
            float* packed = ThreadScratch.Get(((long)row * (Scores.Width + widthRow + (2 * ContrastiveScores.ColumnBlock) + 1)) + ((long)widthRow * ContrastiveScores.ColumnBlock));
            float* tile = packed + ((nint)row * Scores.Width), scoreGradient = tile + ((nint)row * ContrastiveScores.ColumnBlock);
            float* gradient = scoreGradient + ((nint)row * ContrastiveScores.ColumnBlock), columnFeatures = gradient + ((nint)row * widthRow);
            float* rowFactor = columnFeatures + ((nint)widthRow * ContrastiveScores.ColumnBlock);
            float factor = Weight * *(float*)DLoss;
            for (int i = 0; i < row; i++) rowFactor[i] = i < rows ? factor : 0f;
            Scores.PackRows(Scores.Rows, firstRow, rows, packed, row);
            new Span<float>(gradient, rows * widthRow).Clear();
            double scaleGradient = 0, biasGradient = 0;
            for (int t = 0; t < Scores.TileCount; t++)
            {
                ColumnRange columns = Scores.Range(t);
                Scores.Tile<V>(columns.Features, columns.Count, packed, tile, row);
                ScoreGradient<V>(columns.Count, tile, scoreGradient, row, rowFactor);
                int first = Math.Max(0, columns.First - firstRow), end = Math.Min(rows, columns.First + columns.Count - firstRow);
                for (int i = first; i < end; i++) scoreGradient[((firstRow + i - columns.First) * row) + i] -= factor;
                Sums<V>(columns.Count * row, tile, scoreGradient, out float withDots, out float plain);
                scaleGradient += withDots;
                biasGradient += plain;
                if (!DRows.IsNeeded) continue;
                TileMatMul.Pack<V>(columns.Features, Scores.Width, columns.Count, Scores.Width, 1f, columnFeatures, widthRow);
                TileMatMul.Multiply<V>(rows, padded, columns.Count, scoreGradient, 1, row, columnFeatures, widthRow, gradient, widthRow, true);
            }

            if ((float*)ScaleParts != null) ((float*)ScaleParts)[chunk] = (float)scaleGradient;
            if ((float*)BiasParts != null) ((float*)BiasParts)[chunk] = (float)biasGradient;
            WriteRows<V>(DRows, (nint)firstRow * Scores.Width, Scores.Width, gradient, widthRow, rows, Scores.Width, Scores.Factor);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void ScoreGradient<V>(int count, float* tile, float* scoreGradient, int row, float* rowFactor)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Scores.Factor), bias = V.Create(*(float*)Bias);
            for (int j = 0; j < count; j++, tile += row, scoreGradient += row)
                for (int i = 0; i < row; i += V.Width)
                    V.Store(V.Load(rowFactor + i) * SimdMath.Sigmoid(V.FusedMultiplyAdd(scale, V.Load(tile + i), bias)), scoreGradient + i);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Sums<V>(int length, float* tile, float* scoreGradient, out float withDots, out float plain)
            where V : unmanaged, ISimd<V>
        {
            V dots = V.Zero, sum = V.Zero;
            for (int i = 0; i < length; i += V.Width)
            {
                V value = V.Load(scoreGradient + i);
                dots = V.FusedMultiplyAdd(V.Load(tile + i), value, dots);
                sum += value;
            }

            withDots = V.Sum(dots);
            plain = V.Sum(sum);
        }
    }
}
