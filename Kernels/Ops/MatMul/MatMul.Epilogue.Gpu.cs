using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>f(z) = z: a product without an activation.</summary>
    internal readonly struct NoActivation : IUnaryOp
    {
        public static float Forward(float x) => x;

        public static float Derivative(float x, float y) => 1f;
    }

    /// <summary>What becomes of a finished sum: z = α · sum + β · C + bias, C = f(z) + residual. Absent operands are empty views.</summary>
    internal readonly record struct MatMulEpilogue<TActivation>(
        ArrayView<float> C, ArrayView<float> Bias, ArrayView<float> Residual, ArrayView<float> PreActivation, float Alpha, float Beta)
        where TActivation : struct, IUnaryOp
    {
        /// <summary>Finishes the element of C at <paramref name="at"/>, which lies in column <paramref name="column"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Finish(long at, int column, float sum)
        {
            float z = Alpha * sum;
            if (Beta != 0f) z += Beta * C[at];
            if (Bias.Length > 0) z += Bias[column];
            if (PreActivation.Length > 0) PreActivation[at] = z;
            z = GpuMath.Forward<TActivation>(z);
            if (Residual.Length > 0) z += Residual[at];
            C[at] = z;
        }
    }

    /// <summary>Adds the partial sums of a product whose depth was divided among groups, in their order, and finishes it.</summary>
    internal readonly record struct MatMulSumKernel<[EpilogueActivations] TActivation>(ArrayView<float> Partial, int Parts, int Columns, MatMulEpilogue<TActivation> Epilogue) : IGpuKernel
        where TActivation : struct, IUnaryOp
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long length = Partial.Length / Parts;
            for (long i = Grid.GlobalLinearIndex; i < length; i += Grid.DimX * GroupSize)
            {
                float sum = 0f;
                for (long at = i; at < Partial.Length; at += length) sum += Partial[at];
                Epilogue.Finish(i, (int)(i % Columns), sum);
            }
        }
    }
}
