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
        bool isAligned = columns % Float4.Length == 0 && Float4.IsAligned(x) && Float4.IsAligned(sums.Buffer);
        int rows = x.Length / columns, columnGroups = GroupCount(columns, isAligned ? BiasGradientColumns * Float4.Length : BiasGradientColumns);
        int parts = Math.Clamp(Math.Min(GroupCount(rows, BiasGradientRows), 2 * FillingGroups / columnGroups), 1, FillingGroups);
        if (parts == 1)
        {
            SumColumns(x, rows, columns, 1, sums, isAligned);
            return;
        }

        DeviceBuffer partial = Rent(parts * columns);
        SumColumns(x, rows, columns, parts, new GradientTarget(partial, Accumulate: false), isAligned);
        SumColumns(partial, parts, columns, 1, sums, isAligned);
        Return(partial);
    }

    private void SumColumns(DeviceBuffer x, int rows, int columns, int parts, GradientTarget sums, bool isAligned)
    {
        int partRows = GroupCount(rows, parts);
        if (isAligned) Launch(new BiasGradientQuadKernel(Input(x), rows, columns, partRows, Target(sums)), GroupCount(columns, BiasGradientColumns * Float4.Length), parts);
        else Launch(new BiasGradientKernel(Input(x), rows, columns, partRows, Target(sums)), GroupCount(columns, BiasGradientColumns), parts);
    }

    /// <summary>As <see cref="BiasGradientKernel"/>, four columns for each thread by 128-bit accesses, two rows at a time.</summary>
    internal readonly record struct BiasGradientQuadKernel(ArrayView<float> X, int Rows, int Columns, int PartRows, GpuTarget Sums) : IGpuKernel
    {
        private const int Warps = 8;

        public static int GroupSize => BiasGradientColumns * Warps;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<Float4> shared = SharedMemory.Allocate<Float4>(BiasGradientColumns * Warps), x = X.Cast<Float4>();
            int quads = Columns / Float4.Length, quad = (Grid.IdxX * BiasGradientColumns) + (Group.IdxX % BiasGradientColumns);
            int row = (Grid.IdxY * PartRows) + (Group.IdxX / BiasGradientColumns), end = Math.Min(Rows, (Grid.IdxY + 1) * PartRows);
            Float4 even = default, odd = default;
            if (quad < quads)
            {
                for (; row + Warps < end; row += 2 * Warps)
                {
                    Float4 first = x[((long)row * quads) + quad], second = x[((long)(row + Warps) * quads) + quad];
                    even += first;
                    odd += second;
                }

                if (row < end) even += x[((long)row * quads) + quad];
            }

            Float4 sum = GroupReduction.ReduceColumns<Float4, SumReduction>(shared, even + odd, BiasGradientColumns);
            if (Group.IdxX < BiasGradientColumns && quad < quads) Float4.Put(Sums, ((long)Grid.IdxY * quads) + quad, sum);
        }
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
