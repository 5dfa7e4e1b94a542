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

public partial interface IBackend
{
    /// <summary>
    /// g = gradient (+ λ p when not decoupled); m = β₁ m + (1 - β₁) g; v = β₂ v + (1 - β₂) g²; p = (1 - η λ) p - η m̂ / (√v̂ + ε), in one pass
    /// (Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101).
    /// </summary>
    void Adam(in AdamStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer firstMoment, DeviceBuffer secondMoment);

    /// <summary>
    /// Moments as in Adam, u = m̂ / (√v̂ + ε) + λ p, p = p - η (|p| / |u|) u, where the ratio is 1 if a norm is 0 (You et al., arXiv:1904.00962).
    /// </summary>
    void Lamb(in AdamStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer firstMoment, DeviceBuffer secondMoment);

    /// <summary>g = gradient + λ p; v = μ v + g; p = p - η (v, or g + μ v with Nesterov). Without velocity: p = p - η g.</summary>
    void Sgd(in SgdStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer velocity);

    /// <summary>target = weight · target + (1 - weight) · source: the update of a momentum encoder.</summary>
    void Lerp(DeviceBuffer target, DeviceBuffer source, double weight);

    /// <summary>Σ x², summed in double precision in an order that depends on the length alone.</summary>
    double SumOfSquares(DeviceBuffer x);

    /// <summary>x = factor · x.</summary>
    void ScaleInPlace(DeviceBuffer x, float factor);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Adam(in AdamStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer firstMoment, DeviceBuffer secondMoment)
        => Run(
            new AdamKernel(step, Floats(parameters), Floats(gradient), Floats(firstMoment), Floats(secondMoment), null, parameters.Length),
            ChunkCount(parameters.Length, ElementwiseGrain));

    /// <inheritdoc/>
    public void Lamb(in AdamStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer firstMoment, DeviceBuffer secondMoment)
    {
        DeviceBuffer update = Rent(parameters.Length);
        Run(
            new AdamKernel(step, Floats(parameters), Floats(gradient), Floats(firstMoment), Floats(secondMoment), Floats(update), parameters.Length),
            ChunkCount(parameters.Length, ElementwiseGrain));
        double parameterNorm = Math.Sqrt(SumOfSquares(parameters)), updateNorm = Math.Sqrt(SumOfSquares(update));
        double ratio = parameterNorm > 0 && updateNorm > 0 ? parameterNorm / updateNorm : 1;
        Run(new BlendKernel(Floats(parameters), Floats(update), 1f, (float)(-step.LearningRate * ratio), parameters.Length), ChunkCount(parameters.Length, ElementwiseGrain));
        Return(update);
    }

    /// <inheritdoc/>
    public void Sgd(in SgdStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer velocity)
        => Run(new SgdKernel(step, Floats(parameters), Floats(gradient), Floats(velocity), parameters.Length), ChunkCount(parameters.Length, ElementwiseGrain));

    /// <inheritdoc/>
    public void Lerp(DeviceBuffer target, DeviceBuffer source, double weight)
        => Run(new BlendKernel(Floats(target), Floats(source), (float)weight, (float)(1 - weight), target.Length), ChunkCount(target.Length, ElementwiseGrain));

    /// <inheritdoc/>
    public double SumOfSquares(DeviceBuffer x)
    {
        int chunks = ChunkCount(x.Length, ElementwiseGrain);
        DeviceBuffer parts = Rent(chunks * 2);
        Run(new SumOfSquaresKernel(Floats(x), Floats(parts), x.Length), chunks);
        double sum = 0;
        for (int i = 0; i < chunks; i++) sum += ((double*)Floats(parts))[i];
        Return(parts);
        return sum;
    }

    /// <inheritdoc/>
    public void ScaleInPlace(DeviceBuffer x, float factor)
        => Run(new BlendKernel(Floats(x), Floats(x), factor, 0f, x.Length), ChunkCount(x.Length, ElementwiseGrain));

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
