using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// Columns of one panel. Scores exist for so many columns at a time: a matrix product makes the panel [rows, 256], kernels read it and put the
    /// gradient in its place, and two more products gather the gradients of the features. So memory is linear in the rows.
    /// </summary>
    private const int PanelColumns = 256;

    /// <summary>How kernels divide the rows of a panel, the same for the last and narrower one.</summary>
    private static RowLanes PanelLanes(int rows) => RowLanes.For(rows, PanelColumns);

    /// <summary>The panels of a block, from left to right; a block without columns has one without columns.</summary>
    private static IEnumerable<(int First, int Count)> Panels(int columns)
    {
        int first = 0;
        do
        {
            yield return (first, Math.Min(PanelColumns, columns - first));
            first += PanelColumns;
        }
        while (first < columns);
    }

    /// <summary>Memory for one panel.</summary>
    private DeviceBuffer RentPanel(int rows, int columns) => Rent(checked(rows * Math.Min(PanelColumns, columns)));

    /// <summary>dots[i, j] = row_i · column_(first + j).</summary>
    private void MultiplyPanel(DeviceBuffer rows, DeviceBuffer columns, int width, int first, int count, DeviceBuffer dots)
    {
        int rowCount = dots.Length == 0 ? 0 : dots.Length / count;
        if (rowCount > 0) MatMul(new MatMulArgs(rowCount, count, width) { TransposeB = true }, rows, columns.Slice(first * width, count * width), dots);
    }

    /// <summary>drow_i (+)= Σ_j G_ij column_j and dcolumn_j (+)= Σ_i G_ij row_i from the panel of scale · G.</summary>
    private void GatherPanel(
        DeviceBuffer gradient, DeviceBuffer rows, DeviceBuffer columns, int rowCount, int width, int first, int count, GradientTarget drows, GradientTarget dcolumns)
    {
        if (drows.IsNeeded && rowCount > 0)
        {
            MatMul(
                new MatMulArgs(rowCount, width, count) { Beta = drows.Accumulate || first > 0 ? 1f : 0f },
                gradient, columns.Slice(first * width, count * width), drows.Buffer);
        }

        if (dcolumns.IsNeeded && count > 0)
        {
            MatMul(
                new MatMulArgs(count, width, rowCount) { TransposeA = true, Beta = dcolumns.Accumulate ? 1f : 0f },
                gradient, rows, dcolumns.Buffer.Slice(first * width, count * width));
        }
    }

    /// <summary>Sums the groups' parts into a gradient of one element, and returns their memory.</summary>
    private void AddParts(DeviceBuffer parts, GradientTarget target)
    {
        if (!target.IsNeeded) return;
        Launch(new AddPartsKernel(Input(parts), Target(target), 1f), 1);
        Return(parts);
    }

    /// <summary>One group: weight · Σ parts, in double precision.</summary>
    internal readonly record struct AddPartsKernel(ArrayView<float> Parts, GpuTarget Target, float Weight) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<double> shared = SharedMemory.Allocate<double>(GroupSize);
            double sum = 0;
            for (long i = Group.IdxX; i < Parts.Length; i += GroupSize) sum += Parts[i];
            sum = GroupReduction.Sum(shared, sum, GroupSize);
            if (Group.IdxX == 0) Target.Put(0, (float)(Weight * sum));
        }
    }

    /// <summary>One panel of dot products, and which of them are positives or hidden.</summary>
    /// <param name="Dots">[rows, columns].</param>
    /// <param name="RowIds">[rows]; empty without ids.</param>
    /// <param name="ColumnIds">[all columns]; empty where no column belongs to a row.</param>
    /// <param name="Scale">The factor of the dot products.</param>
    /// <param name="Rows">Rows of the block.</param>
    /// <param name="Columns">Columns of the panel.</param>
    /// <param name="First">The first of them in the block.</param>
    /// <param name="IsBatch">Whether column i belongs to row i, without ids.</param>
    /// <param name="OnlyOwn">Whether a row sees its own column alone.</param>
    internal readonly record struct ContrastivePanel(
        ArrayView<float> Dots, ArrayView<int> RowIds, ArrayView<int> ColumnIds, ArrayView<float> Scale, int Rows, int Columns, int First, int IsBatch, int OnlyOwn)
    {
        public static ContrastivePanel From(in ContrastiveBlock block, in ContrastiveOperands operands, ArrayView<float> dots, int first, int count) => new(
            dots, IntInput(operands.RowIds), IntInput(operands.ColumnIds), Input(operands.Scale), block.Rows, count, first,
            block.IsBatch ? 1 : 0, block.OnlyOwn && block.IsBatch ? 1 : 0);

        /// <summary>Where the panel keeps a dot product.</summary>
        public long Index(int row, int j) => ((long)row * Columns) + j;

        /// <summary>Whether a column of the panel belongs to a row.</summary>
        public bool IsPositive(int row, int j)
        {
            if (RowIds.Length == 0) return IsBatch != 0 && First + j == row;
            return ColumnIds.Length > 0 && ColumnIds[First + j] == RowIds[row];
        }

        /// <summary>Whether a row may not see a column of the panel.</summary>
        public bool IsHidden(int row, int j) => OnlyOwn != 0 && First + j != row;
    }
}
