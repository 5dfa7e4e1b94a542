using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void ContrastiveScores(in ContrastiveBlock block, in ContrastiveOperands operands, DeviceBuffer rowSums, bool continuesRows, DeviceBuffer columnSums)
    {
        if (TryTensorCoreContrastiveScores(block, operands, rowSums, continuesRows, columnSums)) return;
        RowLanes lanes = PanelLanes(block.Rows);
        int splits = Math.Clamp(GroupCount(block.Rows, 128), 1, 64);
        DeviceBuffer panel = RentPanel(block.Rows, block.Columns), teacherPanel = operands.Teacher.IsNull ? default : RentPanel(block.Rows, block.Columns);
        DeviceBuffer parts = columnSums.IsNull ? default : Rent(splits * ColumnSum.Parts * PanelColumns);
        foreach ((int first, int count) in Panels(block.Columns))
        {
            DeviceBuffer dots = panel.Slice(0, block.Rows * count);
            MultiplyPanel(operands.Rows, operands.Columns, block.Width, first, count, dots);
            ContrastivePanel columns = ContrastivePanel.From(block, operands, Input(dots), first, count);
            Launch(new ContrastiveRowsKernel(lanes, columns, Output(rowSums), continuesRows || first > 0 ? 1 : 0), lanes.Groups);
            if (!operands.Teacher.IsNull)
            {
                DeviceBuffer teacherDots = teacherPanel.Slice(0, block.Rows * count);
                MultiplyPanel(operands.Teacher, operands.Columns, block.Width, first, count, teacherDots);
                Launch(new ContrastiveTeacherKernel(columns, Input(teacherDots), lanes, Output(rowSums)), lanes.Groups);
            }

            if (columnSums.IsNull || count == 0) continue;
            int groups = GroupCount(count, SummedColumns);
            Launch(new ContrastiveColumnsKernel(columns, Output(parts)), groups, splits);
            Launch(new ContrastiveColumnSumsKernel(Input(parts), Output(columnSums), block.Columns, count, first, splits), groups);
        }

        Return(panel);
        if (!teacherPanel.IsNull) Return(teacherPanel);
        if (!parts.IsNull) Return(parts);
    }

    /// <inheritdoc/>
    public void ContrastiveLosses(in ContrastiveTargets targets, DeviceBuffer scale, DeviceBuffer sums, DeviceBuffer losses, DeviceBuffer statistics)
        => LaunchElements(
            new ContrastiveLossesKernel(
                Input(scale), Input(sums), Output(losses), Output(statistics), losses.Length, targets.LabelSmoothing, targets.Alpha, targets.RowCandidates),
            losses.Length);

    /// <inheritdoc/>
    public void ContrastiveScoresBackward(
        in ContrastiveBlock block, in ContrastiveOperands operands, in ContrastiveTargets targets, in ContrastiveLossWeights weights,
        DeviceBuffer dloss, GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale)
    {
        if (!drows.IsNeeded && !dcolumns.IsNeeded && !dscale.IsNeeded) return;
        if (TryTensorCoreContrastiveScoresBackward(block, operands, targets, weights, dloss, drows, dcolumns, dscale)) return;
        RowLanes lanes = PanelLanes(block.Rows);
        bool hasTeacher = !operands.Teacher.IsNull && !weights.RowStatistics.IsNull;
        DeviceBuffer panel = RentPanel(block.Rows, block.Columns), teacherPanel = hasTeacher ? RentPanel(block.Rows, block.Columns) : default;
        DeviceBuffer scaleParts = dscale.IsNeeded ? Rent(lanes.Groups) : default;
        ContrastiveGradientWeights factors = new(
            Input(dloss), weights.Weight, targets.LabelSmoothing, targets.Alpha, targets.RowCandidates, targets.ColumnCandidates);
        foreach ((int first, int count) in Panels(block.Columns))
        {
            DeviceBuffer dots = panel.Slice(0, block.Rows * count), teacherDots = hasTeacher ? teacherPanel.Slice(0, block.Rows * count) : default;
            MultiplyPanel(operands.Rows, operands.Columns, block.Width, first, count, dots);
            if (hasTeacher) MultiplyPanel(operands.Teacher, operands.Columns, block.Width, first, count, teacherDots);
            Launch(
                new ContrastiveGradientKernel(
                    ContrastivePanel.From(block, operands, Output(dots), first, count), Input(teacherDots), factors, Input(weights.RowStatistics), Input(weights.ColumnStatistics),
                    Output(scaleParts), lanes, block.Columns),
                lanes.Groups);
            GatherPanel(dots, operands.Rows, operands.Columns, block.Rows, block.Width, first, count, drows, dcolumns);
        }

        AddParts(scaleParts, dscale);
        Return(panel);
        if (!teacherPanel.IsNull) Return(teacherPanel);
    }

    /// <inheritdoc/>
    public void MeanLoss(DeviceBuffer losses, float weight, DeviceBuffer result)
        => Launch(new MeanLossKernel(Input(losses), Output(result), weight), 1);

    /// <summary>One group: weight · mean of all losses, in double precision.</summary>
    internal readonly record struct MeanLossKernel(ArrayView<float> Losses, ArrayView<float> Result, float Weight) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<double> shared = SharedMemory.Allocate<double>(GroupSize);
            double sum = 0;
            for (long i = Group.IdxX; i < Losses.Length; i += GroupSize) sum += Losses[i];
            sum = GroupReduction.Sum(shared, sum, GroupSize);
            if (Group.IdxX == 0) Result[0] = (float)(Weight * sum / Losses.Length);
        }
    }

    /// <summary>The rows' sums over one panel join those of the panels before: [8, rows], see <see cref="IBackend.ContrastiveScores"/>.</summary>
    internal readonly record struct ContrastiveRowsKernel(RowLanes Lanes, ContrastivePanel Panel, ArrayView<float> Sums, int Continues) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            ArrayView<SumPair> pairs = SharedMemory.Allocate<SumPair>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, rows = Lanes.Rows, end = row < rows ? Panel.Columns : 0;
            float scale = Panel.Scale[0], before = float.NegativeInfinity, largest = float.NegativeInfinity;
            for (int j = lane; j < end; j += Lanes.Count)
                if (!Panel.IsHidden(row, j)) largest = MathF.Max(largest, scale * Panel.Dots[Panel.Index(row, j)]);
            if (row < rows && Continues != 0) before = Sums[row];
            largest = MathF.Max(GroupReduction.Max(shared, largest, Lanes.Count), before);
            float reference = largest == float.NegativeInfinity ? 0f : largest, sum = 0f, all = 0f, positive = 0f, count = 0f;
            for (int j = lane; j < end; j += Lanes.Count)
            {
                float dot = Panel.Dots[Panel.Index(row, j)];
                if (!Panel.IsHidden(row, j))
                {
                    sum += GpuMath.Exp((scale * dot) - reference);
                    all += dot;
                }

                if (Panel.IsPositive(row, j))
                {
                    positive += dot;
                    count += 1f;
                }
            }

            SumPair first = GroupReduction.Sum(pairs, new SumPair(sum, all), Lanes.Count), second = GroupReduction.Sum(pairs, new SumPair(positive, count), Lanes.Count);
            if (row >= rows || lane != 0) return;
            Sums[row] = largest;
            if (Continues != 0)
            {
                Sums[At(1, row)] = MathF.FusedMultiplyAdd(Sums[At(1, row)], GpuMath.Exp(before - reference), first.First);
                Sums[At(2, row)] += first.Second;
                Sums[At(3, row)] += second.First;
                Sums[At(4, row)] += second.Second;
                return;
            }

            Sums[At(1, row)] = first.First;
            Sums[At(2, row)] = first.Second;
            Sums[At(3, row)] = second.First;
            Sums[At(4, row)] = second.Second;
            Sums[At(5, row)] = float.NegativeInfinity;
            Sums[At(6, row)] = 0f;
            Sums[At(7, row)] = 0f;
        }

        private long At(int part, int row) => ((long)part * Lanes.Rows) + row;
    }

    /// <summary>The teacher's sums over one panel join those of the panels before: its largest score, Σ exp and Σ exp · dot.</summary>
    internal readonly record struct ContrastiveTeacherKernel(ContrastivePanel Panel, ArrayView<float> TeacherDots, RowLanes Lanes, ArrayView<float> Sums) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            ArrayView<SumPair> pairs = SharedMemory.Allocate<SumPair>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, rows = Lanes.Rows, end = row < rows ? Panel.Columns : 0;
            float scale = Panel.Scale[0], before = float.NegativeInfinity, largest = float.NegativeInfinity;
            for (int j = lane; j < end; j += Lanes.Count)
                if (!Panel.IsHidden(row, j)) largest = MathF.Max(largest, scale * TeacherDots[Panel.Index(row, j)]);
            if (row < rows) before = Sums[(5L * rows) + row];
            largest = MathF.Max(GroupReduction.Max(shared, largest, Lanes.Count), before);
            float reference = largest == float.NegativeInfinity ? 0f : largest, sum = 0f, weighted = 0f;
            for (int j = lane; j < end; j += Lanes.Count)
            {
                if (Panel.IsHidden(row, j)) continue;
                long i = Panel.Index(row, j);
                float weight = GpuMath.Exp((scale * TeacherDots[i]) - reference);
                sum += weight;
                weighted = MathF.FusedMultiplyAdd(weight, Panel.Dots[i], weighted);
            }

            SumPair sums = GroupReduction.Sum(pairs, new SumPair(sum, weighted), Lanes.Count);
            if (row >= rows || lane != 0) return;
            float shrink = GpuMath.Exp(before - reference);
            Sums[(5L * rows) + row] = largest;
            Sums[(6L * rows) + row] = MathF.FusedMultiplyAdd(Sums[(6L * rows) + row], shrink, sums.First);
            Sums[(7L * rows) + row] = MathF.FusedMultiplyAdd(Sums[(7L * rows) + row], shrink, sums.Second);
        }
    }

    /// <summary>What is gathered for a column: the largest score, Σ exp(score - largest), Σ dot, and Σ dot and number of the positives.</summary>
    internal readonly record struct ColumnSum(float Largest, float Sum, float All, float Positive, float Count) : IReduction<ColumnSum>
    {
        /// <summary>Number of parts.</summary>
        public const int Parts = 5;

        /// <summary>Of no rows.</summary>
        public static ColumnSum Nothing => new(float.NegativeInfinity, 0f, 0f, 0f, 0f);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ColumnSum Combine(ColumnSum first, ColumnSum second)
        {
            float largest = MathF.Max(first.Largest, second.Largest), reference = largest == float.NegativeInfinity ? 0f : largest;
            return new ColumnSum(
                largest,
                (first.Sum * GpuMath.Exp(first.Largest - reference)) + (second.Sum * GpuMath.Exp(second.Largest - reference)),
                first.All + second.All,
                first.Positive + second.Positive,
                first.Count + second.Count);
        }

        /// <summary>Stores the parts [5, columns] at a column.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Store(ArrayView<float> destination, long start, int columns)
        {
            destination[start] = Largest;
            destination[start + columns] = Sum;
            destination[start + (2L * columns)] = All;
            destination[start + (3L * columns)] = Positive;
            destination[start + (4L * columns)] = Count;
        }

        /// <summary>What <see cref="Store"/> has stored.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ColumnSum Load(ArrayView<float> source, long start, int columns)
            => new(source[start], source[start + columns], source[start + (2L * columns)], source[start + (3L * columns)], source[start + (4L * columns)]);
    }

    /// <summary>The sums of some columns of a panel over one range of rows, with a running maximum; range r leaves them at [r, 5, columns].</summary>
    internal readonly record struct ContrastiveColumnsKernel(ContrastivePanel Panel, ArrayView<float> Parts) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<ColumnSum> shared = SharedMemory.Allocate<ColumnSum>(GroupSize);
            int column = (Grid.IdxX * SummedColumns) + (Group.IdxX % SummedColumns), rowsPerPart = (Panel.Rows + Grid.DimY - 1) / Grid.DimY;
            int first = Grid.IdxY * rowsPerPart, end = column < Panel.Columns ? Math.Min(Panel.Rows, first + rowsPerPart) : 0;
            float scale = Panel.Scale[0], largest = float.NegativeInfinity, sum = 0f, all = 0f, positive = 0f, count = 0f;
            for (int row = first + (Group.IdxX / SummedColumns); row < end; row += GroupSize / SummedColumns)
            {
                float dot = Panel.Dots[Panel.Index(row, column)];
                if (!Panel.IsHidden(row, column))
                {
                    float score = scale * dot;
                    if (score > largest)
                    {
                        sum = MathF.FusedMultiplyAdd(sum, GpuMath.Exp(largest - score), 1f);
                        largest = score;
                    }
                    else
                    {
                        sum += GpuMath.Exp(score - (largest == float.NegativeInfinity ? 0f : largest));
                    }

                    all += dot;
                }

                if (Panel.IsPositive(row, column))
                {
                    positive += dot;
                    count += 1f;
                }
            }

            ColumnSum result = GroupReduction.ReduceColumns<ColumnSum, ColumnSum>(shared, new ColumnSum(largest, sum, all, positive, count), SummedColumns);
            if (Group.IdxX < SummedColumns && column < Panel.Columns)
                result.Store(Parts, ((long)Grid.IdxY * ColumnSum.Parts * Panel.Columns) + column, Panel.Columns);
        }
    }

    /// <summary>The columns' sums [8, columns] from those of the ranges of rows; columns have no teacher.</summary>
    internal readonly record struct ContrastiveColumnSumsKernel(
        ArrayView<float> Parts, ArrayView<float> Sums, int AllColumns, int Columns, int First, int Splits) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<ColumnSum> shared = SharedMemory.Allocate<ColumnSum>(GroupSize);
            int column = (Grid.IdxX * SummedColumns) + (Group.IdxX % SummedColumns), end = column < Columns ? Splits : 0;
            ColumnSum sum = ColumnSum.Nothing;
            for (int split = Group.IdxX / SummedColumns; split < end; split += GroupSize / SummedColumns)
                sum = ColumnSum.Combine(sum, ColumnSum.Load(Parts, ((long)split * ColumnSum.Parts * Columns) + column, Columns));
            sum = GroupReduction.ReduceColumns<ColumnSum, ColumnSum>(shared, sum, SummedColumns);
            if (Group.IdxX >= SummedColumns || column >= Columns) return;
            long start = First + column;
            sum.Store(Sums, start, AllColumns);
            Sums[start + (5L * AllColumns)] = float.NegativeInfinity;
            Sums[start + (6L * AllColumns)] = 0f;
            Sums[start + (7L * AllColumns)] = 0f;
        }
    }

    internal readonly record struct ContrastiveLossesKernel(
        ArrayView<float> Scale, ArrayView<float> Sums, ArrayView<float> Losses, ArrayView<float> Statistics,
        int Rows, float LabelSmoothing, float Alpha, int Candidates) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long rows = Rows;
            for (long i = Grid.GlobalLinearIndex; i < rows; i += Grid.DimX * GroupSize)
            {
                float logSum = Sums[i] + GpuMath.Log(Sums[rows + i]), count = Sums[(4 * rows) + i], hard = Sums[(3 * rows) + i] / count;
                if (LabelSmoothing > 0f) hard = ((1f - LabelSmoothing) * hard) + (LabelSmoothing / Candidates * Sums[(2 * rows) + i]);
                float teacherSum = Sums[(6 * rows) + i];
                float target = Alpha > 0f ? ((1f - Alpha) * hard) + (Alpha * Sums[(7 * rows) + i] / teacherSum) : hard;
                Losses[i] = logSum - (Scale[0] * target);
                Statistics[i] = logSum;
                Statistics[rows + i] = 1f / count;
                Statistics[(2 * rows) + i] = Sums[(5 * rows) + i] + GpuMath.Log(teacherSum);
            }
        }
    }

    /// <summary>The constants of a contrastive gradient, see <see cref="ContrastiveTargets"/>.</summary>
    internal readonly record struct ContrastiveGradientWeights(
        ArrayView<float> DLoss, float Weight, float LabelSmoothing, float Alpha, int RowCandidates, int ColumnCandidates);

    /// <summary>Puts scale · G in the place of the dot products of a panel, and Σ dot · G of each group to its parts.</summary>
    internal readonly record struct ContrastiveGradientKernel(
        ContrastivePanel Panel, ArrayView<float> TeacherDots, ContrastiveGradientWeights Weights, ArrayView<float> RowStatistics, ArrayView<float> ColumnStatistics,
        ArrayView<float> ScaleParts, RowLanes Lanes, int AllColumns) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, end = row < Lanes.Rows ? Panel.Columns : 0;
            bool hasRows = RowStatistics.Length > 0, hasColumns = ColumnStatistics.Length > 0;
            float factor = Weights.DLoss[0] * Weights.Weight, rowWeight = hasRows ? factor : 0f, columnWeight = hasColumns ? factor : 0f, keep = 1f - Weights.LabelSmoothing;
            float spread = (rowWeight * (1f - Weights.Alpha) * Weights.LabelSmoothing / Weights.RowCandidates)
                + (columnWeight * Weights.LabelSmoothing / Weights.ColumnCandidates);
            float scale = Panel.Scale[0], sum = 0f, logSum = 0f, rowPositive = 0f, teacherLogSum = 0f;
            if (hasRows && end > 0)
            {
                logSum = RowStatistics[row];
                rowPositive = rowWeight * (1f - Weights.Alpha) * keep * RowStatistics[Lanes.Rows + row];
                teacherLogSum = RowStatistics[(2L * Lanes.Rows) + row];
            }

            for (int j = Lanes.Lane; j < end; j += Lanes.Count)
            {
                long i = Panel.Index(row, j);
                int column = Panel.First + j;
                float dot = Panel.Dots[i], value = -spread;
                if (Panel.IsHidden(row, j))
                {
                    dot = 0f;
                }
                else
                {
                    if (hasRows) value = MathF.FusedMultiplyAdd(rowWeight, GpuMath.Exp((scale * dot) - logSum), value);
                    if (hasColumns) value = MathF.FusedMultiplyAdd(columnWeight, GpuMath.Exp((scale * dot) - ColumnStatistics[column]), value);
                    if (TeacherDots.Length > 0) value -= rowWeight * Weights.Alpha * GpuMath.Exp((scale * TeacherDots[i]) - teacherLogSum);
                }

                if (Panel.IsPositive(row, j))
                    value -= rowPositive + (hasColumns ? columnWeight * keep * ColumnStatistics[(long)AllColumns + column] : 0f);
                sum = MathF.FusedMultiplyAdd(dot, value, sum);
                Panel.Dots[i] = scale * value;
            }

            sum = GroupReduction.Sum(shared, sum, RowLanes.GroupSize);
            if (Group.IdxX == 0 && ScaleParts.Length > 0) ScaleParts[Grid.IdxX] = Panel.First > 0 ? ScaleParts[Grid.IdxX] + sum : sum;
        }
    }
}
