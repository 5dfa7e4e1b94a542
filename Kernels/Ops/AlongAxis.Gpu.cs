using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void MaxMiddle(DeviceBuffer x, Broadcast layout, DeviceBuffer y, DeviceBuffer positions)
        => RankAlong<FloatRank>(IntInput(x), layout, 0, IntOutput(positions), Output(y));

    /// <inheritdoc/>
    public void MaxMiddleBackward(DeviceBuffer positions, DeviceBuffer dy, Broadcast layout, GradientTarget dx)
        => AddAtPositions(positions, dy, layout, layout.Inner, dx);

    /// <inheritdoc/>
    public void CumulativeSum(DeviceBuffer x, Broadcast layout, bool reversed, GradientTarget y)
    {
        if (!y.IsNeeded) return;
        AxisTiling tiling = AxisTiling.For(layout);
        int blocks = ReductionBlocks(layout);
        DeviceBuffer sums = default;
        if (blocks > 1)
        {
            // A long axis goes in blocks at the same time: each starts from what the running sum of the blocks' sums has reached before it.
            DeviceBuffer own = Rent(layout.SmallLength * blocks);
            sums = Rent(layout.SmallLength * blocks);
            ReduceBlocks<FirstOperand>(new TermBuffers(x), layout, layout.Inner, blocks, 1f, new GradientTarget(own, false));
            CumulativeSum(own, layout with { Repeat = blocks }, reversed, new GradientTarget(sums, false));
            Return(own);
        }

        Launch(new CumulativeSumKernel(Input(x), Input(sums), layout, tiling, blocks, reversed ? 1 : 0, Target(y)), tiling.GroupCount(layout), blocks);
        if (blocks > 1) Return(sums);
    }

    /// <inheritdoc/>
    public void TopKBackward(DeviceBuffer positions, DeviceBuffer dy, int width, int k, GradientTarget dx)
    {
        if (width > 0) AddAtPositions(positions, dy, new Broadcast(dx.Buffer.Length / width, width, 1), k, dx);
    }

    /// <summary>dx[o, positions[o, j], j mod inner] += dy[o, j] for so many j of each o, all of them different places.</summary>
    private void AddAtPositions(DeviceBuffer positions, DeviceBuffer dy, Broadcast layout, int perOuter, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        if (!dx.Accumulate) Fill(dx.Buffer, 0f);
        LaunchElements(new AddAtPositionsKernel(IntInput(positions), Input(dy), layout, perOuter, Output(dx.Buffer)), dy.Length);
    }

    /// <summary>Where the element of the highest rank stands first along the middle axis, and the element.</summary>
    private void RankAlong<TRank>(ArrayView<int> elements, Broadcast layout, int parameter, ArrayView<int> positions, ArrayView<float> values)
        where TRank : struct, IRank
    {
        AxisTiling tiling = AxisTiling.For(layout);
        Launch(new RankKernel<TRank>(elements, layout, tiling, parameter, positions, values), tiling.GroupCount(layout));
    }

    internal readonly record struct RankKernel<TRank>(
        ArrayView<int> Elements, Broadcast Layout, AxisTiling Tiling, int Parameter, ArrayView<int> Positions, ArrayView<float> Values) : IGpuKernel
        where TRank : struct, IRank
    {
        public static int GroupSize => AxisTiling.GroupSize;

        public void Execute()
        {
            AxisPlace place = Tiling.Here(Layout);
            int thread = Group.IdxX;
            ArrayView<ulong> best = SharedMemory.Allocate<ulong>(AxisTiling.GroupSize);
            best[thread] = place.IsInside(Layout) ? BestOfLane(place) : 0;
            Group.Barrier();
            for (int half = Tiling.Lanes / 2; half > 0; half /= 2)
            {
                if (place.Lane < half) best[thread] = Math.Max(best[thread], best[thread + (half * Tiling.Columns)]);
                Group.Barrier();
            }

            if (place.Lane != 0 || !place.IsInside(Layout)) return;
            int small = place.SmallIndex(Layout), position = best[thread] == 0 ? 0 : (int)~(uint)best[thread];
            Positions[small] = position;
            if (Values.Length > 0) Values[small] = BitConverter.Int32BitsToSingle(Elements[Index(place, position)]);
        }

        /// <summary>The largest of (rank, complement of the position): of equals the first one.</summary>
        private ulong BestOfLane(AxisPlace place)
        {
            ulong best = 0;
            for (int position = place.Lane; position < Layout.Repeat; position += Tiling.Lanes)
                best = Math.Max(best, ((ulong)TRank.Of(Elements[Index(place, position)], Parameter) << 32) | ~(uint)position);
            return best;
        }

        private long Index(AxisPlace place, int position) => ((((long)place.Outer * Layout.Repeat) + position) * Layout.Inner) + place.Column;
    }

    internal readonly record struct AddAtPositionsKernel(
        ArrayView<int> Positions, ArrayView<float> DY, Broadcast Layout, int PerOuter, ArrayView<float> DX) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < DY.Length; i += Grid.DimX * GroupSize)
            {
                int outer = (int)i / PerOuter, column = (int)i % Layout.Inner;
                DX[((((long)outer * Layout.Repeat) + Positions[i]) * Layout.Inner) + column] += DY[i];
            }
        }
    }

    /// <summary>Running sums of one block of the middle axis: as many rows at a time as there are lanes, by doubling distances (Hillis and Steele, 1986).</summary>
    internal readonly record struct CumulativeSumKernel(
        ArrayView<float> X, ArrayView<float> BlockSums, Broadcast Layout, AxisTiling Tiling, int Blocks, int Reversed, GpuTarget Y) : IGpuKernel
    {
        public static int GroupSize => AxisTiling.GroupSize;

        public void Execute()
        {
            AxisPlace place = Tiling.Here(Layout);
            int thread = Group.IdxX, block = Grid.IdxY, columns = Tiling.Columns, lanes = Tiling.Lanes;
            int rows = (Layout.Repeat + Blocks - 1) / Blocks, first = Math.Min(Layout.Repeat, block * rows), count = Math.Min(rows, Layout.Repeat - first);
            int previous = Reversed != 0 ? block + 1 : block - 1;
            float carry = 0f;
            if (place.IsInside(Layout) && previous >= 0 && previous < Blocks)
                carry = BlockSums[((((long)place.Outer * Blocks) + previous) * Layout.Inner) + place.Column];

            ArrayView<float> sums = SharedMemory.Allocate<float>(AxisTiling.GroupSize);
            for (int start = 0; start < count; start += lanes)
            {
                int step = start + place.Lane, row = first + (Reversed != 0 ? count - 1 - step : step);
                long at = ((((long)place.Outer * Layout.Repeat) + row) * Layout.Inner) + place.Column;
                bool isThere = place.IsInside(Layout) && step < count;
                sums[thread] = isThere ? X[at] : 0f;
                Group.Barrier();
                for (int distance = 1; distance < lanes; distance *= 2)
                {
                    float left = place.Lane >= distance ? sums[thread - (distance * columns)] : 0f;
                    GroupBarrier.AfterReads();
                    sums[thread] += left;
                    Group.Barrier();
                }

                if (isThere) Y.Put(at, carry + sums[thread]);
                carry += sums[thread + ((lanes - 1 - place.Lane) * columns)];
                GroupBarrier.AfterReads();
            }
        }
    }
}
