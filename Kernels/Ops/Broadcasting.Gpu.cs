using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Groups beyond which a reduction does not divide its axis: the largest device is full.</summary>
    private const int EnoughGroups = 1024;

    /// <summary>Elements that one thread of a reduction should add before its axis is divided.</summary>
    private const int ElementsPerLane = 16;

    /// <inheritdoc/>
    public void SumMiddle(DeviceBuffer full, Broadcast layout, float scale, GradientTarget small)
    {
        if (!small.IsNeeded) return;
        if (layout.Repeat == 1) Affine(full, scale, 0f, small);
        else Reduce<FirstOperand>(new TermBuffers(full), layout, scale, small);
    }

    /// <inheritdoc/>
    public void Spread(DeviceBuffer small, Broadcast layout, float scale, GradientTarget full)
    {
        if (full.IsNeeded) Map<ScaledSmall>(new TermBuffers(Small: small, P: scale), layout, full);
    }

    /// <inheritdoc/>
    public void Affine(DeviceBuffer x, float scale, float offset, GradientTarget y)
    {
        if (y.IsNeeded) Map<AffineTerm>(new TermBuffers(x, P: scale, Q: offset), Broadcast.None(x.Length), y);
    }

    /// <summary>full[o, r, i] = term(o, r, i), overwriting or accumulating.</summary>
    private void Map<TTerm>(TermBuffers buffers, Broadcast layout, GradientTarget full)
        where TTerm : struct, IGpuTerm
    {
        int quads = Float4.CountIn(layout.FullLength, buffers.A, buffers.B, buffers.C, full.Buffer);
        if (TTerm.UsesSmall && !SmallComesInQuads(buffers.Small, layout)) quads = 0;
        LaunchElements(
            new MapKernel<TTerm>(buffers.Views, layout, layout.FullLength, quads, Target(full)),
            quads > 0 ? quads : layout.FullLength);
    }

    /// <summary>target[o, i] = scale · Σᵣ term(o, r, i): partial sums of blocks of r where there are many, then the sum of those.</summary>
    private void Reduce<TTerm>(TermBuffers buffers, Broadcast layout, float scale, GradientTarget target, int? rowStride = null)
        where TTerm : struct, IGpuTerm
    {
        int blocks = ReductionBlocks(layout), stride = rowStride ?? layout.Inner;
        if (blocks == 1)
        {
            ReduceBlocks<TTerm>(buffers, layout, stride, 1, scale, target);
            return;
        }

        DeviceBuffer partial = Rent(layout.SmallLength * blocks);
        ReduceBlocks<TTerm>(buffers, layout, stride, blocks, 1f, new GradientTarget(partial, false));
        ReduceBlocks<FirstOperand>(new TermBuffers(partial), layout with { Repeat = blocks }, layout.Inner, 1, scale, target);
        Return(partial);
    }

    private void ReduceBlocks<TTerm>(TermBuffers buffers, Broadcast layout, int rowStride, int blocks, float scale, GradientTarget target)
        where TTerm : struct, IGpuTerm
    {
        AxisTiling tiling = AxisTiling.For(layout);
        Launch(new ReduceKernel<TTerm>(buffers.Views, layout, rowStride, tiling, blocks, scale, Target(target)), tiling.GroupCount(layout), blocks);
    }

    /// <summary>Whether four neighbouring elements have four neighbouring small ones, or all the same one.</summary>
    private static bool SmallComesInQuads(DeviceBuffer small, Broadcast layout)
        => layout.Repeat > 1 && layout.Inner == 1
            ? layout.Outer == 1 || layout.Repeat % Float4.Length == 0
            : Float4.IsAligned(small) && (layout.Repeat == 1 || layout.Inner % Float4.Length == 0);

    /// <summary>Into how many blocks the middle axis is divided.</summary>
    private static int ReductionBlocks(Broadcast layout)
    {
        AxisTiling tiling = AxisTiling.For(layout);
        int groups = Math.Max(1, tiling.GroupCount(layout));
        return Math.Max(1, Math.Min(layout.Repeat / (ElementsPerLane * tiling.Lanes), EnoughGroups / groups));
    }

    /// <summary>The operands of a term, on the side of the host.</summary>
    private readonly record struct TermBuffers(
        DeviceBuffer A = default, DeviceBuffer B = default, DeviceBuffer C = default, DeviceBuffer Small = default, float P = 0f, float Q = 0f)
    {
        public TermOperands Views => new(Input(A), Input(B), Input(C), Input(Small), P, Q);
    }

    /// <summary>One term for every element of a full operand, four of them at a time where all operands lie for it.</summary>
    internal readonly record struct MapKernel<TTerm>(TermOperands Operands, Broadcast Layout, int Length, int Quads, GpuTarget Output) : IGpuKernel
        where TTerm : struct, IGpuTerm
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long first = Grid.GlobalLinearIndex, step = Grid.DimX * GroupSize;
            for (long quad = first; quad < Quads; quad += step) Float4.Put(Output, quad, Operands.QuadAt<TTerm>(quad, SmallQuad((int)quad * Float4.Length)));
            for (long i = ((long)Quads * Float4.Length) + first; i < Length; i += step) Output.Put(i, Operands.At<TTerm>(i, TTerm.UsesSmall ? Operands.Small[SmallIndex((int)i)] : 0f));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private Float4 SmallQuad(int index)
        {
            if (!TTerm.UsesSmall) return default;
            if (Layout.Inner == 1 && Layout.Repeat > 1) return Float4.Of(Operands.Small[SmallIndex(index)]);
            return Float4.Load(Operands.Small, SmallIndex(index) / Float4.Length);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private int SmallIndex(int index)
        {
            if (Layout.Repeat == 1) return index;
            uint row = (uint)index / (uint)Layout.Inner, column = (uint)index - (row * (uint)Layout.Inner);
            return (int)((row / (uint)Layout.Repeat * (uint)Layout.Inner) + column);
        }
    }

    /// <summary>Sums along the middle axis: every lane adds its rows in four running sums, then the lanes are added in a tree.</summary>
    internal readonly record struct ReduceKernel<TTerm>(
        TermOperands Operands, Broadcast Layout, int RowStride, AxisTiling Tiling, int Blocks, float Scale, GpuTarget Output) : IGpuKernel
        where TTerm : struct, IGpuTerm
    {
        public static int GroupSize => AxisTiling.GroupSize;

        public void Execute()
        {
            AxisPlace place = Tiling.Here(Layout);
            int thread = Group.IdxX, block = Grid.IdxY;
            ArrayView<float> sums = SharedMemory.Allocate<float>(AxisTiling.GroupSize);
            sums[thread] = place.IsInside(Layout) ? SumOfLane(place, block) : 0f;
            Group.Barrier();
            for (int half = Tiling.Lanes / 2; half > 0; half /= 2)
            {
                if (place.Lane < half) sums[thread] += sums[thread + (half * Tiling.Columns)];
                Group.Barrier();
            }

            if (place.Lane == 0 && place.IsInside(Layout))
                Output.Put((((long)place.Outer * Blocks) + block) * Layout.Inner + place.Column, Scale * sums[thread]);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float SumOfLane(AxisPlace place, int block)
        {
            int rows = (Layout.Repeat + Blocks - 1) / Blocks, row = block * rows, last = Math.Min(Layout.Repeat, row + rows), lanes = Tiling.Lanes;
            float small = TTerm.UsesSmall ? Operands.Small[place.SmallIndex(Layout)] : 0f;
            long start = ((long)place.Outer * Layout.Repeat * RowStride) + place.Column, step = (long)lanes * RowStride;
            row += place.Lane;
            long at = start + ((long)row * RowStride);
            float a = 0f, b = 0f, c = 0f, d = 0f;
            for (; row < last - (3 * lanes); row += 4 * lanes, at += 4 * step)
            {
                a += Operands.At<TTerm>(at, small);
                b += Operands.At<TTerm>(at + step, small);
                c += Operands.At<TTerm>(at + (2 * step), small);
                d += Operands.At<TTerm>(at + (3 * step), small);
            }

            for (; row < last; row += lanes, at += step) a += Operands.At<TTerm>(at, small);
            return (a + b) + (c + d);
        }
    }

    /// <summary>a.</summary>
    internal readonly struct FirstOperand : IGpuTerm
    {
        public static int OperandCount => 1;

        public static bool UsesSmall => false;

        public static float At(float a, float b, float c, float small, float p, float q) => a;
    }

    /// <summary>p · small.</summary>
    internal readonly struct ScaledSmall : IGpuTerm
    {
        public static int OperandCount => 0;

        public static bool UsesSmall => true;

        public static float At(float a, float b, float c, float small, float p, float q) => small * p;
    }

    /// <summary>p · a + q.</summary>
    internal readonly struct AffineTerm : IGpuTerm
    {
        public static int OperandCount => 1;

        public static bool UsesSmall => false;

        public static float At(float a, float b, float c, float small, float p, float q) => MathF.FusedMultiplyAdd(a, p, q);
    }
}
