using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Binary<TOp>(DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, Broadcast layout)
        where TOp : struct, IBinaryOp
        => Map<BinaryTerm<TOp>>(new TermBuffers(full, Small: small), layout, new GradientTarget(y, false));

    /// <inheritdoc/>
    public void BinaryBackward<TOp>(
        DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, DeviceBuffer dy, Broadcast layout, GradientTarget dfull, GradientTarget dsmall)
        where TOp : struct, IBinaryOp
    {
        TermBuffers buffers = new(full, y, dy, small);
        if (dfull.IsNeeded) Map<BinaryFullGradient<TOp>>(buffers, layout, dfull);
        if (!dsmall.IsNeeded) return;
        if (layout.Repeat == 1) Map<BinarySmallGradient<TOp>>(buffers, layout, dsmall);
        else Reduce<BinarySmallGradient<TOp>>(buffers, layout, 1f, dsmall);
    }

    /// <summary>f(a, small).</summary>
    internal readonly struct BinaryTerm<TOp> : IGpuTerm
        where TOp : struct, IBinaryOp
    {
        public static int OperandCount => 1;

        public static bool UsesSmall => true;

        public static float At(float a, float b, float c, float small, float p, float q)
            => TOp.IsVectorized ? TOp.Forward(new SimdScalar(a), new SimdScalar(small)).Value : TOp.Forward(a, small);
    }

    /// <summary>c · ∂f/∂left(a, small, b).</summary>
    internal readonly struct BinaryFullGradient<TOp> : IGpuTerm
        where TOp : struct, IBinaryOp
    {
        public static int OperandCount => 3;

        public static bool UsesSmall => true;

        public static float At(float a, float b, float c, float small, float p, float q)
            => c * (TOp.IsVectorized ? TOp.LeftDerivative(new SimdScalar(a), new SimdScalar(small), new SimdScalar(b)).Value : TOp.LeftDerivative(a, small, b));
    }

    /// <summary>c · ∂f/∂right(a, small, b).</summary>
    internal readonly struct BinarySmallGradient<TOp> : IGpuTerm
        where TOp : struct, IBinaryOp
    {
        public static int OperandCount => 3;

        public static bool UsesSmall => true;

        public static float At(float a, float b, float c, float small, float p, float q)
            => c * (TOp.IsVectorized ? TOp.RightDerivative(new SimdScalar(a), new SimdScalar(small), new SimdScalar(b)).Value : TOp.RightDerivative(a, small, b));
    }
}
