using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <summary>f(z) = z: a product without an activation.</summary>
    private readonly struct NoActivation : IUnaryOp
    {
        public static float Forward(float x) => x;

        public static float Derivative(float x, float y) => 1f;
    }

    /// <summary>
    /// How a finished tile goes to C: the sums come from a small buffer that lies in the first-level cache, and C is written once.
    /// </summary>
    private readonly record struct Epilogue<TActivation>(Pointer C, Pointer Bias, Pointer Residual, Pointer PreActivation)
        where TActivation : struct, IUnaryOp
    {
        /// <summary>Whether there is more to do than to store.</summary>
        public bool Exists => HasActivation || (float*)Bias != null || (float*)Residual != null || (float*)PreActivation != null;

        private static bool HasActivation => typeof(TActivation) != typeof(NoActivation);

        /// <summary>c = f(sums + (accumulate ? c : 0) + bias) + residual for a tile whose first element is C[at], in column <paramref name="column"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Finish<V>(float* sums, int sumsStride, bool accumulate, long at, int stride, int column, int rows, int columns)
            where V : unmanaged, ISimd<V>
        {
            float* bias = Bias, residual = Residual, pre = PreActivation, c = (float*)C + at;
            if (bias != null) bias += column;
            if (residual != null) residual += at;
            if (pre != null) pre += at;
            if (HasActivation && (!TActivation.IsVectorized || V.Width == 1))
            {
                FinishScalar(sums, sumsStride, accumulate, c, bias, residual, pre, stride, rows, columns);
                return;
            }

            int j = 0;

            // A vector of columns at a time: its bias stays in a register.
            for (; j <= columns - V.Width; j += V.Width)
            {
                V addend = bias == null ? V.Zero : V.Load(bias + j);
                float* source = sums + j;
                long place = j;
                for (int i = 0; i < rows; i++, place += stride, source += sumsStride)
                {
                    V z = V.Load(source) + addend;
                    if (accumulate) z += V.Load(c + place);
                    if (pre != null) V.Store(z, pre + place);
                    if (HasActivation) z = TActivation.Forward(z);
                    if (residual != null) z += V.Load(residual + place);
                    V.Store(z, c + place);
                }
            }

            int left = columns - j;
            if (left == 0) return;
            V lastAddend = bias == null ? V.Zero : V.LoadPartial(bias + j, left);
            long last = j;
            for (int i = 0; i < rows; i++, last += stride)
            {
                V z = V.LoadPartial(sums + ((long)i * sumsStride) + j, left) + lastAddend;
                if (accumulate) z += V.LoadPartial(c + last, left);
                if (pre != null) V.StorePartial(z, pre + last, left);
                if (HasActivation) z = TActivation.Forward(z);
                if (residual != null) z += V.LoadPartial(residual + last, left);
                V.StorePartial(z, c + last, left);
            }
        }

        private static void FinishScalar(
            float* sums, int sumsStride, bool accumulate, float* c, float* bias, float* residual, float* pre, int stride, int rows, int columns)
        {
            for (int i = 0; i < rows; i++, sums += sumsStride)
            {
                for (int j = 0; j < columns; j++)
                {
                    long place = ((long)i * stride) + j;
                    float z = sums[j] + (accumulate ? c[place] : 0f) + (bias == null ? 0f : bias[j]);
                    if (pre != null) pre[place] = z;
                    z = TActivation.Forward(z);
                    c[place] = residual == null ? z : z + residual[place];
                }
            }
        }
    }

    /// <summary>Stores a tile that is not finished, or reaches beyond C: c = sums + (accumulate ? c : 0).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PutTile<V>(float* sums, int sumsStride, bool accumulate, float* c, int stride, int rows, int columns)
        where V : unmanaged, ISimd<V>
    {
        for (int i = 0; i < rows; i++, c += stride, sums += sumsStride)
        {
            int j = 0;
            for (; j <= columns - V.Width; j += V.Width) V.Store(accumulate ? V.Load(sums + j) + V.Load(c + j) : V.Load(sums + j), c + j);
            int left = columns - j;
            if (left == 0) continue;
            V value = V.LoadPartial(sums + j, left);
            V.StorePartial(accumulate ? value + V.LoadPartial(c + j, left) : value, c + j, left);
        }
    }
}
