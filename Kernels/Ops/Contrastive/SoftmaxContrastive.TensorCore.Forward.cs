using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// The sums of <see cref="IBackend.ContrastiveScores"/> for 128 rows over a range of columns: the scores of a tile are accumulators, and go
    /// from there into a running maximum and running sums in registers. Each thread gathers its own columns; threads and warps of a row are
    /// combined at the end, in order. Nothing of the size of the scores is ever stored.
    /// </summary>
    /// <param name="Features">What is multiplied.</param>
    /// <param name="Parts">[parts, 8, rows].</param>
    /// <param name="TilesPerPart">Tiles of columns of one part.</param>
    internal readonly record struct TensorCoreContrastiveKernel<TTeacher>(ContrastiveFeatures Features, ArrayView<float> Parts, int TilesPerPart) : IGpuKernel
        where TTeacher : struct, ITeacher
    {
        public static int GroupSize => ContrastiveTile.Threads;

        public static int DynamicSharedBytes => ContrastiveTile.SharedBytes<TTeacher>();

        public static CudaLevel Level => CudaLevel.Sm80;

        public static bool IsHot => true;

        public static bool UsesTensorCores => true;

        public void Execute()
        {
            int first = Grid.IdxY * TilesPerPart, tiles = Features.ColumnTiles, end = first + TilesPerPart < tiles ? first + TilesPerPart : tiles;
            ContrastiveTile tile = new(Features, DynamicSharedAddress(), (uint)Group.IdxX, Grid.IdxX);
            float scale = ContrastiveScale.Factor(Features.Scale[0]), hidden = ContrastiveScale.Hidden(scale);
            ContrastiveSumsOfRow a = ContrastiveSumsOfRow.Create(), b = ContrastiveSumsOfRow.Create(), c = ContrastiveSumsOfRow.Create(), d = ContrastiveSumsOfRow.Create();
            ContrastiveCursor cursor = tile.Start<TTeacher>(first, end);
            for (int column = first; column < end; column++)
            {
                ContrastiveDots dots = default;
                tile.Multiply<TTeacher>(ref dots, ref cursor);
                if (Features.IsSpecial(tile.RowBlock, column))
                {
                    int start = (column * ContrastiveTile.Size) + tile.Column;

                    // Each row behind a branch of its own, so that ids and comparisons of the columns are not kept for all of them in registers that are not
                    // there. Rows that do not exist are not stored.
                    if (tile.Row < Features.RowCount) a.Look(Features, ref dots.Upper, ref dots.TeacherUpper, false, tile.Row, start, hidden);
                    if (tile.Row + 8 < Features.RowCount) b.Look(Features, ref dots.Upper, ref dots.TeacherUpper, true, tile.Row + 8, start, hidden);
                    if (tile.Row + 16 < Features.RowCount) c.Look(Features, ref dots.Lower, ref dots.TeacherLower, false, tile.Row + 16, start, hidden);
                    if (tile.Row + 24 < Features.RowCount) d.Look(Features, ref dots.Lower, ref dots.TeacherLower, true, tile.Row + 24, start, hidden);
                }
                else
                {
                    a.All += ContrastiveRowOf.Sum(dots.Upper, false);
                    b.All += ContrastiveRowOf.Sum(dots.Upper, true);
                    c.All += ContrastiveRowOf.Sum(dots.Lower, false);
                    d.All += ContrastiveRowOf.Sum(dots.Lower, true);
                }

                a.Add<TTeacher>(dots.Upper, dots.TeacherUpper, false, scale);
                b.Add<TTeacher>(dots.Upper, dots.TeacherUpper, true, scale);
                c.Add<TTeacher>(dots.Lower, dots.TeacherLower, false, scale);
                d.Add<TTeacher>(dots.Lower, dots.TeacherLower, true, scale);
            }

            CopyAsyncWait(0);
            Barrier();
            WarpBarrier();
            a.CombineRow();
            b.CombineRow();
            c.CombineRow();
            d.CombineRow();
            HandOver(tile, a, 0);
            HandOver(tile, b, 8);
            HandOver(tile, c, 16);
            HandOver(tile, d, 24);
            Barrier();
            Store(tile, ref a, 0);
            Store(tile, ref b, 8);
            Store(tile, ref c, 16);
            Store(tile, ref d, 24);
        }

        /// <summary>The warp of the higher columns leaves its sums in shared memory.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void HandOver(in ContrastiveTile tile, in ContrastiveSumsOfRow sums, uint offset)
        {
            if ((tile.Thread & 3) == 0 && tile.Thread >= 128) sums.StoreShared(Place(tile, offset));
        }

        /// <summary>Combines the two warps of a row.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Store(in ContrastiveTile tile, ref ContrastiveSumsOfRow sums, uint offset)
        {
            int row = tile.Row + (int)offset;
            if ((tile.Thread & 3) != 0 || tile.Thread >= 128 || row >= Features.RowCount) return;
            sums.Combine(ContrastiveSumsOfRow.LoadShared(Place(tile, offset)));
            sums.Store(Parts, (long)Grid.IdxY * IBackend.ContrastiveSumCount * Features.RowCount, Features.RowCount, row);
        }

        private static uint Place(in ContrastiveTile tile, uint offset) => tile.Shared + ((((tile.Thread >> 5 & 3) * 32) + ((tile.Thread & 31) >> 2) + offset) * 4);
    }

    /// <summary>Combines the parts of each row in order, behind what an earlier block has left.</summary>
    internal readonly record struct ContrastivePartsKernel(ArrayView<float> Parts, int PartCount, ArrayView<float> Sums, int Rows, int Continues) : IGpuKernel
    {
        public static int GroupSize => 256;

        public static CudaLevel Level => CudaLevel.Sm80;

        public void Execute()
        {
            int row = Grid.GlobalIndex.X;
            if (row >= Rows) return;
            ContrastiveSumsOfRow sums = ContrastiveSumsOfRow.Create();
            if (Continues != 0) sums = ContrastiveSumsOfRow.Load(Sums, 0, Rows, row);
            for (int part = 0; part < PartCount; part++) sums.Combine(ContrastiveSumsOfRow.Load(Parts, (long)part * IBackend.ContrastiveSumCount * Rows, Rows, row));
            sums.Store(Sums, 0, Rows, row);
        }
    }

    /// <summary>What is gathered for one row, or one thread's share of it; see <see cref="IBackend.ContrastiveScores"/>.</summary>
    internal struct ContrastiveSumsOfRow
    {
        public float Largest, Sum, All, Positive, Count, TeacherLargest, TeacherSum, TeacherDot;

        public static ContrastiveSumsOfRow Create()
        {
            ContrastiveSumsOfRow sums = default;
            sums.Largest = float.NegativeInfinity;
            sums.TeacherLargest = float.NegativeInfinity;
            return sums;
        }

        public static ContrastiveSumsOfRow Load(ArrayView<float> memory, long first, int rows, int row)
        {
            ContrastiveSumsOfRow sums;
            sums.Largest = memory[first + row];
            sums.Sum = memory[first + rows + row];
            sums.All = memory[first + (2L * rows) + row];
            sums.Positive = memory[first + (3L * rows) + row];
            sums.Count = memory[first + (4L * rows) + row];
            sums.TeacherLargest = memory[first + (5L * rows) + row];
            sums.TeacherSum = memory[first + (6L * rows) + row];
            sums.TeacherDot = memory[first + (7L * rows) + row];
            return sums;
        }

        /// <summary>Bytes from one of the sums of a row in shared memory to the next: all rows lie between, so that a warp's accesses are neighbours.</summary>
        private const uint SharedStride = ContrastiveTile.Size * 4;

        public static ContrastiveSumsOfRow LoadShared(uint address)
        {
            ContrastiveSumsOfRow sums;
            sums.Largest = LoadSharedFloat(address);
            sums.Sum = LoadSharedFloat(address + SharedStride);
            sums.All = LoadSharedFloat(address + (2 * SharedStride));
            sums.Positive = LoadSharedFloat(address + (3 * SharedStride));
            sums.Count = LoadSharedFloat(address + (4 * SharedStride));
            sums.TeacherLargest = LoadSharedFloat(address + (5 * SharedStride));
            sums.TeacherSum = LoadSharedFloat(address + (6 * SharedStride));
            sums.TeacherDot = LoadSharedFloat(address + (7 * SharedStride));
            return sums;
        }

        public readonly void Store(ArrayView<float> memory, long first, int rows, int row)
        {
            memory[first + row] = Largest;
            memory[first + rows + row] = Sum;
            memory[first + (2L * rows) + row] = All;
            memory[first + (3L * rows) + row] = Positive;
            memory[first + (4L * rows) + row] = Count;
            memory[first + (5L * rows) + row] = TeacherLargest;
            memory[first + (6L * rows) + row] = TeacherSum;
            memory[first + (7L * rows) + row] = TeacherDot;
        }

        public readonly void StoreShared(uint address)
        {
            InstructionsAmpere.StoreShared(address, Largest);
            InstructionsAmpere.StoreShared(address + SharedStride, Sum);
            InstructionsAmpere.StoreShared(address + (2 * SharedStride), All);
            InstructionsAmpere.StoreShared(address + (3 * SharedStride), Positive);
            InstructionsAmpere.StoreShared(address + (4 * SharedStride), Count);
            InstructionsAmpere.StoreShared(address + (5 * SharedStride), TeacherLargest);
            InstructionsAmpere.StoreShared(address + (6 * SharedStride), TeacherSum);
            InstructionsAmpere.StoreShared(address + (7 * SharedStride), TeacherDot);
        }

        /// <summary>Adds what another thread, warp or part has gathered of the same row.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Combine(ContrastiveSumsOfRow other)
        {
            float largest = MathF.Max(Largest, other.Largest), reference = largest == float.NegativeInfinity ? 0f : largest;
            Sum = (Sum * Exp2Approximate((Largest - reference) * Log2OfE)) + (other.Sum * Exp2Approximate((other.Largest - reference) * Log2OfE));
            Largest = largest;
            All += other.All;
            Positive += other.Positive;
            Count += other.Count;
            float teacherLargest = MathF.Max(TeacherLargest, other.TeacherLargest), teacherReference = teacherLargest == float.NegativeInfinity ? 0f : teacherLargest;
            float shrink = Exp2Approximate((TeacherLargest - teacherReference) * Log2OfE), otherShrink = Exp2Approximate((other.TeacherLargest - teacherReference) * Log2OfE);
            TeacherSum = (TeacherSum * shrink) + (other.TeacherSum * otherShrink);
            TeacherDot = (TeacherDot * shrink) + (other.TeacherDot * otherShrink);
            TeacherLargest = teacherLargest;
        }

        /// <summary>Combines the four threads of a row.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void CombineRow()
        {
            CombineLanes(1);
            CombineLanes(2);
        }

        /// <summary>Combines with the lane whose number differs in one bit (a constant); the lower lane comes first for both.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void CombineLanes(int mask)
        {
            ContrastiveSumsOfRow other;
            other.Largest = ShuffleXor(Largest, mask);
            other.Sum = ShuffleXor(Sum, mask);
            other.All = ShuffleXor(All, mask);
            other.Positive = ShuffleXor(Positive, mask);
            other.Count = ShuffleXor(Count, mask);
            other.TeacherLargest = ShuffleXor(TeacherLargest, mask);
            other.TeacherSum = ShuffleXor(TeacherSum, mask);
            other.TeacherDot = ShuffleXor(TeacherDot, mask);
            Combine(other);
        }

        /// <summary>Σ dots and the positives of a special tile; hides what a row may not see and what does not exist.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Look(in ContrastiveFeatures features, ref Accumulator64 dots, ref Accumulator64 teacher, bool isLower, int row, int column, float hidden)
        {
            int key = features.RowKey(row);
            Look(features, ref dots.C0, ref teacher.C0, isLower, row, key, column, hidden);
            Look(features, ref dots.C1, ref teacher.C1, isLower, row, key, column + 8, hidden);
            Look(features, ref dots.C2, ref teacher.C2, isLower, row, key, column + 16, hidden);
            Look(features, ref dots.C3, ref teacher.C3, isLower, row, key, column + 24, hidden);
            Look(features, ref dots.C4, ref teacher.C4, isLower, row, key, column + 32, hidden);
            Look(features, ref dots.C5, ref teacher.C5, isLower, row, key, column + 40, hidden);
            Look(features, ref dots.C6, ref teacher.C6, isLower, row, key, column + 48, hidden);
            Look(features, ref dots.C7, ref teacher.C7, isLower, row, key, column + 56, hidden);
        }

        /// <summary>One tile of the online softmax of the scores, and of the teacher's, whose weights also average the dots.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<TTeacher>(in Accumulator64 dots, in Accumulator64 teacher, bool isLower, float scale)
            where TTeacher : struct, ITeacher
        {
            float factor = scale * Log2OfE, total = 0f, weighted = 0f;
            float largest = MathF.Max(Largest, ContrastiveRowOf.Largest(dots, isLower, scale)), reference = largest == float.NegativeInfinity ? 0f : largest;
            ContrastiveRowOf.AddExp(dots, isLower, factor, reference * Log2OfE, ref total);
            Sum = (Sum * Exp2Approximate((Largest - reference) * Log2OfE)) + total;
            Largest = largest;
            if (!TTeacher.IsPresent) return;
            largest = MathF.Max(TeacherLargest, ContrastiveRowOf.Largest(teacher, isLower, scale));
            reference = largest == float.NegativeInfinity ? 0f : largest;
            total = 0f;
            ContrastiveRowOf.AddWeighted(teacher, dots, isLower, factor, reference * Log2OfE, ref total, ref weighted);
            float shrink = Exp2Approximate((TeacherLargest - reference) * Log2OfE);
            TeacherSum = (TeacherSum * shrink) + total;
            TeacherDot = (TeacherDot * shrink) + weighted;
            TeacherLargest = largest;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Look(in ContrastiveFeatures features, ref Float4 dots, ref Float4 teacher, bool isLower, int row, int key, int column, float hidden)
        {
            if (isLower)
            {
                Look(features, ref dots.Z, ref teacher.Z, row, key, column, hidden);
                Look(features, ref dots.W, ref teacher.W, row, key, column + 1, hidden);
            }
            else
            {
                Look(features, ref dots.X, ref teacher.X, row, key, column, hidden);
                Look(features, ref dots.Y, ref teacher.Y, row, key, column + 1, hidden);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Look(in ContrastiveFeatures features, ref float dot, ref float teacher, int row, int key, int column, float hidden)
        {
            bool isColumn = column < features.ColumnCount, isPositive = isColumn & (features.ColumnKey(column) == key), isHidden = features.OnlyOwn != 0 & row != column;
            Positive += isPositive ? dot : 0f;
            Count += isPositive ? 1f : 0f;
            dot = isHidden ? hidden : dot;
            All += isColumn ? dot : 0f;
            dot = isColumn ? dot : hidden;
            teacher = isHidden | !isColumn ? hidden : teacher;
        }
    }

    /// <summary>Reductions over what a thread holds of one row of a tile: X and Y of each eight columns, or Z and W of the row 8 further down.</summary>
    private static class ContrastiveRowOf
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static float Sum(in Accumulator64 s, bool isLower)
            => Sum(s.C0, isLower) + Sum(s.C1, isLower) + Sum(s.C2, isLower) + Sum(s.C3, isLower) + Sum(s.C4, isLower) + Sum(s.C5, isLower) + Sum(s.C6, isLower) + Sum(s.C7, isLower);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static float Largest(in Accumulator64 s, bool isLower, float scale) => MathF.Max(
            MathF.Max(
                MathF.Max(Largest(s.C0, isLower, scale), Largest(s.C1, isLower, scale)), MathF.Max(Largest(s.C2, isLower, scale), Largest(s.C3, isLower, scale))),
            MathF.Max(
                MathF.Max(Largest(s.C4, isLower, scale), Largest(s.C5, isLower, scale)), MathF.Max(Largest(s.C6, isLower, scale), Largest(s.C7, isLower, scale))));

        /// <summary>Σ 2^(factor · dot - shift).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void AddExp(in Accumulator64 s, bool isLower, float factor, float shift, ref float sum)
        {
            AddExp(s.C0, isLower, factor, shift, ref sum);
            AddExp(s.C1, isLower, factor, shift, ref sum);
            AddExp(s.C2, isLower, factor, shift, ref sum);
            AddExp(s.C3, isLower, factor, shift, ref sum);
            AddExp(s.C4, isLower, factor, shift, ref sum);
            AddExp(s.C5, isLower, factor, shift, ref sum);
            AddExp(s.C6, isLower, factor, shift, ref sum);
            AddExp(s.C7, isLower, factor, shift, ref sum);
        }

        /// <summary>Σ w and Σ w · dot with w = 2^(factor · teacher - shift).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void AddWeighted(in Accumulator64 teacher, in Accumulator64 dots, bool isLower, float factor, float shift, ref float sum, ref float weighted)
        {
            AddWeighted(teacher.C0, dots.C0, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C1, dots.C1, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C2, dots.C2, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C3, dots.C3, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C4, dots.C4, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C5, dots.C5, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C6, dots.C6, isLower, factor, shift, ref sum, ref weighted);
            AddWeighted(teacher.C7, dots.C7, isLower, factor, shift, ref sum, ref weighted);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Left(Float4 c, bool isLower) => isLower ? c.Z : c.X;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Right(Float4 c, bool isLower) => isLower ? c.W : c.Y;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Sum(Float4 c, bool isLower) => Left(c, isLower) + Right(c, isLower);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Largest(Float4 c, bool isLower, float scale) => MathF.Max(Left(c, isLower) * scale, Right(c, isLower) * scale);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void AddExp(Float4 c, bool isLower, float factor, float shift, ref float sum)
            => sum += Exp2Approximate((Left(c, isLower) * factor) - shift) + Exp2Approximate((Right(c, isLower) * factor) - shift);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void AddWeighted(Float4 teacher, Float4 dots, bool isLower, float factor, float shift, ref float sum, ref float weighted)
        {
            float first = Exp2Approximate((Left(teacher, isLower) * factor) - shift), second = Exp2Approximate((Right(teacher, isLower) * factor) - shift);
            float left = Left(dots, isLower), right = Right(dots, isLower), hidden = ContrastiveScale.Hidden(factor);
            sum += first + second;
            weighted += first * (left == hidden ? 0f : left);
            weighted += second * (right == hidden ? 0f : right);
        }
    }
}
