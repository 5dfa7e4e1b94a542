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

    /// <summary>What happens to a tile of C after its last product, while it is still in the first-level cache.</summary>
    private readonly record struct Epilogue<TActivation>(Pointer C, Pointer Bias, Pointer Residual, Pointer PreActivation)
        where TActivation : struct, IUnaryOp
    {
        private static bool HasActivation => typeof(TActivation) != typeof(NoActivation);

        /// <summary>c = f(c + bias) + residual for a tile whose first element is C[at] and whose first column is <paramref name="column"/>.</summary>
        public void Apply<V>(long at, int stride, int column, int rows, int columns)
            where V : unmanaged, ISimd<V>
        {
            float* bias = Bias, residual = Residual, pre = PreActivation;
            if (!HasActivation && bias == null && residual == null && pre == null) return;
            if (bias != null) bias += column;
            for (int i = 0; i < rows; i++, at += stride)
            {
                float* c = (float*)C + at;
                int j = 0;
                if (!HasActivation || (TActivation.IsVectorized && V.Width > 1))
                {
                    for (; j < columns; j += V.Width)
                    {
                        int left = columns - j;
                        V z = Load<V>(c + j, left);
                        if (bias != null) z += Load<V>(bias + j, left);
                        if (pre != null) Store(z, pre + at + j, left);
                        if (HasActivation) z = TActivation.Forward(z);
                        if (residual != null) z += Load<V>(residual + at + j, left);
                        Store(z, c + j, left);
                    }
                }

                for (; j < columns; j++)
                {
                    float z = c[j];
                    if (bias != null) z += bias[j];
                    if (pre != null) pre[at + j] = z;
                    z = TActivation.Forward(z);
                    if (residual != null) z += residual[at + j];
                    c[j] = z;
                }
            }
        }

        private static V Load<V>(float* source, int left)
            where V : unmanaged, ISimd<V>
            => left >= V.Width ? V.Load(source) : V.LoadPartial(source, left);

        private static void Store<V>(V value, float* destination, int left)
            where V : unmanaged, ISimd<V>
        {
            if (left >= V.Width) V.Store(value, destination);
            else V.StorePartial(value, destination, left);
        }
    }
}
