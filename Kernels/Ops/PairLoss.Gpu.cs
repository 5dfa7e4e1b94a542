using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void PairLoss<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer loss)
        where TLoss : struct, IPairLoss
    {
        TermBuffers buffers = new(x, t, P: beta);
        GradientTarget target = new(loss, false);
        if (reduction == Reduction.None) Map<PairLossTerm<TLoss>>(buffers, Broadcast.None(x.Length), target);
        else Reduce<PairLossTerm<TLoss>>(buffers, new Broadcast(1, x.Length, 1), reduction == Reduction.Mean ? 1f / x.Length : 1f, target);
    }

    /// <inheritdoc/>
    public void PairLossBackward<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer dloss, GradientTarget dx, GradientTarget dt)
        where TLoss : struct, IPairLoss
    {
        Broadcast layout = reduction == Reduction.None ? Broadcast.None(x.Length) : new Broadcast(1, x.Length, 1);
        TermBuffers buffers = new(x, t, Small: dloss, P: beta, Q: reduction == Reduction.Mean ? 1f / x.Length : 1f);
        if (dx.IsNeeded) Map<PairLossPredictionGradient<TLoss>>(buffers, layout, dx);
        if (dt.IsNeeded) Map<PairLossTargetGradient<TLoss>>(buffers, layout, dt);
    }

    /// <summary>loss(a, b) with the parameter p.</summary>
    internal readonly struct PairLossTerm<TLoss> : IGpuTerm
        where TLoss : struct, IPairLoss
    {
        public static int OperandCount => 2;

        public static bool UsesSmall => false;

        public static float At(float a, float b, float c, float small, float p, float q)
            => TLoss.Forward(new SimdScalar(a), new SimdScalar(b), new SimdScalar(p)).Value;
    }

    /// <summary>q · small · ∂loss/∂x(a, b).</summary>
    internal readonly struct PairLossPredictionGradient<TLoss> : IGpuTerm
        where TLoss : struct, IPairLoss
    {
        public static int OperandCount => 2;

        public static bool UsesSmall => true;

        public static float At(float a, float b, float c, float small, float p, float q)
            => small * q * TLoss.PredictionDerivative(new SimdScalar(a), new SimdScalar(b), new SimdScalar(p)).Value;
    }

    /// <summary>q · small · ∂loss/∂t(a, b).</summary>
    internal readonly struct PairLossTargetGradient<TLoss> : IGpuTerm
        where TLoss : struct, IPairLoss
    {
        public static int OperandCount => 2;

        public static bool UsesSmall => true;

        public static float At(float a, float b, float c, float small, float p, float q)
            => small * q * TLoss.TargetDerivative(new SimdScalar(a), new SimdScalar(b), new SimdScalar(p)).Value;
    }
}
