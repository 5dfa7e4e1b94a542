using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void SoftmaxContrastive(in ContrastiveShape shape, in ContrastiveOperands operands, DeviceBuffer losses, DeviceBuffer statistics)
    {
        ContrastiveScores scores = ContrastiveScores.From(shape, operands);
        Run(new SoftmaxContrastiveKernel(scores, shape, Floats(losses), Floats(statistics)), ChunkCount(shape.Rows, scores.RowBlock));
    }

    /// <inheritdoc/>
    public void SoftmaxContrastiveBackward(
        in ContrastiveShape shape, in ContrastiveOperands operands, in ContrastiveWeights weights, DeviceBuffer dloss, GradientTarget drows, GradientTarget dscale)
    {
        if (!drows.IsNeeded && !dscale.IsNeeded) return;
        ContrastiveScores scores = ContrastiveScores.From(shape, operands);
        int chunks = ChunkCount(shape.Rows, scores.RowBlock);
        DeviceBuffer scaleParts = dscale.IsNeeded ? Rent(chunks) : default;
        Run(
            new SoftmaxContrastiveBackwardKernel(
                scores, shape, Floats(weights.RowStatistics), Floats(weights.ColumnStatistics), weights.RowWeight, weights.ColumnWeight,
                Floats(dloss), FloatTarget.From(drows), Floats(scaleParts), weights.IncludeBatchInScale),
            chunks);
        AddParts(scaleParts, dscale);
    }

    /// <inheritdoc/>
    public void MeanOfParts(DeviceBuffer losses, int parts, float weight, DeviceBuffer result)
    {
        double sum = 0;
        float* values = Floats(losses);
        for (int i = 0; i < losses.Length; i++) sum += values[i];
        *Floats(result) = (float)(weight * sum / (losses.Length / parts));
    }

    /// <summary>Sums partial results into a gradient of one element, in double precision and in order, and returns their memory.</summary>
    private void AddParts(DeviceBuffer parts, GradientTarget target)
    {
        if (!target.IsNeeded) return;
        double sum = 0;
        for (int i = 0; i < parts.Length; i++) sum += Floats(parts)[i];
        float* destination = Floats(target.Buffer);
        *destination = (target.Accumulate ? *destination : 0f) + (float)sum;
        Return(parts);
    }

    /// <summary>Tiles of dot products between feature rows and columns, transposed: columns are rows of the tile, feature rows are lanes.</summary>
    private readonly record struct ContrastiveScores(
        int RowCount, int QueueCount, int Width, bool InBatchNegatives, Pointer Rows, Pointer Columns, Pointer Queue, Pointer Teacher, Pointer Ids, Pointer QueueIds, Pointer Scale)
    {
        /// <summary>Columns of one tile.</summary>
        public const int ColumnBlock = 64;

        /// <summary>Floats between gathered rows: a whole line, so that rows of a power of two do not evict each other from the cache.</summary>
        public const int RowGap = 16;

        /// <summary>Feature width of one step of a product, so that the packed rows of a step fit the first-level cache.</summary>
        private const int DepthBlock = 128;

        /// <summary>Rows of one tile: small batches are cut finer, so that all threads get work.</summary>
        public int RowBlock => RowCount <= 512 ? 32 : 96;

        public float Factor => *(float*)Scale;

        public static ContrastiveScores From(in ContrastiveShape shape, in ContrastiveOperands operands) => new(
            shape.Rows, shape.Queue, shape.Width, shape.InBatchNegatives, Floats(operands.Rows), Floats(operands.Columns), Floats(operands.Queue),
            Floats(operands.Teacher), Floats(operands.Ids), Floats(operands.QueueIds), Floats(operands.Scale));

        /// <summary>[width, row]: feature rows transposed, for <see cref="Tile"/>.</summary>
        public void PackRows(float* features, int first, int count, float* packed, int row)
            => TileMatMul.PackTransposed(features + ((nint)first * Width), Width, count, Width, 1f, packed, row);

        /// <summary>tile[j, i] = column_j · row_i.</summary>
        public void Tile<V>(float* columns, int count, float* packedRows, float* tile, int row)
            where V : unmanaged, ISimd<V>
        {
            if (Width == 0) new Span<float>(tile, count * row).Clear();
            for (int k = 0; k < Width; k += DepthBlock)
                TileMatMul.Multiply<V>(count, row, Math.Min(DepthBlock, Width - k), columns + k, Width, 1, packedRows + ((nint)k * row), row, tile, row, k > 0);
        }

        /// <summary>Number of tiles of columns: those of the batch, then those of the queue.</summary>
        public int TileCount => ChunkCount(RowCount, ColumnBlock) + ChunkCount(QueueCount, ColumnBlock);

        /// <summary>The columns of one tile; tiles never hold batch and queue together.</summary>
        public ColumnRange Range(int tile)
        {
            int batchTiles = ChunkCount(RowCount, ColumnBlock);
            bool isQueue = tile >= batchTiles;
            int first = (isQueue ? tile - batchTiles : tile) * ColumnBlock;
            float* features = (isQueue ? (float*)Queue : (float*)Columns) + ((nint)first * Width);
            int* ids = (int*)(float*)(isQueue ? QueueIds : Ids);
            return new ColumnRange(isQueue, first, Math.Min(ColumnBlock, (isQueue ? QueueCount : RowCount) - first), features, ids == null ? null : ids + first);
        }

        /// <summary>Whether a column belongs to a row.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public bool IsPositive(int row, in ColumnRange columns, int j)
        {
            int* ids = (int*)(float*)Ids;
            if (ids == null) return !columns.IsQueue && columns.First + j == row;
            return columns.Ids != null && columns.Ids[j] == ids[row];
        }

        /// <summary>Hides the other columns of the batch from every row, for losses whose negatives come from the queue alone.</summary>
        public void HideOthers(in ColumnRange columns, int firstRow, int rows, float* tile, int row)
        {
            if (InBatchNegatives || columns.IsQueue) return;
            for (int j = 0; j < columns.Count; j++)
                for (int i = 0; i < rows; i++)
                    if (columns.First + j != firstRow + i) tile[(j * row) + i] = float.NegativeInfinity;
        }
    }

    private readonly ref struct ColumnRange(bool isQueue, int first, int count, float* features, int* ids)
    {
        public readonly bool IsQueue = isQueue;
        public readonly int First = first, Count = count;
        public readonly float* Features = features;
        public readonly int* Ids = ids;
    }

    /// <summary>One chunk is one block of rows against all columns.</summary>
    private readonly record struct SoftmaxContrastiveKernel(ContrastiveScores Scores, ContrastiveShape Shape, Pointer Losses, Pointer Statistics) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int firstRow = chunk * Scores.RowBlock, rows = Math.Min(Scores.RowBlock, Shape.Rows - firstRow), row = TileMatMul.Pad<V>(rows);
            bool hasTeacher = Shape.Alpha > 0f;
            float* packed = ThreadScratch.Get((long)row * ((2 * Shape.Width) + (2 * ContrastiveScores.ColumnBlock) + 8));
            float* packedTeacher = packed + ((nint)row * Shape.Width), tile = packedTeacher + ((nint)row * Shape.Width);
            float* teacherTile = tile + ((nint)row * ContrastiveScores.ColumnBlock);
            Sums sums = new(teacherTile + ((nint)row * ContrastiveScores.ColumnBlock), row);
            sums.Clear();
            Scores.PackRows(Scores.Rows, firstRow, rows, packed, row);
            if (hasTeacher) Scores.PackRows(Scores.Teacher, firstRow, rows, packedTeacher, row);
            for (int t = 0; t < Scores.TileCount; t++)
            {
                ColumnRange columns = Scores.Range(t);
                Scores.Tile<V>(columns.Features, columns.Count, packed, tile, row);
                AddPositives(columns, firstRow, rows, tile, row, sums);
                Scores.HideOthers(columns, firstRow, rows, tile, row);
                if (hasTeacher)
                {
                    Scores.Tile<V>(columns.Features, columns.Count, packedTeacher, teacherTile, row);
                    Scores.HideOthers(columns, firstRow, rows, teacherTile, row);
                    AddTeacher<V>(columns.Count, tile, teacherTile, row, sums);
                }

                AddSoftmax<V>(columns.Count, tile, row, sums);
            }

            Finish(firstRow, rows, sums);
        }

        /// <summary>Sum and number of the dot products of positives.</summary>
        private void AddPositives(in ColumnRange columns, int firstRow, int rows, float* tile, int row, in Sums sums)
        {
            if ((float*)Scores.Ids == null)
            {
                for (int i = Math.Max(0, columns.First - firstRow); !columns.IsQueue && i < Math.Min(rows, columns.First + columns.Count - firstRow); i++)
                {
                    sums.Positive[i] = tile[((firstRow + i - columns.First) * row) + i];
                    sums.Count[i] = 1f;
                }

                return;
            }

            for (int j = 0; j < columns.Count; j++)
            {
                for (int i = 0; i < rows; i++)
                {
                    if (!Scores.IsPositive(firstRow + i, columns, j)) continue;
                    sums.Positive[i] += tile[(j * row) + i];
                    sums.Count[i] += 1f;
                }
            }
        }

        /// <summary>Online softmax of the scores: running maximum and Σ exp(score - maximum), and the plain sum of the dot products.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void AddSoftmax<V>(int count, float* tile, int row, in Sums sums)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Scores.Factor);
            for (int i = 0; i < row; i += V.Width)
            {
                V before = V.Load(sums.Largest + i), now = before, all = V.Load(sums.All + i), total = V.Zero;
                float* dot = tile + i;
                for (int j = 0; j < count; j++, dot += row)
                {
                    V value = V.Load(dot);
                    all += value;
                    now = V.Max(scale * value, now);
                }

                V reference = V.Select(V.Equal(now, V.Create(float.NegativeInfinity)), V.Zero, now);
                dot = tile + i;
                for (int j = 0; j < count; j++, dot += row) total += SimdMath.Exp((scale * V.Load(dot)) - reference);
                V.Store(now, sums.Largest + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sums.Sum + i), SimdMath.Exp(before - reference), total), sums.Sum + i);
                V.Store(all, sums.All + i);
            }
        }

        /// <summary>The same for the teacher, and Σ exp(teacher's score - maximum) · dot: the softmax-weighted mean of the dot products.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void AddTeacher<V>(int count, float* tile, float* teacherTile, int row, in Sums sums)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Scores.Factor), negativeInfinity = V.Create(float.NegativeInfinity);
            for (int i = 0; i < row; i += V.Width)
            {
                V before = V.Load(sums.TeacherLargest + i), now = before, total = V.Zero, weighted = V.Zero;
                float* score = teacherTile + i, dot = tile + i;
                for (int j = 0; j < count; j++, score += row) now = V.Max(scale * V.Load(score), now);
                V reference = V.Select(V.Equal(now, negativeInfinity), V.Zero, now), shrink = SimdMath.Exp(before - reference);
                score = teacherTile + i;
                for (int j = 0; j < count; j++, score += row, dot += row)
                {
                    V weight = SimdMath.Exp((scale * V.Load(score)) - reference), value = V.Load(dot);
                    total += weight;
                    weighted = V.FusedMultiplyAdd(weight, V.Select(V.Equal(value, negativeInfinity), V.Zero, value), weighted);
                }

                V.Store(now, sums.TeacherLargest + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sums.TeacherSum + i), shrink, total), sums.TeacherSum + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sums.TeacherDot + i), shrink, weighted), sums.TeacherDot + i);
            }
        }

        private void Finish(int firstRow, int rows, in Sums sums)
        {
            float* losses = (float*)Losses + firstRow, statistics = (float*)Statistics + firstRow;
            float scale = Scores.Factor, columns = (float)Shape.Rows + Shape.Queue;
            for (int i = 0; i < rows; i++)
            {
                float logSum = sums.Largest[i] + MathF.Log(sums.Sum[i]), hard = sums.Positive[i] / sums.Count[i];
                if (Shape.LabelSmoothing > 0f) hard = ((1f - Shape.LabelSmoothing) * hard) + (Shape.LabelSmoothing / columns * sums.All[i]);
                float target = Shape.Alpha > 0f ? ((1f - Shape.Alpha) * hard) + (Shape.Alpha * sums.TeacherDot[i] / sums.TeacherSum[i]) : hard;
                losses[i] = logSum - (scale * target);
                statistics[i] = logSum;
                statistics[Shape.Rows + i] = 1f / sums.Count[i];
                statistics[(2 * Shape.Rows) + i] = sums.TeacherLargest[i] + MathF.Log(sums.TeacherSum[i]);
            }
        }

        /// <summary>What is gathered for each row of the block.</summary>
        private readonly ref struct Sums(float* memory, int row)
        {
            public readonly float* Largest = memory, Sum = memory + row, All = memory + (2 * row), Positive = memory + (3 * row), Count = memory + (4 * row);
            public readonly float* TeacherLargest = memory + (5 * row), TeacherSum = memory + (6 * row), TeacherDot = memory + (7 * row);

            public void Clear()
            {
                new Span<float>(Largest, 8 * row).Clear();
                new Span<float>(Largest, row).Fill(float.NegativeInfinity);
                new Span<float>(TeacherLargest, row).Fill(float.NegativeInfinity);
            }
        }
    }

    /// <summary>One chunk is the gradient of one block of rows.</summary>
    private readonly record struct SoftmaxContrastiveBackwardKernel(
        ContrastiveScores Scores, ContrastiveShape Shape, Pointer RowStatistics, Pointer ColumnStatistics, float RowWeight, float ColumnWeight,
        Pointer DLoss, FloatTarget DRows, Pointer ScaleParts, bool IncludeBatchInScale) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int firstRow = chunk * Scores.RowBlock, rows = Math.Min(Scores.RowBlock, Shape.Rows - firstRow), row = TileMatMul.Pad<V>(rows);
            int padded = TileMatMul.Pad<V>(Shape.Width), widthRow = padded + ContrastiveScores.RowGap;
            bool hasTeacher = Shape.Alpha > 0f && (float*)RowStatistics != null;
            float* packed = ThreadScratch.Get(
                ((long)row * ((2 * Shape.Width) + widthRow + (3 * ContrastiveScores.ColumnBlock) + 3)) + ((long)widthRow * ContrastiveScores.ColumnBlock));
            float* packedTeacher = packed + ((nint)row * Shape.Width), gradient = packedTeacher + ((nint)row * Shape.Width);
            float* tile = gradient + ((nint)row * widthRow), teacherTile = tile + ((nint)row * ContrastiveScores.ColumnBlock);
            float* scoreGradient = teacherTile + ((nint)row * ContrastiveScores.ColumnBlock);
            float* columnFeatures = scoreGradient + ((nint)row * ContrastiveScores.ColumnBlock), statistics = columnFeatures + ((nint)widthRow * ContrastiveScores.ColumnBlock);
            LoadStatistics(firstRow, rows, row, statistics);
            Scores.PackRows(Scores.Rows, firstRow, rows, packed, row);
            if (hasTeacher) Scores.PackRows(Scores.Teacher, firstRow, rows, packedTeacher, row);
            new Span<float>(gradient, rows * widthRow).Clear();
            double scaleGradient = 0;
            for (int t = 0; t < Scores.TileCount; t++)
            {
                ColumnRange columns = Scores.Range(t);
                if (columns.IsQueue && (float*)RowStatistics == null) break;
                Scores.Tile<V>(columns.Features, columns.Count, packed, tile, row);
                Scores.HideOthers(columns, firstRow, rows, tile, row);
                if (hasTeacher)
                {
                    Scores.Tile<V>(columns.Features, columns.Count, packedTeacher, teacherTile, row);
                    Scores.HideOthers(columns, firstRow, rows, teacherTile, row);
                }

                ScoreGradient<V>(columns, tile, hasTeacher ? teacherTile : null, scoreGradient, row, statistics);
                SubtractPositives(columns, firstRow, rows, scoreGradient, row, statistics);
                if ((float*)ScaleParts != null && (columns.IsQueue || IncludeBatchInScale)) scaleGradient += Dot<V>(tile, scoreGradient, columns.Count * row);
                if (!DRows.IsNeeded) continue;
                TileMatMul.Pack<V>(columns.Features, Shape.Width, columns.Count, Shape.Width, 1f, columnFeatures, widthRow);
                TileMatMul.Multiply<V>(rows, padded, columns.Count, scoreGradient, 1, row, columnFeatures, widthRow, gradient, widthRow, true);
            }

            if ((float*)ScaleParts != null) ((float*)ScaleParts)[chunk] = (float)scaleGradient;
            WriteRows<V>(DRows, (nint)firstRow * Shape.Width, Shape.Width, gradient, widthRow, rows, Shape.Width, Scores.Factor);
        }

        /// <summary>log-sum, 1 / |positives| and the teacher's log-sum for the rows of the block; zeros behind them.</summary>
        private void LoadStatistics(int firstRow, int rows, int row, float* statistics)
        {
            new Span<float>(statistics, 3 * row).Clear();
            if ((float*)RowStatistics == null) return;
            for (int part = 0; part < 3; part++)
                new Span<float>((float*)RowStatistics + ((nint)part * Shape.Rows) + firstRow, rows).CopyTo(new Span<float>(statistics + ((nint)part * row), rows));
        }

        /// <summary>G without the share of the positives.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void ScoreGradient<V>(in ColumnRange columns, float* tile, float* teacherTile, float* scoreGradient, int row, float* statistics)
            where V : unmanaged, ISimd<V>
        {
            float dloss = *(float*)DLoss;
            bool hasRows = (float*)RowStatistics != null, hasColumns = (float*)ColumnStatistics != null && !columns.IsQueue;
            float rowWeight = hasRows ? dloss * RowWeight : 0f, columnWeight = hasColumns ? dloss * ColumnWeight : 0f;
            float spread = rowWeight * (1f - Shape.Alpha) * Shape.LabelSmoothing / ((float)Shape.Rows + Shape.Queue);
            spread += columnWeight * Shape.LabelSmoothing / ((float)Shape.Rows + Shape.OtherQueue);
            V scale = V.Create(Scores.Factor), rowFactor = V.Create(rowWeight), columnFactor = V.Create(columnWeight), teacherFactor = V.Create(rowWeight * Shape.Alpha);
            for (int j = 0; j < columns.Count; j++)
            {
                V columnLogSum = V.Create(hasColumns ? ((float*)ColumnStatistics)[columns.First + j] : 0f);
                for (int i = 0; i < row; i += V.Width)
                {
                    V score = scale * V.Load(tile + i), value = V.Create(-spread);
                    if (hasRows) value = V.FusedMultiplyAdd(rowFactor, SimdMath.Exp(score - V.Load(statistics + i)), value);
                    if (hasColumns) value = V.FusedMultiplyAdd(columnFactor, SimdMath.Exp(score - columnLogSum), value);
                    if (teacherTile != null) value -= teacherFactor * SimdMath.Exp((scale * V.Load(teacherTile + i)) - V.Load(statistics + (2 * row) + i));
                    V.Store(value, scoreGradient + i);
                }

                tile += row;
                scoreGradient += row;
                if (teacherTile != null) teacherTile += row;
            }
        }

        private void SubtractPositives(in ColumnRange columns, int firstRow, int rows, float* scoreGradient, int row, float* statistics)
        {
            float dloss = *(float*)DLoss, keep = 1f - Shape.LabelSmoothing;
            bool hasRows = (float*)RowStatistics != null, hasColumns = (float*)ColumnStatistics != null && !columns.IsQueue;
            float rowWeight = hasRows ? dloss * RowWeight * (1f - Shape.Alpha) * keep : 0f, columnWeight = hasColumns ? dloss * ColumnWeight * keep : 0f;
            bool hasIds = (float*)Scores.Ids != null;
            for (int j = 0; j < columns.Count; j++)
            {
                float inverseCount = hasColumns ? ((float*)ColumnStatistics)[Shape.Rows + columns.First + j] : 0f;
                int own = columns.IsQueue ? -1 : columns.First + j - firstRow;
                int first = hasIds ? 0 : Math.Max(0, own), end = hasIds ? rows : Math.Min(rows, own + 1);
                for (int i = first; i < end; i++)
                {
                    if (Scores.IsPositive(firstRow + i, columns, j))
                        scoreGradient[(j * row) + i] -= (rowWeight * statistics[row + i]) + (columnWeight * inverseCount);
                }
            }
        }

        /// <summary>Σ dot · G; a hidden column has the dot product -∞ and the gradient 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Dot<V>(float* tile, float* scoreGradient, int length)
            where V : unmanaged, ISimd<V>
        {
            V sum = V.Zero, negativeInfinity = V.Create(float.NegativeInfinity);
            for (int i = 0; i < length; i += V.Width)
            {
                V dot = V.Load(tile + i);
                sum = V.FusedMultiplyAdd(V.Select(V.Equal(dot, negativeInfinity), V.Zero, dot), V.Load(scoreGradient + i), sum);
            }

            return V.Sum(sum);
        }
    }
}
