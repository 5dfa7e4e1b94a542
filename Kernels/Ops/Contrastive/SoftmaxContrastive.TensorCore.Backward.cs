using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Factors of the terms of G that are known when the kernel is launched; dloss is on the device.</summary>
    /// <param name="Weight">Factor of every loss.</param>
    /// <param name="Spread">Share of each column in the smoothed targets of the rows that search, and of the columns.</param>
    /// <param name="RowPositive">Share of the positives in the rows' targets, divided among them.</param>
    /// <param name="ColumnPositive">Share of the positives in the columns' targets.</param>
    /// <param name="Teacher">Share of the teacher in the rows' targets.</param>
    internal readonly record struct ContrastiveShares(float Weight, float Spread, float RowPositive, float ColumnPositive, float Teacher);

    /// <summary>
    /// scale · G of <see cref="IBackend.ContrastiveScoresBackward"/> for 128 rows x 128 columns of a panel of columns, in bfloat16: the operand of the
    /// two products that make the gradients of rows and columns. The dot products are computed again. Also Σ G · dot of the group.
    /// </summary>
    /// <param name="Features">What is multiplied.</param>
    /// <param name="Shares">Factors.</param>
    /// <param name="RowStatistics">[3, rows], or empty.</param>
    /// <param name="ColumnStatistics">[3, columns], or empty.</param>
    /// <param name="DLoss">One element.</param>
    /// <param name="Panel">[rows, <paramref name="PanelColumns"/>] in bfloat16; zeros behind the last column.</param>
    /// <param name="ScaleParts">[row blocks, tiles of a panel]: what earlier panels have left there, plus Σ G · dot; or empty.</param>
    /// <param name="FirstTile">First tile of columns of the panel.</param>
    /// <param name="PanelColumns">Columns of the panel, a multiple of 8.</param>
    /// <param name="PanelTiles">Tiles of the first panel, which no later one exceeds.</param>
    internal readonly record struct TensorCoreContrastiveGradientKernel<TTeacher>(
        ContrastiveFeatures Features, ContrastiveShares Shares, ArrayView<float> RowStatistics, ArrayView<float> ColumnStatistics, ArrayView<float> DLoss,
        ArrayView<float> Panel, ArrayView<float> ScaleParts, int FirstTile, int PanelColumns, int PanelTiles) : IGpuKernel
        where TTeacher : struct, ITeacher
    {
        public static int GroupSize => ContrastiveTile.Threads;

        public static int DynamicSharedBytes => ContrastiveTile.SharedBytes<TTeacher>();

        public static CudaLevel Level => CudaLevel.Sm80;

        public static bool IsHot => true;

        public static bool UsesTensorCores => true;

        public void Execute()
        {
            int column = FirstTile + Grid.IdxX;
            ContrastiveTile tile = new(Features, DynamicSharedAddress(), (uint)Group.IdxX, Grid.IdxY);
            ContrastiveCursor cursor = tile.Start<TTeacher>(column, column + 1);
            ContrastiveDots dots = default;
            tile.Multiply<TTeacher>(ref dots, ref cursor);

            float scale = Features.Scale[0], dloss = DLoss[0] * Shares.Weight, scaleGradient = 0f;
            int start = (column * ContrastiveTile.Size) + tile.Column;
            bool isSpecial = Features.IsSpecial(tile.RowBlock, column);
            Put(dots.Upper, dots.TeacherUpper, tile.Row, start, scale, dloss, isSpecial, ref scaleGradient);
            Put(dots.Lower, dots.TeacherLower, tile.Row + 16, start, scale, dloss, isSpecial, ref scaleGradient);
            if (ScaleParts.Length == 0) return;

            // In a fixed order: lanes, warps, and later the groups. The lanes of a warp may come here apart, and a shuffle needs them all.
            WarpBarrier();
            scaleGradient = WarpSum(scaleGradient);
            CopyAsyncWait(0);
            Barrier();
            if ((tile.Thread & 31) == 0) StoreShared(tile.Shared + ((tile.Thread >> 5) * 4), scaleGradient);
            Barrier();
            if (tile.Thread != 0) return;
            int place = (Grid.IdxY * PanelTiles) + Grid.IdxX;
            float sum = FirstTile > 0 ? ScaleParts[place] : 0f;
            for (uint warp = 0; warp < ContrastiveTile.Threads / 32; warp++) sum += LoadSharedFloat(tile.Shared + (warp * 4));
            ScaleParts[place] = sum;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Put(in Accumulator64 dots, in Accumulator64 teacher, int row, int column, float scale, float dloss, bool isSpecial, ref float scaleGradient)
        {
            RowTerms upper = RowTerms.Load(this, row, dloss), lower = RowTerms.Load(this, row + 8, dloss);
            Put(upper, lower, dots.C0, teacher.C0, row, column, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C1, teacher.C1, row, column + 8, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C2, teacher.C2, row, column + 16, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C3, teacher.C3, row, column + 24, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C4, teacher.C4, row, column + 32, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C5, teacher.C5, row, column + 40, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C6, teacher.C6, row, column + 48, scale, dloss, isSpecial, ref scaleGradient);
            Put(upper, lower, dots.C7, teacher.C7, row, column + 56, scale, dloss, isSpecial, ref scaleGradient);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Put(
            RowTerms upper, RowTerms lower, Float4 dots, Float4 teacher, int row, int column, float scale, float dloss, bool isSpecial, ref float scaleGradient)
        {
            ColumnTerms left = ColumnTerms.Load(this, column, dloss), right = ColumnTerms.Load(this, column + 1, dloss);
            Float4 gradient;
            gradient.X = Gradient(upper, left, dots.X, teacher.X, row, column, scale, dloss, isSpecial, ref scaleGradient);
            gradient.Y = Gradient(upper, right, dots.Y, teacher.Y, row, column + 1, scale, dloss, isSpecial, ref scaleGradient);
            gradient.Z = Gradient(lower, left, dots.Z, teacher.Z, row + 8, column, scale, dloss, isSpecial, ref scaleGradient);
            gradient.W = Gradient(lower, right, dots.W, teacher.W, row + 8, column + 1, scale, dloss, isSpecial, ref scaleGradient);
            int panelColumn = column - (FirstTile * ContrastiveTile.Size);
            if (panelColumn >= PanelColumns) return;
            ulong place = GlobalAddress(Panel) + ((((ulong)(uint)row * (uint)PanelColumns) + (uint)panelColumn) * 2);
            if (row < Features.RowCount) StoreGlobal(place, PackBFloat16(gradient.X * scale, gradient.Y * scale));
            if (row + 8 < Features.RowCount) StoreGlobal(place + ((ulong)(uint)PanelColumns * 16), PackBFloat16(gradient.Z * scale, gradient.W * scale));
        }

        /// <summary>G of one score; 0 where row or column does not exist.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Gradient(RowTerms row, ColumnTerms column, float dot, float teacher, int i, int j, float scale, float dloss, bool isSpecial, ref float scaleGradient)
        {
            float positive = 0f, hidden = ContrastiveScale.Hidden(scale);
            bool exists = i < Features.RowCount && j < Features.ColumnCount;
            if (isSpecial)
            {
                positive = Features.RowKey(i) == Features.ColumnKey(j) ? row.Positive + column.Positive : 0f;
                bool isHidden = Features.OnlyOwn != 0 && i != j;
                dot = isHidden ? hidden : dot;
                teacher = isHidden ? hidden : teacher;
            }

            float factor = ContrastiveScale.Factor(scale) * Log2OfE;
            float gradient = (row.Factor * Exp2Approximate((dot * factor) - row.Shift)) + (column.Factor * Exp2Approximate((dot * factor) - column.Shift));
            if (TTeacher.IsPresent) gradient -= row.TeacherFactor * Exp2Approximate((teacher * factor) - row.TeacherShift);
            gradient -= (dloss * Shares.Spread) + positive;
            gradient = exists ? gradient : 0f;
            scaleGradient += dot == hidden ? 0f : dot * gradient;
            return gradient;
        }

        /// <summary>What G has of a row; no share at all where rows do not search.</summary>
        internal struct RowTerms
        {
            public float Factor, Shift, Positive, TeacherFactor, TeacherShift;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static RowTerms Load(in TensorCoreContrastiveGradientKernel<TTeacher> kernel, int row, float dloss)
            {
                // 2^-∞ is 0 whatever the score; 0 · 2^score might be 0 · ∞.
                RowTerms terms = default;
                terms.Shift = float.PositiveInfinity;
                if (kernel.RowStatistics.Length == 0) return terms;
                int rows = kernel.Features.RowCount, index = row < rows ? row : rows - 1;
                terms.Factor = dloss;
                terms.Shift = kernel.RowStatistics[index] * Log2OfE;
                terms.Positive = dloss * kernel.Shares.RowPositive * kernel.RowStatistics[(long)rows + index];
                terms.TeacherFactor = dloss * kernel.Shares.Teacher;
                terms.TeacherShift = TTeacher.IsPresent ? kernel.RowStatistics[(2L * rows) + index] * Log2OfE : 0f;
                return terms;
            }
        }

        /// <summary>What G has of a column; no share at all where columns do not search.</summary>
        internal struct ColumnTerms
        {
            public float Factor, Shift, Positive;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static ColumnTerms Load(in TensorCoreContrastiveGradientKernel<TTeacher> kernel, int column, float dloss)
            {
                ColumnTerms terms = default;
                terms.Shift = float.PositiveInfinity;
                if (kernel.ColumnStatistics.Length == 0) return terms;
                int columns = kernel.Features.ColumnCount, index = column < columns ? column : columns - 1;
                terms.Factor = dloss;
                terms.Shift = kernel.ColumnStatistics[index] * Log2OfE;
                terms.Positive = dloss * kernel.Shares.ColumnPositive * kernel.ColumnStatistics[(long)columns + index];
                return terms;
            }
        }
    }
}
