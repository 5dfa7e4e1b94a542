using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>One step of Adam and its kin; everything that depends on the number of the step is worked out by the caller in double precision.</summary>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="OneMinusBeta1">1 - Beta1, rounded once.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="OneMinusBeta2">1 - Beta2, rounded once.</param>
/// <param name="Epsilon">Added to the root.</param>
/// <param name="FirstCorrection">1 / (1 - Beta1^step).</param>
/// <param name="RootCorrection">1 / √(1 - Beta2^step).</param>
/// <param name="LearningRate">Step size.</param>
/// <param name="WeightDecay">λ.</param>
/// <param name="IsDecoupled">True: the parameter shrinks by 1 - learningRate · λ (AdamW); false: λ · parameter joins the gradient (Adam).</param>
public readonly record struct AdamStep(
    float Beta1, float OneMinusBeta1, float Beta2, float OneMinusBeta2, float Epsilon, float FirstCorrection, float RootCorrection, float LearningRate, float WeightDecay, bool IsDecoupled);

/// <summary>One step of gradient descent.</summary>
/// <param name="LearningRate">Step size.</param>
/// <param name="Momentum">μ.</param>
/// <param name="WeightDecay">λ; λ · parameter joins the gradient.</param>
/// <param name="IsNesterov">Whether the step looks ahead: gradient + μ · velocity.</param>
public readonly record struct SgdStep(float LearningRate, float Momentum, float WeightDecay, bool IsNesterov);

/// <summary>One tensor that Adam or Lamb changes; all four buffers are of equal length.</summary>
/// <param name="Step">Its constants.</param>
/// <param name="Parameters">p, changed in place.</param>
/// <param name="Gradient">The gradient.</param>
/// <param name="FirstMoment">m, changed in place.</param>
/// <param name="SecondMoment">v, changed in place.</param>
public readonly record struct AdamSegment(
    AdamStep Step, DeviceBuffer Parameters, DeviceBuffer Gradient, DeviceBuffer FirstMoment, DeviceBuffer SecondMoment);

/// <summary>One tensor that gradient descent changes; all buffers are of equal length.</summary>
/// <param name="Step">Its constants.</param>
/// <param name="Parameters">p, changed in place.</param>
/// <param name="Gradient">The gradient.</param>
/// <param name="Velocity">v, changed in place; may be absent.</param>
public readonly record struct SgdSegment(SgdStep Step, DeviceBuffer Parameters, DeviceBuffer Gradient, DeviceBuffer Velocity);

/// <summary>Two buffers of equal length, the first of which follows the second.</summary>
/// <param name="Target">What is changed.</param>
/// <param name="Source">What it follows.</param>
public readonly record struct LerpSegment(DeviceBuffer Target, DeviceBuffer Source);

/// <summary>
/// What changes parameters takes all tensors of a model at once: a model has hundreds, most of them small, and a GPU does them in a few launches.
/// </summary>
public partial interface IBackend
{
    /// <summary>
    /// g = gradient (+ λ p when not decoupled); m = β₁ m + (1 - β₁) g; v = β₂ v + (1 - β₂) g²; p = (1 - η λ) p - η m̂ / (√v̂ + ε), in one pass
    /// (Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101).
    /// </summary>
    void Adam(ReadOnlySpan<AdamSegment> segments);

    /// <summary>
    /// Moments as in Adam, u = m̂ / (√v̂ + ε) + λ p, p = p - η (|p| / |u|) u, where the norms are those of one segment and their ratio is 1 if one
    /// is 0 (You et al., arXiv:1904.00962).
    /// </summary>
    void Lamb(ReadOnlySpan<AdamSegment> segments);

    /// <summary>g = gradient + λ p; v = μ v + g; p = p - η (v, or g + μ v with Nesterov). Without velocity: p = p - η g.</summary>
    void Sgd(ReadOnlySpan<SgdSegment> segments);

    /// <summary>target = weight · target + (1 - weight) · source: the update of a momentum encoder.</summary>
    void Lerp(ReadOnlySpan<LerpSegment> segments, double weight);

