using ILGPU;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Groups that keep a device busy: columns are divided into parts until there are so many.</summary>
    private const int ContrastiveGroups = 264;

    /// <summary>Scores of one panel of G, 256 MiB of bfloat16 at most; memory is linear in the rows all the same, as a panel has at least one tile of columns.</summary>
    private const long MostPanelScores = 1L << 27;

    /// <summary>Gathers the sums of a block on tensor cores, or returns false for the portable kernels to do it.</summary>
    private bool TryTensorCoreContrastiveScores(
        in ContrastiveBlock block, in ContrastiveOperands operands, DeviceBuffer rowSums, bool continuesRows, DeviceBuffer columnSums)
    {
        if (!IsForTensorCores(block, !operands.Teacher.IsNull)) return false;
        ContrastiveCopies copies = Copy(block, operands, operands.Teacher);
        ContrastiveFeatures features = Features(block, operands, copies);
        if (operands.Teacher.IsNull) TensorCoreContrastiveSums<NoTeacher>(features, rowSums, continuesRows);
        else TensorCoreContrastiveSums<WithTeacher>(features, rowSums, continuesRows);
        if (!columnSums.IsNull) TensorCoreContrastiveSums<NoTeacher>(features.Transposed(), columnSums, continues: false);
        Return(copies);
        return true;
    }

    /// <summary>Computes the gradients of a block on tensor cores, or returns false for the portable kernels to do it.</summary>
    private bool TryTensorCoreContrastiveScoresBackward(
        in ContrastiveBlock block, in ContrastiveOperands operands, in ContrastiveTargets targets, in ContrastiveLossWeights weights,
        DeviceBuffer dloss, GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale)
    {
        bool hasRows = !weights.RowStatistics.IsNull, hasColumns = !weights.ColumnStatistics.IsNull, hasTeacher = hasRows && !operands.Teacher.IsNull;
        if (!IsForTensorCores(block, hasTeacher)) return false;
        ContrastiveShares shares = new(
            weights.Weight,
            (hasRows ? (1f - targets.Alpha) * targets.LabelSmoothing / targets.RowCandidates : 0f) + (hasColumns ? targets.LabelSmoothing / targets.ColumnCandidates : 0f),
            hasRows ? (1f - targets.Alpha) * (1f - targets.LabelSmoothing) : 0f, hasColumns ? 1f - targets.LabelSmoothing : 0f, hasTeacher ? targets.Alpha : 0f);
        ContrastiveCopies copies = Copy(block, operands, hasTeacher ? operands.Teacher : default);
        ContrastiveFeatures features = Features(block, operands, copies);
        int panelColumns = TensorCorePanelColumns(block), panelTiles = GroupCount(panelColumns, ContrastiveTile.Size), rowBlocks = GroupCount(block.Rows, ContrastiveTile.Size);
        DeviceBuffer panel = Rent(checked((int)((long)block.Rows * panelColumns / 2))), scaleParts = dscale.IsNeeded ? Rent(rowBlocks * panelTiles) : default;
        for (int first = 0; first < block.Columns; first += panelColumns)
        {
            int columns = Math.Min(panelColumns, block.Columns - first), padded = RoundUp8(columns), tiles = GroupCount(padded, ContrastiveTile.Size);
            ContrastivePanelArgs args = new(shares, weights, dloss, panel, scaleParts, first / ContrastiveTile.Size, padded, panelTiles);
            if (hasTeacher) TensorCoreContrastivePanel<WithTeacher>(features, args, tiles, rowBlocks);
            else TensorCoreContrastivePanel<NoTeacher>(features, args, tiles, rowBlocks);
            PanelGradients(block, copies, panel, first, columns, padded, drows, dcolumns);
        }

        AddParts(scaleParts, dscale);
        Return(panel);
        Return(copies);
        return true;
    }

    /// <summary>Whether there are kernels for such a block, and enough of it for their tiles.</summary>
    private bool IsForTensorCores(in ContrastiveBlock block, bool hasTeacher)
        => Precision == MatMulPrecision.BFloat16 && Level >= CudaLevel.Sm80
            && Math.Min(block.Rows, block.Columns) >= LeastTensorCoreSize && block.Width >= LeastTensorCoreSize && GroupCount(block.Rows, ContrastiveTile.Size) <= MostGroupsZ
            && SharedBytesPerGroup >= (hasTeacher ? ContrastiveTile.SharedBytes<WithTeacher>() : ContrastiveTile.SharedBytes<NoTeacher>());

    private static int TensorCorePanelColumns(in ContrastiveBlock block)
    {
        long tiles = Math.Max(1, MostPanelScores / ((long)block.Rows * ContrastiveTile.Size));
        return (int)Math.Min(tiles * ContrastiveTile.Size, RoundUp8(block.Columns));
    }

    private void TensorCoreContrastiveSums<TTeacher>(in ContrastiveFeatures features, DeviceBuffer sums, bool continues)
        where TTeacher : struct, ITeacher
    {
        int rowBlocks = GroupCount(features.RowCount, ContrastiveTile.Size), tiles = features.ColumnTiles;
        int tilesPerPart = GroupCount(tiles, Math.Clamp(GroupCount(ContrastiveGroups, rowBlocks), 1, tiles)), partCount = GroupCount(tiles, tilesPerPart);
        DeviceBuffer parts = Rent(checked(partCount * IBackend.ContrastiveSumCount * features.RowCount));
        Launch(new TensorCoreContrastiveKernel<TTeacher>(features, Output(parts), tilesPerPart), rowBlocks, partCount);
        Launch(
            new ContrastivePartsKernel(Input(parts), partCount, Output(sums), features.RowCount, continues ? 1 : 0),
            GroupCount(features.RowCount, ContrastivePartsKernel.GroupSize));
        Return(parts);
    }

    private void TensorCoreContrastivePanel<TTeacher>(in ContrastiveFeatures features, in ContrastivePanelArgs args, int tiles, int rowBlocks)
        where TTeacher : struct, ITeacher
        => Launch(
            new TensorCoreContrastiveGradientKernel<TTeacher>(
                features, args.Shares, Input(args.Weights.RowStatistics), Input(args.Weights.ColumnStatistics), Input(args.DLoss), Output(args.Panel), Output(args.ScaleParts),
                args.FirstTile, args.PaddedColumns, args.PanelTiles),
            tiles, rowBlocks);

    /// <summary>drows += panel · columns, and dcolumns of the panel = panelᵀ · rows; the factor is in the panel.</summary>
    private void PanelGradients(
        in ContrastiveBlock block, in ContrastiveCopies copies, DeviceBuffer panel, int first, int columns, int padded, GradientTarget drows, GradientTarget dcolumns)
    {
        int width = block.Width, stride = RoundUp8(width);
        ArrayView<float> scores = Input(panel);
        if (drows.IsNeeded)
        {
            MatMulArgs args = new(block.Rows, width, columns) { Beta = drows.Accumulate || first > 0 ? 1f : 0f };
            TensorCoreOperand right = new(Input(copies.Columns).SubView((long)first * stride / 2), stride * 2L, 0, 0, IsStepContiguous: true);
            TensorCoreMatMul<BFloat16Precision, NoActivation>(args, new(scores, padded * 2L, 0, 0, IsStepContiguous: false), right, default, default, drows.Buffer, default, default, default);
        }

        if (dcolumns.IsNeeded)
        {
            MatMulArgs args = new(columns, width, block.Rows) { TransposeA = true, Beta = dcolumns.Accumulate ? 1f : 0f };
            TensorCoreOperand right = new(Input(copies.Rows), stride * 2L, 0, 0, IsStepContiguous: true);
            DeviceBuffer target = dcolumns.Buffer.Slice(first * width, columns * width);
            TensorCoreMatMul<BFloat16Precision, NoActivation>(args, new(scores, padded * 2L, 0, 0, IsStepContiguous: true), right, default, default, target, default, default, default);
        }
    }

    private ContrastiveFeatures Features(in ContrastiveBlock block, in ContrastiveOperands operands, in ContrastiveCopies copies)
    {
        ContrastiveMatch match = block.IsBatch ? ContrastiveMatch.Own : ContrastiveMatch.None;
        if (!operands.RowIds.IsNull) match = operands.ColumnIds.IsNull ? ContrastiveMatch.None : ContrastiveMatch.Ids;
        return new(
            Input(copies.Rows), Input(copies.Columns), Input(copies.Teacher), IntInput(operands.RowIds), IntInput(operands.ColumnIds), Input(operands.Scale),
            block.Rows, block.Columns, RoundUp8(block.Width) * 2, (int)match, block.OnlyOwn && block.IsBatch ? 1 : 0);
    }

    /// <summary>The features in bfloat16; those that share memory do not push each other's copies out while they are in use.</summary>
    private ContrastiveCopies Copy(in ContrastiveBlock block, in ContrastiveOperands operands, DeviceBuffer teacher)
    {
        DeviceBuffer rows = BFloat16(operands.Rows, block.Width), columns = BFloat16(operands.Columns, block.Width, rows), teacherCopy = default;
        if (!teacher.IsNull) teacherCopy = BFloat16(teacher, block.Width, teacher.Memory == operands.Rows.Memory ? rows : columns);
        return new(operands.Rows, operands.Columns, teacher, rows, columns, teacherCopy);
    }

    private void Return(in ContrastiveCopies copies)
    {
        ReturnUnkept(copies.RowSource, copies.Rows);
        ReturnUnkept(copies.ColumnSource, copies.Columns);
        if (!copies.Teacher.IsNull) ReturnUnkept(copies.TeacherSource, copies.Teacher);
    }

    /// <summary>Features in bfloat16, two elements in each float, and what they were made from.</summary>
    private readonly record struct ContrastiveCopies(
        DeviceBuffer RowSource, DeviceBuffer ColumnSource, DeviceBuffer TeacherSource, DeviceBuffer Rows, DeviceBuffer Columns, DeviceBuffer Teacher);

    /// <summary>What the panels of one gradient have in common, and where one begins.</summary>
    private readonly record struct ContrastivePanelArgs(
        ContrastiveShares Shares, ContrastiveLossWeights Weights, DeviceBuffer DLoss, DeviceBuffer Panel, DeviceBuffer ScaleParts, int FirstTile, int PaddedColumns, int PanelTiles);
}
