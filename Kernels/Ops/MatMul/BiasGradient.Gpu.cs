using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Columns that a group sums, and rows that are worth a group of their own.</summary>
    private const int BiasGradientColumns = 32;
    private const int BiasGradientRows = 64;

    /// <inheritdoc/>
    public void BiasGradient(DeviceBuffer x, int columns, GradientTarget sums)
    {
        if (!sums.IsNeeded || columns == 0) return;
        int rows = x.Length / columns, columnGroups = GroupCount(columns, BiasGradientColumns);
        int parts = Math.Clamp(Math.Min(GroupCount(rows, BiasGradientRows), 4 * FillingGroups / columnGroups), 1, FillingGroups);
        if (parts == 1)
        {
            Launch(new BiasGradientKernel(Input(x), rows, columns, rows, Target(sums)), columnGroups);
            return;
        }

        DeviceBuffer partial = Rent(parts * columns);
        Launch(new BiasGradientKernel(Input(x), rows, columns, GroupCount(rows, parts), Target(new(partial, Accumulate: false))), columnGroups, parts);
        Launch(new BiasGradientKernel(Input(partial), parts, columns, parts, Target(sums)), columnGroups);
        Return(partial);
    }

    /// <summary>A group sums a stretch of rows in 32 columns: each of its 8 warps takes every eighth row, and the 8 sums are added in order.</summary>
    internal readonly record struct BiasGradientKernel(ArrayView<float> X, int Rows, int Columns, int PartRows, GpuTarget Sums) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(256);
            int lane = Group.IdxX % BiasGradientColumns, column = (Grid.IdxX * BiasGradientColumns) + lane;
            int row = Grid.IdxY * PartRows, end = row + PartRows < Rows ? row + PartRows : Rows;
            float sum = 0f;
            if (column < Columns)
            {
                for (row += Group.IdxX / BiasGradientColumns; row < end; row += 8) sum += X[((long)row * Columns) + column];
            }

            shared[Group.IdxX] = sum;
            Group.Barrier();
            if (Group.IdxX >= BiasGradientColumns || column >= Columns) return;
            for (int i = 1; i < 8; i++) sum += shared[(i * BiasGradientColumns) + lane];
            Sums.Put(((long)Grid.IdxY * Columns) + column, sum);
        }
    }
}