    /// <summary>Σ x² over all buffers, in an order that depends on the lengths alone; partial sums join in double precision. Waits for the device once.</summary>
    double SumOfSquares(ReadOnlySpan<DeviceBuffer> buffers);

    /// <summary>x = factor · x for all buffers.</summary>
    void ScaleInPlace(ReadOnlySpan<DeviceBuffer> buffers, float factor);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Adam(ReadOnlySpan<AdamSegment> segments)
    {
        foreach (AdamSegment segment in segments) Advance(segment, default);
    }

    /// <inheritdoc/>
    public void Lamb(ReadOnlySpan<AdamSegment> segments)
    {
        foreach (AdamSegment segment in segments)
        {
            DeviceBuffer parameters = segment.Parameters, update = Rent(parameters.Length);
            Advance(segment, update);
            double parameterNorm = Math.Sqrt(SumOfSquares(parameters)), updateNorm = Math.Sqrt(SumOfSquares(update));
            double ratio = parameterNorm > 0 && updateNorm > 0 ? parameterNorm / updateNorm : 1;
            Blend(parameters, update, 1f, (float)(-segment.Step.LearningRate * ratio));
            Return(update);
        }
    }

    /// <inheritdoc/>
    public void Sgd(ReadOnlySpan<SgdSegment> segments)
    {
        foreach (SgdSegment segment in segments)
        {
            int length = segment.Parameters.Length;
            Run(
                new SgdKernel(segment.Step, Floats(segment.Parameters), Floats(segment.Gradient), Floats(segment.Velocity), length),
                ChunkCount(length, ElementwiseGrain));
        }
    }

    /// <inheritdoc/>
    public void Lerp(ReadOnlySpan<LerpSegment> segments, double weight)
    {
        foreach (LerpSegment segment in segments) Blend(segment.Target, segment.Source, (float)weight, (float)(1 - weight));
    }

    /// <inheritdoc/>
    public double SumOfSquares(ReadOnlySpan<DeviceBuffer> buffers)
    {
        double sum = 0;
        foreach (DeviceBuffer buffer in buffers) sum += SumOfSquares(buffer);
        return sum;
    }

    /// <inheritdoc/>
    public void ScaleInPlace(ReadOnlySpan<DeviceBuffer> buffers, float factor)
    {
        foreach (DeviceBuffer buffer in buffers) Blend(buffer, buffer, factor, 0f);
    }

    /// <summary>A step of Adam; with an update buffer, the moments' part of a step of Lamb.</summary>
    private void Advance(in AdamSegment segment, DeviceBuffer update)
    {
        int length = segment.Parameters.Length;
        Run(
            new AdamKernel(
                segment.Step, Floats(segment.Parameters), Floats(segment.Gradient), Floats(segment.FirstMoment), Floats(segment.SecondMoment), Floats(update), length),
            ChunkCount(length, ElementwiseGrain));
    }

    private void Blend(DeviceBuffer target, DeviceBuffer source, float keep, float add)
        => Run(new BlendKernel(Floats(target), Floats(source), keep, add, target.Length), ChunkCount(target.Length, ElementwiseGrain));

    private double SumOfSquares(DeviceBuffer x)
    {
        int chunks = ChunkCount(x.Length, ElementwiseGrain);
        DeviceBuffer parts = Rent(chunks * 2);
        Run(new SumOfSquaresKernel(Floats(x), Floats(parts), x.Length), chunks);
        double sum = 0;
        for (int i = 0; i < chunks; i++) sum += ((double*)Floats(parts))[i];
        Return(parts);
        return sum;
    }

