using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Adam(ReadOnlySpan<AdamSegment> segments)
    {
        foreach (SegmentTable<AdamTensor> table in AdamTables(segments)) Launch(new AdamKernel(table), table.Groups);
    }

    /// <inheritdoc/>
    public void Lamb(ReadOnlySpan<AdamSegment> segments)
    {
        foreach (SegmentTable<AdamTensor> table in AdamTables(segments))
        {
            DeviceBuffer squares = Rent(2 * table.Groups), steps = Rent(table.Groups);
            Launch(new LambMomentsKernel(table, Output(squares)), table.Groups);
            Launch(new LambRatioKernel(table, Input(squares), Output(steps), table.Groups), table.Groups);
            Launch(new LambKernel(table, Input(steps)), table.Groups);
            Return(squares);
            Return(steps);
        }
    }

    /// <inheritdoc/>
    public void Sgd(ReadOnlySpan<SgdSegment> segments)
    {
        foreach (SegmentTable<SgdTensor> table in SegmentTable.Of(segments, static segment => (SgdTensor.From(segment), segment.Parameters.Length)))
            Launch(new SgdKernel(table), table.Groups);
    }

    /// <inheritdoc/>
    public void Lerp(ReadOnlySpan<LerpSegment> segments, double weight)
    {
        foreach (SegmentTable<BlendTensor> table in SegmentTable.Of(segments, static segment => (new BlendTensor(Output(segment.Target), Input(segment.Source)), segment.Target.Length)))
            Launch(new BlendKernel(table, (float)weight, (float)(1 - weight)), table.Groups);
    }

    /// <inheritdoc/>
    public double SumOfSquares(ReadOnlySpan<DeviceBuffer> buffers)
    {
        List<SegmentTable<BlendTensor>> tables = SegmentTable.Of(buffers, static buffer => (new BlendTensor(default, Input(buffer)), buffer.Length));
        int groups = tables.Sum(table => table.Groups), first = 0;
        DeviceBuffer parts = Rent(groups), sum = Rent(sizeof(double) / sizeof(float));
        foreach (SegmentTable<BlendTensor> table in tables)
        {
            Launch(new SumOfSquaresKernel(table, Output(parts.Slice(first, table.Groups))), table.Groups);
            first += table.Groups;
        }

        Launch(new DoubleSumKernel(Input(parts), Output(sum).Cast<double>()), 1);
        Span<double> result = stackalloc double[1];
        Download(sum, MemoryMarshal.Cast<double, float>(result));
        Return(parts);
        Return(sum);
        return result[0];
    }

    /// <inheritdoc/>
    public void ScaleInPlace(ReadOnlySpan<DeviceBuffer> buffers, float factor)
    {
        foreach (SegmentTable<BlendTensor> table in SegmentTable.Of(buffers, static buffer => (new BlendTensor(Output(buffer), default), buffer.Length)))
            Launch(new BlendKernel(table, factor, 0f), table.Groups);
    }

    private static List<SegmentTable<AdamTensor>> AdamTables(ReadOnlySpan<AdamSegment> segments)
        => SegmentTable.Of(segments, static segment => (AdamTensor.From(segment), segment.Parameters.Length));

    /// <summary>An <see cref="AdamSegment"/> as a kernel takes it: decay goes into the gradient (Adam) or shrinks the parameter (AdamW).</summary>
    internal readonly record struct AdamTensor(
        ArrayView<float> Parameters, ArrayView<float> Gradient, ArrayView<float> FirstMoment, ArrayView<float> SecondMoment,
        float Beta1, float OneMinusBeta1, float Beta2, float OneMinusBeta2, float Epsilon, float FirstCorrection, float RootCorrection, float LearningRate, float WeightDecay,
        float CoupledDecay, float Keep, int Quads)
    {
        public static AdamTensor From(in AdamSegment segment)
        {
            AdamStep step = segment.Step;
            return new AdamTensor(
                Output(segment.Parameters), Input(segment.Gradient), Output(segment.FirstMoment), Output(segment.SecondMoment),
                step.Beta1, step.OneMinusBeta1, step.Beta2, step.OneMinusBeta2, step.Epsilon, step.FirstCorrection, step.RootCorrection,
                step.LearningRate, step.WeightDecay, step.IsDecoupled ? 0f : step.WeightDecay, step.IsDecoupled ? 1f - (step.LearningRate * step.WeightDecay) : 1f,
                Float4.CountIn(segment.Parameters.Length, segment.Parameters, segment.Gradient, segment.FirstMoment, segment.SecondMoment));
        }

        /// <summary>m and v of one element with a new gradient, stored.</summary>
        /// <returns>m̂ / (√v̂ + ε).</returns>
        public float Advance(int i, float gradient)
        {
            float m = FirstMoment[i], v = SecondMoment[i];
            float direction = Advance(ref m, ref v, gradient);
            FirstMoment[i] = m;
            SecondMoment[i] = v;
            return direction;
        }

        /// <summary>The parameter after Adam's or AdamW's step; m and v take up the gradient.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public float Step(float parameter, float gradient, ref float m, ref float v)
        {
            float direction = Advance(ref m, ref v, MathF.FusedMultiplyAdd(CoupledDecay, parameter, gradient));
            return MathF.FusedMultiplyAdd(-LearningRate, direction, Keep * parameter);
        }

        /// <summary>The same for four elements.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Step(ref Float4 parameters, Float4 gradient, ref Float4 m, ref Float4 v)
        {
            parameters.X = Step(parameters.X, gradient.X, ref m.X, ref v.X);
            parameters.Y = Step(parameters.Y, gradient.Y, ref m.Y, ref v.Y);
            parameters.Z = Step(parameters.Z, gradient.Z, ref m.Z, ref v.Z);
            parameters.W = Step(parameters.W, gradient.W, ref m.W, ref v.W);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Advance(ref float m, ref float v, float gradient)
        {
            m = MathF.FusedMultiplyAdd(Beta1, m, OneMinusBeta1 * gradient);
            v = MathF.FusedMultiplyAdd(Beta2, v, OneMinusBeta2 * gradient * gradient);
            return Direction(m, v);
        }

        /// <summary>m̂ / (√v̂ + ε).</summary>
        public float Direction(float m, float v) => FirstCorrection * m / MathF.FusedMultiplyAdd(MathF.Sqrt(v), RootCorrection, Epsilon);
    }

    internal readonly record struct AdamKernel(SegmentTable<AdamTensor> Table) : IGpuKernel
    {
        public static int GroupSize => 256;

        public static bool IsHot => true;

        public void Execute()
        {
            Segment<AdamTensor> segment = Table.OfGroup(Grid.IdxX);
            AdamTensor tensor = segment.Operands;
            int end = SegmentTable.End(segment.FirstGroup, tensor.Parameters.Length), start = SegmentTable.Start(segment.FirstGroup);
            ArrayView<Float4> parameters = tensor.Parameters.Cast<Float4>(), gradients = tensor.Gradient.Cast<Float4>();
            ArrayView<Float4> firstMoments = tensor.FirstMoment.Cast<Float4>(), secondMoments = tensor.SecondMoment.Cast<Float4>();
            int quadsEnd = Math.Min(tensor.Quads, end / Float4.Length), firstQuad = ((start - Group.IdxX) / Float4.Length) + Group.IdxX;
            for (int i = firstQuad; i < quadsEnd; i += 2 * GroupSize)
            {
                // Two at a time, all loads before the first store: a store might change what a later load reads, for all that the compiler knows.
                int next = i + GroupSize < quadsEnd ? i + GroupSize : i;
                Float4 p = parameters[i], g = gradients[i], m = firstMoments[i], v = secondMoments[i];
                Float4 nextP = parameters[next], nextG = gradients[next], nextM = firstMoments[next], nextV = secondMoments[next];
                tensor.Step(ref p, g, ref m, ref v);
                tensor.Step(ref nextP, nextG, ref nextM, ref nextV);
                parameters[i] = p;
                firstMoments[i] = m;
                secondMoments[i] = v;
                parameters[next] = nextP;
                firstMoments[next] = nextM;
                secondMoments[next] = nextV;
            }

            for (int i = Math.Max(start, (tensor.Quads * Float4.Length) + Group.IdxX); i < end; i += GroupSize)
            {
                float m = tensor.FirstMoment[i], v = tensor.SecondMoment[i];
                tensor.Parameters[i] = tensor.Step(tensor.Parameters[i], tensor.Gradient[i], ref m, ref v);
                tensor.FirstMoment[i] = m;
                tensor.SecondMoment[i] = v;
            }
        }
    }

    /// <summary>Moments of Lamb, and for each group Σ p² and Σ u².</summary>
    internal readonly record struct LambMomentsKernel(SegmentTable<AdamTensor> Table, ArrayView<float> Squares) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(GroupSize);
            Segment<AdamTensor> segment = Table.OfGroup(Grid.IdxX);
            AdamTensor tensor = segment.Operands;
            int end = SegmentTable.End(segment.FirstGroup, tensor.Parameters.Length);
            float parameters = 0f, updates = 0f;
            for (int i = SegmentTable.Start(segment.FirstGroup); i < end; i += GroupSize)
            {
                float parameter = tensor.Parameters[i], update = MathF.FusedMultiplyAdd(tensor.WeightDecay, parameter, tensor.Advance(i, tensor.Gradient[i]));
                parameters = MathF.FusedMultiplyAdd(parameter, parameter, parameters);
                updates = MathF.FusedMultiplyAdd(update, update, updates);
            }

            SumPair sums = GroupReduction.Sum(shared, new SumPair(parameters, updates), GroupSize);
            if (Group.IdxX != 0) return;
            Squares[2L * Grid.IdxX] = sums.First;
            Squares[(2L * Grid.IdxX) + 1] = sums.Second;
        }
    }

    /// <summary>-η |p| / |u| of each tensor, left at its first group; the other groups have nothing to do.</summary>
    internal readonly record struct LambRatioKernel(SegmentTable<AdamTensor> Table, ArrayView<float> Squares, ArrayView<float> Steps, int Groups) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<double> shared = SharedMemory.Allocate<double>(GroupSize);
            Segment<AdamTensor> segment = Table.OfGroup(Grid.IdxX);
            int chunks = segment.FirstGroup == Grid.IdxX ? (int)((segment.Operands.Parameters.Length + SegmentTable.ChunkSize - 1) / SegmentTable.ChunkSize) : 0;
            double parameters = 0, updates = 0;
            for (int chunk = Group.IdxX; chunk < chunks; chunk += GroupSize)
            {
                parameters += Squares[2L * (Grid.IdxX + chunk)];
                updates += Squares[(2L * (Grid.IdxX + chunk)) + 1];
            }

            parameters = GroupReduction.Sum(shared, parameters, GroupSize);
            updates = GroupReduction.Sum(shared, updates, GroupSize);
            if (Group.IdxX != 0 || chunks == 0) return;
            double ratio = parameters > 0 && updates > 0 ? Math.Sqrt(parameters / updates) : 1;
            Steps[Grid.IdxX] = (float)(-segment.Operands.LearningRate * ratio);
        }
    }

    /// <summary>p = p - η (|p| / |u|) u, where u is worked out again from the moments.</summary>
    internal readonly record struct LambKernel(SegmentTable<AdamTensor> Table, ArrayView<float> Steps) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            Segment<AdamTensor> segment = Table.OfGroup(Grid.IdxX);
            AdamTensor tensor = segment.Operands;
            int end = SegmentTable.End(segment.FirstGroup, tensor.Parameters.Length);
            float step = Steps[segment.FirstGroup];
            for (int i = SegmentTable.Start(segment.FirstGroup); i < end; i += GroupSize)
            {
                float parameter = tensor.Parameters[i], direction = tensor.Direction(tensor.FirstMoment[i], tensor.SecondMoment[i]);
                tensor.Parameters[i] = MathF.FusedMultiplyAdd(step, MathF.FusedMultiplyAdd(tensor.WeightDecay, parameter, direction), parameter);
            }
        }
    }

    /// <summary>An <see cref="SgdSegment"/> as a kernel takes it.</summary>
    internal readonly record struct SgdTensor(
        ArrayView<float> Parameters, ArrayView<float> Gradient, ArrayView<float> Velocity, float LearningRate, float Momentum, float WeightDecay, int IsNesterov)
    {
        public static SgdTensor From(SgdSegment segment)
        {
            SgdStep step = segment.Step;
            return new SgdTensor(
                Output(segment.Parameters), Input(segment.Gradient), Output(segment.Velocity), step.LearningRate, step.Momentum, step.WeightDecay, step.IsNesterov ? 1 : 0);
        }
    }

    internal readonly record struct SgdKernel(SegmentTable<SgdTensor> Table) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            Segment<SgdTensor> segment = Table.OfGroup(Grid.IdxX);
            SgdTensor tensor = segment.Operands;
            int end = SegmentTable.End(segment.FirstGroup, tensor.Parameters.Length);
            for (int i = SegmentTable.Start(segment.FirstGroup); i < end; i += GroupSize)
            {
                float parameter = tensor.Parameters[i], direction = MathF.FusedMultiplyAdd(tensor.WeightDecay, parameter, tensor.Gradient[i]);
                if (tensor.Velocity.Length > 0)
                {
                    float velocity = MathF.FusedMultiplyAdd(tensor.Momentum, tensor.Velocity[i], direction);
                    tensor.Velocity[i] = velocity;
                    direction = tensor.IsNesterov != 0 ? MathF.FusedMultiplyAdd(tensor.Momentum, velocity, direction) : velocity;
                }

                tensor.Parameters[i] = MathF.FusedMultiplyAdd(-tensor.LearningRate, direction, parameter);
            }
        }
    }

    /// <summary>Two buffers of equal length.</summary>
    internal readonly record struct BlendTensor(ArrayView<float> Target, ArrayView<float> Source);

    /// <summary>target = keep · target + add · source; with add = 0 the source is not read.</summary>
    internal readonly record struct BlendKernel(SegmentTable<BlendTensor> Table, float Keep, float Add) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            Segment<BlendTensor> segment = Table.OfGroup(Grid.IdxX);
            BlendTensor tensor = segment.Operands;
            int end = SegmentTable.End(segment.FirstGroup, tensor.Target.Length);
            for (int i = SegmentTable.Start(segment.FirstGroup); i < end; i += GroupSize)
            {
                float value = Keep * tensor.Target[i];
                if (Add != 0f) value = MathF.FusedMultiplyAdd(Add, tensor.Source[i], value);
                tensor.Target[i] = value;
            }
        }
    }

    /// <summary>Σ x² over the elements of each group.</summary>
    internal readonly record struct SumOfSquaresKernel(SegmentTable<BlendTensor> Table, ArrayView<float> Parts) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSize);
            Segment<BlendTensor> segment = Table.OfGroup(Grid.IdxX);
            ArrayView<float> x = segment.Operands.Source;
            int end = SegmentTable.End(segment.FirstGroup, x.Length);
            float sum = 0f;
            for (int i = SegmentTable.Start(segment.FirstGroup); i < end; i += GroupSize) sum = MathF.FusedMultiplyAdd(x[i], x[i], sum);
            sum = GroupReduction.Sum(shared, sum, GroupSize);
            if (Group.IdxX == 0) Parts[Grid.IdxX] = sum;
        }
    }

    /// <summary>One group: Σ x in double precision.</summary>
    internal readonly record struct DoubleSumKernel(ArrayView<float> X, ArrayView<double> Sum) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<double> shared = SharedMemory.Allocate<double>(GroupSize);
            double sum = 0;
            for (long i = Group.IdxX; i < X.Length; i += GroupSize) sum += X[i];
            sum = GroupReduction.Sum(shared, sum, GroupSize);
            if (Group.IdxX == 0) Sum[0] = sum;
        }
    }
}
