using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>A loss of a prediction x and a target t, element by element, as a type.</summary>
public interface IPairLoss
{
    /// <summary>loss(x, t).</summary>
    /// <param name="x">The prediction.</param>
    /// <param name="t">The target.</param>
    /// <param name="beta">The parameter of the loss; unused by losses that have none.</param>
    static abstract V Forward<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>;

    /// <summary>∂loss/∂x.</summary>
    /// <param name="x">The prediction.</param>
    /// <param name="t">The target.</param>
    /// <param name="beta">The parameter of the loss.</param>
    static abstract V PredictionDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>;

    /// <summary>∂loss/∂t.</summary>
    /// <param name="x">The prediction.</param>
    /// <param name="t">The target.</param>
    /// <param name="beta">The parameter of the loss.</param>
    static abstract V TargetDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>;
}

/// <summary>(x - t)².</summary>
public readonly struct SquaredError : IPairLoss
{
    /// <inheritdoc/>
    public static V Forward<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => (x - t) * (x - t);

    /// <inheritdoc/>
    public static V PredictionDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => V.Create(2f) * (x - t);

    /// <inheritdoc/>
    public static V TargetDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => V.Create(2f) * (t - x);
}

/// <summary>|x - t|; its derivative at 0 is taken as 0.</summary>
public readonly struct AbsoluteError : IPairLoss
{
    /// <inheritdoc/>
    public static V Forward<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => V.Abs(x - t);

    /// <inheritdoc/>
    public static V PredictionDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(x, t), V.Create(-1f), V.Select(V.LessThan(t, x), V.Create(1f), x - t));

    /// <inheritdoc/>
    public static V TargetDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => PredictionDerivative(t, x, beta);
}

/// <summary>d² / (2 β) where |d| &lt; β, else |d| - β / 2, with d = x - t (Girshick, arXiv:1504.08083).</summary>
public readonly struct SmoothAbsoluteError : IPairLoss
{
    /// <inheritdoc/>
    public static V Forward<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
    {
        V half = V.Create(0.5f), distance = V.Abs(x - t);
        return V.Select(V.LessThan(distance, beta), half * distance * distance / beta, distance - (half * beta));
    }

    /// <inheritdoc/>
    public static V PredictionDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(V.Abs(x - t), beta), (x - t) / beta, AbsoluteError.PredictionDerivative(x, t, beta));

    /// <inheritdoc/>
    public static V TargetDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => PredictionDerivative(t, x, beta);
}

/// <summary>-t log σ(x) - (1 - t) log(1 - σ(x)) = max(x, 0) - x t + log(1 + exp(-|x|)), which no logit overflows.</summary>
public readonly struct BinaryCrossEntropy : IPairLoss
{
    /// <inheritdoc/>
    public static V Forward<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => V.Max(x, V.Zero) - (x * t) + SimdMath.LogOnePlus(SimdMath.ExpNonPositive(-V.Abs(x)));

    /// <inheritdoc/>
    public static V PredictionDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => SimdMath.Sigmoid(x) - t;

    /// <inheritdoc/>
    public static V TargetDerivative<V>(V x, V t, V beta)
        where V : unmanaged, ISimd<V>
        => -x;
}

public partial interface IBackend
{
    /// <summary>loss[i] = f(x[i], t[i]), or their mean (NaN of nothing) or sum in one element. Writes loss.</summary>
    void PairLoss<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer loss)
        where TLoss : struct, IPairLoss;

    /// <summary>dx[i] = g_i ∂f/∂x(x[i], t[i]) and dt[i] likewise, where g_i is dloss[i], or dloss[0], divided by the length for the mean.</summary>
    void PairLossBackward<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer dloss, GradientTarget dx, GradientTarget dt)
        where TLoss : struct, IPairLoss;
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void PairLoss<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer loss)
        where TLoss : struct, IPairLoss
    {
        int chunks = ChunkCount(x.Length, ElementwiseGrain);
        DeviceBuffer sums = reduction == Reduction.None ? default : Rent(chunks);
        Run(new PairLossKernel<TLoss>(Floats(x), Floats(t), beta, x.Length, Floats(sums), Floats(loss)), chunks);
        if (reduction == Reduction.None) return;
        double sum = 0;
        for (int i = 0; i < chunks; i++) sum += Floats(sums)[i];
        *Floats(loss) = (float)(reduction == Reduction.Mean ? sum / x.Length : sum);
        Return(sums);
    }

    /// <inheritdoc/>
    public void PairLossBackward<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer dloss, GradientTarget dx, GradientTarget dt)
        where TLoss : struct, IPairLoss
    {
        int chunks = ChunkCount(x.Length, ElementwiseGrain);
        Run(new PairLossBackwardKernel<TLoss>(Floats(x), Floats(t), beta, x.Length, reduction, Floats(dloss), FloatTarget.From(dx), FloatTarget.From(dt)), chunks);
    }

    private readonly record struct PairLossKernel<TLoss>(Pointer X, Pointer T, float Beta, int Length, Pointer Sums, Pointer Losses) : ICpuKernel
        where TLoss : struct, IPairLoss
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain), i = start;
            float* x = X, t = T, losses = Losses, sums = Sums;
            V sum = V.Zero, beta = V.Create(Beta);
            for (; i <= end - V.Width; i += V.Width)
            {
                V loss = TLoss.Forward(V.Load(x + i), V.Load(t + i), beta);
                if (sums == null) V.Store(loss, losses + i);
                else sum += loss;
            }

            float total = V.Sum(sum);
            for (; i < end; i++)
            {
                float loss = TLoss.Forward(new SimdScalar(x[i]), new SimdScalar(t[i]), new SimdScalar(Beta)).Value;
                if (sums == null) losses[i] = loss;
                else total += loss;
            }

            if (sums != null) sums[chunk] = total;
        }
    }

    private readonly record struct PairLossBackwardKernel<TLoss>(
        Pointer X, Pointer T, float Beta, int Length, Reduction Reduction, Pointer DLoss, FloatTarget DX, FloatTarget DT) : ICpuKernel
        where TLoss : struct, IPairLoss
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain);
            if (DX.IsNeeded) Add<V>(start, end, DX, toTarget: false);
            if (DT.IsNeeded) Add<V>(start, end, DT, toTarget: true);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Add<V>(int start, int end, FloatTarget gradient, bool toTarget)
            where V : unmanaged, ISimd<V>
        {
            int i = start;
            for (; i <= end - V.Width; i += V.Width) Step<V>(i, gradient, toTarget);
            for (; i < end; i++) Step<SimdScalar>(i, gradient, toTarget);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step<V>(int i, FloatTarget gradient, bool toTarget)
            where V : unmanaged, ISimd<V>
        {
            float* destination = (float*)gradient.Pointer + i, dloss = DLoss;
            V x = V.Load((float*)X + i), t = V.Load((float*)T + i), beta = V.Create(Beta);
            V derivative = toTarget ? TLoss.TargetDerivative(x, t, beta) : TLoss.PredictionDerivative(x, t, beta);
            V factor = Reduction switch
            {
                Reduction.None => V.Load(dloss + i),
                Reduction.Mean => V.Create(dloss[0] / Length),
                _ => V.Create(dloss[0]),
            };
            V value = factor * derivative;
            V.Store(gradient.Accumulate ? V.Load(destination) + value : value, destination);
        }
    }
}