    /// <summary>With an update buffer: writes the update u of Lamb there and leaves the parameters alone.</summary>
    private readonly record struct AdamKernel(
        AdamStep Step, Pointer Parameters, Pointer Gradient, Pointer FirstMoment, Pointer SecondMoment, Pointer Update, int Length) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int i = chunk * ElementwiseGrain, end = Math.Min(Length, i + ElementwiseGrain);
            for (; i <= end - V.Width; i += V.Width) Advance<V>(i);
            for (; i < end; i++) Advance<SimdScalar>(i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Advance<V>(int i)
            where V : unmanaged, ISimd<V>
        {
            float* parameters = (float*)Parameters + i, first = (float*)FirstMoment + i, second = (float*)SecondMoment + i, update = Update;
            V parameter = V.Load(parameters), gradient = V.Load((float*)Gradient + i);
            if (!Step.IsDecoupled && update == null) gradient = V.FusedMultiplyAdd(V.Create(Step.WeightDecay), parameter, gradient);
            V m = V.FusedMultiplyAdd(V.Create(Step.Beta1), V.Load(first), V.Create(Step.OneMinusBeta1) * gradient);
            V v = V.FusedMultiplyAdd(V.Create(Step.Beta2), V.Load(second), V.Create(Step.OneMinusBeta2) * gradient * gradient);
            V.Store(m, first);
            V.Store(v, second);
            V direction = V.Create(Step.FirstCorrection) * m / V.FusedMultiplyAdd(V.Sqrt(v), V.Create(Step.RootCorrection), V.Create(Step.Epsilon));
            if (update != null)
            {
                V.Store(V.FusedMultiplyAdd(V.Create(Step.WeightDecay), parameter, direction), update + i);
                return;
            }

            if (Step.IsDecoupled) parameter *= V.Create(1f - (Step.LearningRate * Step.WeightDecay));
            V.Store(V.FusedMultiplyAdd(V.Create(-Step.LearningRate), direction, parameter), parameters);
        }
    }

    private readonly record struct SgdKernel(SgdStep Step, Pointer Parameters, Pointer Gradient, Pointer Velocity, int Length) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int i = chunk * ElementwiseGrain, end = Math.Min(Length, i + ElementwiseGrain);
            for (; i <= end - V.Width; i += V.Width) Advance<V>(i);
            for (; i < end; i++) Advance<SimdScalar>(i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Advance<V>(int i)
            where V : unmanaged, ISimd<V>
        {
            float* parameters = (float*)Parameters + i, velocities = Velocity;
            V parameter = V.Load(parameters), direction = V.FusedMultiplyAdd(V.Create(Step.WeightDecay), parameter, V.Load((float*)Gradient + i));
            if (velocities != null)
            {
                V momentum = V.Create(Step.Momentum), velocity = V.FusedMultiplyAdd(momentum, V.Load(velocities + i), direction);
                V.Store(velocity, velocities + i);
                direction = Step.IsNesterov ? V.FusedMultiplyAdd(momentum, velocity, direction) : velocity;
            }

            V.Store(V.FusedMultiplyAdd(V.Create(-Step.LearningRate), direction, parameter), parameters);
        }
    }

    /// <summary>target = keep · target + add · source; with add = 0 the source is not read.</summary>
    private readonly record struct BlendKernel(Pointer Target, Pointer Source, float Keep, float Add, int Length) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int i = chunk * ElementwiseGrain, end = Math.Min(Length, i + ElementwiseGrain);
            for (; i <= end - V.Width; i += V.Width) Blend<V>(i);
            for (; i < end; i++) Blend<SimdScalar>(i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Blend<V>(int i)
            where V : unmanaged, ISimd<V>
        {
            float* target = (float*)Target + i;
            V value = V.Create(Keep) * V.Load(target);
            if (Add != 0f) value = V.FusedMultiplyAdd(V.Create(Add), V.Load((float*)Source + i), value);
            V.Store(value, target);
        }
    }

    private readonly record struct SumOfSquaresKernel(Pointer X, Pointer Parts, int Length) : ICpuKernel
    {
        /// <summary>Elements summed in single precision before they join the double.</summary>
        private const int Run = 1024;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain);
            float* x = X;
            double sum = 0;
            for (int run = start; run < end; run += Run)
            {
                int runEnd = Math.Min(end, run + Run), i = run;
                V squares = V.Zero;
                for (; i <= runEnd - V.Width; i += V.Width) squares = V.FusedMultiplyAdd(V.Load(x + i), V.Load(x + i), squares);
                sum += V.Sum(squares);
                for (; i < runEnd; i++) sum += (double)x[i] * x[i];
            }

            ((double*)(float*)Parts)[chunk] = sum;
        }
    }
}
