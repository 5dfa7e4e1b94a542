using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void ContrastiveScores(in ContrastiveBlock block, in ContrastiveOperands operands, DeviceBuffer rowSums, bool continuesRows, DeviceBuffer columnSums)
    {
        ContrastiveTiles tiles = ContrastiveTiles.From(block, operands);
        DeviceBuffer panel = columnSums.IsNull ? default : Rent(checked((int)tiles.PanelLength));
        tiles = tiles with { Panel = Floats(panel) };
        int step = columnSums.IsNull ? Math.Max(1, tiles.TileCount) : ContrastiveTiles.PanelTiles, first = 0;
        do
        {
            int end = Math.Min(tiles.TileCount, first + step);
            Run(new ContrastiveRowsKernel(tiles, Floats(rowSums), continuesRows || first > 0, first, end), tiles.RowBlocks);
            if (!columnSums.IsNull) Run(new ContrastiveColumnsKernel(tiles, Floats(columnSums), first, end), (end - first) * ContrastiveColumnsKernel.ChunksPerTile);
            first = end;
        }
        while (first < tiles.TileCount);

        if (!panel.IsNull) Return(panel);
    }

    /// <inheritdoc/>
    public void ContrastiveLosses(in ContrastiveTargets targets, DeviceBuffer scale, DeviceBuffer sums, DeviceBuffer losses, DeviceBuffer statistics)
    {
        int rows = losses.Length;
        ContrastiveSums all = new(Floats(sums), rows);
        float* loss = Floats(losses), statistic = Floats(statistics);
        float factor = *Floats(scale);
        for (int i = 0; i < rows; i++)
        {
            float logSum = all.Largest[i] + MathF.Log(all.Sum[i]), hard = all.Positive[i] / all.Count[i];
            if (targets.LabelSmoothing > 0f) hard = ((1f - targets.LabelSmoothing) * hard) + (targets.LabelSmoothing / targets.RowCandidates * all.All[i]);
            float target = targets.Alpha > 0f ? ((1f - targets.Alpha) * hard) + (targets.Alpha * all.TeacherDot[i] / all.TeacherSum[i]) : hard;
            loss[i] = logSum - (factor * target);
            statistic[i] = logSum;
            statistic[rows + i] = 1f / all.Count[i];
            statistic[(2 * rows) + i] = all.TeacherLargest[i] + MathF.Log(all.TeacherSum[i]);
        }
    }

    /// <inheritdoc/>
    public void ContrastiveScoresBackward(
        in ContrastiveBlock block, in ContrastiveOperands operands, in ContrastiveTargets targets, in ContrastiveLossWeights weights,
        DeviceBuffer dloss, GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale)
    {
        if (!drows.IsNeeded && !dcolumns.IsNeeded && !dscale.IsNeeded) return;
        ContrastiveTiles tiles = ContrastiveTiles.From(block, operands);
        DeviceBuffer panel = dcolumns.IsNeeded ? Rent(checked((int)tiles.PanelLength)) : default, scaleParts = dscale.IsNeeded ? Rent(tiles.RowBlocks) : default;
        tiles = tiles with { Panel = Floats(panel) };
        FloatTarget rows = FloatTarget.From(drows), columns = FloatTarget.From(dcolumns);
        int step = dcolumns.IsNeeded ? ContrastiveTiles.PanelTiles : Math.Max(1, tiles.TileCount), first = 0;
        do
        {
            int end = Math.Min(tiles.TileCount, first + step);
            Run(
                new ContrastiveGradientKernel(
                    tiles, targets, Floats(weights.RowStatistics), Floats(weights.ColumnStatistics), weights.Weight, Floats(dloss),
                    rows with { Accumulate = rows.Accumulate || first > 0 }, Floats(scaleParts), first, end),
                tiles.RowBlocks);
            if (dcolumns.IsNeeded) Run(new ColumnGradientKernel(tiles, columns, first), (end - first) * ColumnGradientKernel.Slices(block.Width));
            first = end;
        }
        while (first < tiles.TileCount);

        AddParts(scaleParts, dscale);
        if (!panel.IsNull) Return(panel);
    }

    /// <inheritdoc/>
    public void MeanLoss(DeviceBuffer losses, float weight, DeviceBuffer result)
    {
        double sum = 0;
        float* values = Floats(losses);
        for (int i = 0; i < losses.Length; i++) sum += values[i];
        *Floats(result) = (float)(weight * sum / losses.Length);
    }

    /// <summary>What is gathered for each row or column: eight arrays of <paramref name="length"/>.</summary>
    private readonly ref struct ContrastiveSums(float* memory, int length)
    {
        public readonly float* Largest = memory, Sum = memory + length, All = memory + (2 * (nint)length), Positive = memory + (3 * (nint)length);
        public readonly float* Count = memory + (4 * (nint)length), TeacherLargest = memory + (5 * (nint)length);
        public readonly float* TeacherSum = memory + (6 * (nint)length), TeacherDot = memory + (7 * (nint)length);

        public void Clear()
        {
            new Span<float>(Largest, IBackend.ContrastiveSumCount * length).Clear();
            new Span<float>(Largest, length).Fill(float.NegativeInfinity);
            new Span<float>(TeacherLargest, length).Fill(float.NegativeInfinity);
        }
    }

    /// <summary>The rows' side of some tiles of columns; one chunk is one block of rows.</summary>
    private readonly record struct ContrastiveRowsKernel(ContrastiveTiles Tiles, Pointer RowSums, bool Continues, int FirstTile, int EndTile) : ICpuKernel
    {
        public void Execute<V>(int rowBlock)
            where V : unmanaged, ISimd<V>
        {
            const int TileRows = ContrastiveTiles.ColumnBlock;
            int rows = Tiles.RowsOf(rowBlock), row = TileMatMul.Pad<V>(rows), width = Tiles.Block.Width;
            float* packed = ThreadScratch.Get((long)row * ((2 * width) + (2 * TileRows) + IBackend.ContrastiveSumCount));
            float* packedTeacher = packed + ((nint)row * width), scratch = packedTeacher + ((nint)row * width), teacherDots = scratch + (row * TileRows);
            float* sumMemory = teacherDots + (row * TileRows);
            ContrastiveSums sums = new(sumMemory, row);
            sums.Clear();
            if (Continues) CopySums(rowBlock, rows, sumMemory, row, load: true);
            Tiles.PackRows(Tiles.Rows, rowBlock, packed, row);
            if (Tiles.HasTeacher) Tiles.PackRows(Tiles.Teacher, rowBlock, packedTeacher, row);
            for (int tile = FirstTile; tile < EndTile; tile++)
            {
                float* dots = Tiles.IsPanelKept ? Tiles.Kept(rowBlock, tile) : scratch;
                int columns = Tiles.ColumnsOf(tile);
                Tiles.Tile<V>(tile, packed, dots, row);
                AddPositives(rowBlock, tile, dots, row, sums);
                Tiles.HideOthers(rowBlock, tile, dots, row);
                if (Tiles.HasTeacher)
                {
                    Tiles.Tile<V>(tile, packedTeacher, teacherDots, row);
                    Tiles.HideOthers(rowBlock, tile, teacherDots, row);
                    AddTeacher<V>(columns, dots, teacherDots, row, sums);
                }

                AddSoftmax<V>(columns, dots, row, sums);
            }

            CopySums(rowBlock, rows, sumMemory, row, load: false);
        }

        private void CopySums(int rowBlock, int rows, float* sums, int row, bool load)
        {
            for (int part = 0; part < IBackend.ContrastiveSumCount; part++)
            {
                Span<float> all = new((float*)RowSums + ((nint)part * Tiles.Block.Rows) + Tiles.FirstRow(rowBlock), rows), own = new(sums + ((nint)part * row), rows);
                if (load) all.CopyTo(own);
                else own.CopyTo(all);
            }
        }

        private void AddPositives(int rowBlock, int tile, float* dots, int row, in ContrastiveSums sums)
        {
            for (int j = 0; j < Tiles.ColumnsOf(tile); j++)
            {
                int column = (tile * ContrastiveTiles.ColumnBlock) + j;
                (int first, int end) = Tiles.Candidates(rowBlock, column);
                for (int i = first; i < end; i++)
                {
                    if (!Tiles.IsPositive(Tiles.FirstRow(rowBlock) + i, column)) continue;
                    sums.Positive[i] += dots[(j * row) + i];
                    sums.Count[i] += 1f;
                }
            }
        }

        /// <summary>Online softmax of the scores: running maximum and Σ exp(score - maximum), and the plain sum of the dot products.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void AddSoftmax<V>(int columns, float* dots, int row, in ContrastiveSums sums)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Tiles.ScoreFactor);
            for (int i = 0; i < row; i += V.Width)
            {
                V before = V.Load(sums.Largest + i), now = before, all = V.Load(sums.All + i), total = V.Zero;
                float* dot = dots + i;
                for (int j = 0; j < columns; j++, dot += row)
                {
                    V value = V.Load(dot);
                    all += value;
                    now = V.Max(scale * value, now);
                }

                V reference = V.Select(V.Equal(now, V.Create(float.NegativeInfinity)), V.Zero, now);
                dot = dots + i;
                for (int j = 0; j < columns; j++, dot += row) total += SimdMath.ExpNonPositive((scale * V.Load(dot)) - reference);
                V.Store(now, sums.Largest + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sums.Sum + i), SimdMath.ExpNonPositive(before - reference), total), sums.Sum + i);
                V.Store(all, sums.All + i);
            }
        }

        /// <summary>The same for the teacher, and Σ exp(teacher's score - maximum) · dot: the softmax-weighted mean of the dot products.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void AddTeacher<V>(int columns, float* dots, float* teacherDots, int row, in ContrastiveSums sums)
            where V : unmanaged, ISimd<V>
        {
            V scale = V.Create(Tiles.ScoreFactor), negativeInfinity = V.Create(float.NegativeInfinity), hidden = V.Create(Tiles.Hidden);
            for (int i = 0; i < row; i += V.Width)
            {
                V before = V.Load(sums.TeacherLargest + i), now = before, total = V.Zero, weighted = V.Zero;
                float* score = teacherDots + i, dot = dots + i;
                for (int j = 0; j < columns; j++, score += row) now = V.Max(scale * V.Load(score), now);
                V reference = V.Select(V.Equal(now, negativeInfinity), V.Zero, now), shrink = SimdMath.ExpNonPositive(before - reference);
                score = teacherDots + i;
                for (int j = 0; j < columns; j++, score += row, dot += row)
                {
                    V weight = SimdMath.ExpNonPositive((scale * V.Load(score)) - reference), value = V.Load(dot);
                    total += weight;
                    weighted = V.FusedMultiplyAdd(weight, V.Select(V.Equal(value, hidden), V.Zero, value), weighted);
                }

                V.Store(now, sums.TeacherLargest + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sums.TeacherSum + i), shrink, total), sums.TeacherSum + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sums.TeacherDot + i), shrink, weighted), sums.TeacherDot + i);
            }
        }
    }

    /// <summary>The columns' side of one kept panel; one chunk is a few columns against all rows.</summary>
    private readonly record struct ContrastiveColumnsKernel(ContrastiveTiles Tiles, Pointer ColumnSums, int FirstTile, int EndTile) : ICpuKernel
    {
        private const int ColumnsPerChunk = 16;

        public static int ChunksPerTile => ContrastiveTiles.ColumnBlock / ColumnsPerChunk;

        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int tile = FirstTile + (chunk / ChunksPerTile), first = chunk % ChunksPerTile * ColumnsPerChunk, end = Math.Min(Tiles.ColumnsOf(tile), first + ColumnsPerChunk);
            for (int j = first; j < end; j++) Column<V>(tile, j);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Column<V>(int tile, int j)
            where V : unmanaged, ISimd<V>
        {
            int column = (tile * ContrastiveTiles.ColumnBlock) + j;
            ContrastiveSums sums = new(ColumnSums, Tiles.Block.Columns);
            float scale = Tiles.ScoreFactor, largest = float.NegativeInfinity, all = 0f, positive = 0f, count = 0f;
            for (int rowBlock = 0; rowBlock < Tiles.RowBlocks; rowBlock++)
            {
                int rows = Tiles.RowsOf(rowBlock), i = 0;
                float* dots = Tiles.Kept(rowBlock, tile) + ((nint)j * TileMatMul.Pad<V>(rows));
                V most = V.Create(largest), sum = V.Zero;
                for (; i <= rows - V.Width; i += V.Width)
                {
                    V dot = V.Load(dots + i);
                    sum += dot;
                    most = V.Max(V.Create(scale) * dot, most);
                }

                largest = V.MaxElement(most);
                all += V.Sum(sum);
                for (; i < rows; i++)
                {
                    largest = MathF.Max(largest, scale * dots[i]);
                    all += dots[i];
                }

                (int firstLane, int endLane) = Tiles.Candidates(rowBlock, column);
                for (i = firstLane; i < endLane; i++)
                {
                    if (!Tiles.IsPositive(Tiles.FirstRow(rowBlock) + i, column)) continue;
                    positive += dots[i];
                    count += 1f;
                }
            }

            sums.Largest[column] = largest;
            sums.Sum[column] = SumExp<V>(tile, j, scale, largest);
            sums.All[column] = all;
            sums.Positive[column] = positive;
            sums.Count[column] = count;
            sums.TeacherLargest[column] = float.NegativeInfinity;
            sums.TeacherSum[column] = sums.TeacherDot[column] = 0f;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private float SumExp<V>(int tile, int j, float scale, float largest)
            where V : unmanaged, ISimd<V>
        {
            V sum = V.Zero, factor = V.Create(scale), reference = V.Create(largest);
            float rest = 0f;
            for (int rowBlock = 0; rowBlock < Tiles.RowBlocks; rowBlock++)
            {
                int rows = Tiles.RowsOf(rowBlock), i = 0;
                float* dots = Tiles.Kept(rowBlock, tile) + ((nint)j * TileMatMul.Pad<V>(rows));
                for (; i <= rows - V.Width; i += V.Width) sum += SimdMath.ExpNonPositive((factor * V.Load(dots + i)) - reference);
                for (; i < rows; i++) rest += MathF.Exp((scale * dots[i]) - largest);
            }

            return V.Sum(sum) + rest;
        }
    }

    /// <summary>G for some tiles of columns and the rows' gradient from it; one chunk is one block of rows.</summary>
    private readonly record struct ContrastiveGradientKernel(
        ContrastiveTiles Tiles, ContrastiveTargets Targets, Pointer RowStatistics, Pointer ColumnStatistics, float Weight, Pointer DLoss,
        FloatTarget DRows, Pointer ScaleParts, int FirstTile, int EndTile) : ICpuKernel
    {
        private float RowWeight => (float*)RowStatistics == null ? 0f : *(float*)DLoss * Weight;

        private float ColumnWeight => (float*)ColumnStatistics == null ? 0f : *(float*)DLoss * Weight;

        public void Execute<V>(int rowBlock)
            where V : unmanaged, ISimd<V>
        {
            const int TileRows = ContrastiveTiles.ColumnBlock;
            int rows = Tiles.RowsOf(rowBlock), row = TileMatMul.Pad<V>(rows), width = Tiles.Block.Width, gatherRow = TileMatMul.Pad<V>(width) + ContrastiveTiles.RowGap;
            bool hasTeacher = Tiles.HasTeacher && (float*)RowStatistics != null;
            float* packed = ThreadScratch.Get(((long)row * ((2 * width) + gatherRow + (3 * TileRows) + 3)) + ((long)gatherRow * TileRows));
            float* packedTeacher = packed + ((nint)row * width), gradient = packedTeacher + ((nint)row * width), dots = gradient + ((nint)row * gatherRow);
            float* teacherDots = dots + (row * TileRows), scratch = teacherDots + (row * TileRows), columnFeatures = scratch + (row * TileRows);
            float* statistics = columnFeatures + ((nint)gatherRow * TileRows);
            LoadStatistics(rowBlock, rows, row, statistics);
            Tiles.PackRows(Tiles.Rows, rowBlock, packed, row);
            if (hasTeacher) Tiles.PackRows(Tiles.Teacher, rowBlock, packedTeacher, row);
            new Span<float>(gradient, rows * gatherRow).Clear();
            double scaleGradient = 0;
            for (int tile = FirstTile; tile < EndTile; tile++)
            {
                float* scoreGradient = Tiles.IsPanelKept ? Tiles.Kept(rowBlock, tile) : scratch;
                Tiles.Tile<V>(tile, packed, dots, row);
                Tiles.HideOthers(rowBlock, tile, dots, row);
                if (hasTeacher)
                {
                    Tiles.Tile<V>(tile, packedTeacher, teacherDots, row);
                    Tiles.HideOthers(rowBlock, tile, teacherDots, row);
                }

                ScoreGradient<V>(tile, dots, hasTeacher ? teacherDots : null, scoreGradient, row, statistics);
                SubtractPositives(rowBlock, tile, scoreGradient, row, statistics);
                if ((float*)ScaleParts != null) scaleGradient += Dot<V>(dots, scoreGradient, Tiles.ColumnsOf(tile) * row);
                if (DRows.IsNeeded) Tiles.GatherRows<V>(rowBlock, tile, scoreGradient, row, columnFeatures, gradient);
            }

            if ((float*)ScaleParts != null) ((float*)ScaleParts)[rowBlock] = (FirstTile > 0 ? ((float*)ScaleParts)[rowBlock] : 0f) + (float)scaleGradient;
            WriteRows<V>(DRows, (nint)Tiles.FirstRow(rowBlock) * width, width, gradient, gatherRow, rows, width, Tiles.Factor);
        }

        /// <summary>log-sum, 1 / |positives| and the teacher's log-sum for the rows of the block; zeros behind them.</summary>
        private void LoadStatistics(int rowBlock, int rows, int row, float* statistics)
        {
            new Span<float>(statistics, 3 * row).Clear();
            if ((float*)RowStatistics == null) return;
            for (int part = 0; part < 3; part++)
                new Span<float>((float*)RowStatistics + ((nint)part * Tiles.Block.Rows) + Tiles.FirstRow(rowBlock), rows).CopyTo(new Span<float>(statistics + (part * row), rows));
        }

        /// <summary>G without the share of the positives.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void ScoreGradient<V>(int tile, float* dots, float* teacherDots, float* scoreGradient, int row, float* statistics)
            where V : unmanaged, ISimd<V>
        {
            float spread = RowWeight * (1f - Targets.Alpha) * Targets.LabelSmoothing / Targets.RowCandidates;
            spread += ColumnWeight * Targets.LabelSmoothing / Targets.ColumnCandidates;
            bool hasRows = (float*)RowStatistics != null, hasColumns = (float*)ColumnStatistics != null;
            V scale = V.Create(Tiles.ScoreFactor), rowFactor = V.Create(RowWeight), columnFactor = V.Create(ColumnWeight), teacherFactor = V.Create(RowWeight * Targets.Alpha);
            for (int j = 0; j < Tiles.ColumnsOf(tile); j++)
            {
                V columnLogSum = V.Create(hasColumns ? ((float*)ColumnStatistics)[(tile * ContrastiveTiles.ColumnBlock) + j] : 0f);
                for (int i = 0; i < row; i += V.Width)
                {
                    V score = scale * V.Load(dots + i), value = V.Create(-spread);
                    if (hasRows) value = V.FusedMultiplyAdd(rowFactor, SimdMath.ExpNonPositive(score - V.Load(statistics + i)), value);
                    if (hasColumns) value = V.FusedMultiplyAdd(columnFactor, SimdMath.ExpNonPositive(score - columnLogSum), value);
                    if (teacherDots != null) value -= teacherFactor * SimdMath.ExpNonPositive((scale * V.Load(teacherDots + i)) - V.Load(statistics + (2 * row) + i));
                    V.Store(value, scoreGradient + i);
                }

                dots += row;
                scoreGradient += row;
                if (teacherDots != null) teacherDots += row;
            }
        }

        private void SubtractPositives(int rowBlock, int tile, float* scoreGradient, int row, float* statistics)
        {
            float keep = 1f - Targets.LabelSmoothing, rowWeight = RowWeight * (1f - Targets.Alpha) * keep, columnWeight = ColumnWeight * keep;
            for (int j = 0; j < Tiles.ColumnsOf(tile); j++)
            {
                int column = (tile * ContrastiveTiles.ColumnBlock) + j;
                float inverseCount = (float*)ColumnStatistics == null ? 0f : ((float*)ColumnStatistics)[Tiles.Block.Columns + column];
                (int first, int end) = Tiles.Candidates(rowBlock, column);
                for (int i = first; i < end; i++)
                {
                    if (Tiles.IsPositive(Tiles.FirstRow(rowBlock) + i, column))
                        scoreGradient[(j * row) + i] -= (rowWeight * statistics[row + i]) + (columnWeight * inverseCount);
                }
            }
        }

        /// <summary>Σ dot · G; a hidden column has an infinite dot product and the gradient 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private float Dot<V>(float* dots, float* scoreGradient, int length)
            where V : unmanaged, ISimd<V>
        {
            V sum = V.Zero, hidden = V.Create(Tiles.Hidden);
            for (int i = 0; i < length; i += V.Width)
            {
                V dot = V.Load(dots + i);
                sum = V.FusedMultiplyAdd(V.Select(V.Equal(dot, hidden), V.Zero, dot), V.Load(scoreGradient + i), sum);
            }

            return V.Sum(sum);
        }
    }
}
