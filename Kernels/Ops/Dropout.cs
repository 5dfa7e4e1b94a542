using System.Runtime.Intrinsics;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>A place in a stream of random numbers: element i takes word i mod 4 of counter <paramref name="Position"/> + i / 4.</summary>
/// <param name="Seed">Which stream.</param>
/// <param name="Position">The first counter.</param>
public readonly record struct RandomStream(ulong Seed, ulong Position);

public partial interface IBackend
{
    /// <summary>
    /// Dropout (Srivastava et al., 2014): y = x / (1 - rate) where a random number says keep, else 0, written or accumulated as the target
    /// says. One number decides about <paramref name="run"/> neighbouring elements. The gradient is the same function of dy, as the numbers can be drawn again.
    /// </summary>
    void Dropout(DeviceBuffer x, float rate, int run, RandomStream random, GradientTarget y);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Dropout(DeviceBuffer x, float rate, int run, RandomStream random, GradientTarget y)
    {
        if (!y.IsNeeded || x.Length == 0) return;
        int draws = x.Length / run, grain = 4 * Math.Max(1, ElementwiseGrain / 4 / run);
        Run(new DropoutKernel(Floats(x), Floats(y.Buffer), rate, run, draws, grain, random, y.Accumulate), ChunkCount(draws, grain));
    }

    private readonly record struct DropoutKernel(
        Pointer X, Pointer Y, float Rate, int RunLength, int Draws, int Grain, RandomStream Random, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int first = chunk * Grain, count = Math.Min(Draws - first, Grain), counters = (count + 3) / 4;
            uint* words = (uint*)ThreadScratch.Get(4L * counters);
            PhiloxVectors.Fill<V>(words, Random.Seed, Random.Position + (ulong)(first / 4), counters);
            float* factors = (float*)words;
            WriteFactors<V>(words, factors, 4 * counters);
            if (RunLength == 1) Multiply<V>(first, count, factors);
            else for (int i = 0; i < count; i++) Scale<V>((first + i) * RunLength, factors[i]);
        }

        /// <summary>0 or 1 / (1 - rate) for each number, in place.</summary>
        private void WriteFactors<V>(uint* words, float* factors, int count)
            where V : unmanaged, ISimd<V>
        {
            uint threshold = (uint)Math.Min(uint.MaxValue, Rate * 4294967296.0);
            float kept = 1f / (1f - Rate);
            int i = 0;
            if (V.Width > 1 && Vector256.IsHardwareAccelerated)
            {
                Vector256<uint> thresholds = Vector256.Create(threshold);
                Vector256<float> keep = Vector256.Create(kept);
                for (; i <= count - 8; i += 8)
                    Vector256.AndNot(keep, Vector256.LessThan(Vector256.Load(words + i), thresholds).AsSingle()).Store(factors + i);
            }

            for (; i < count; i++) factors[i] = words[i] < threshold ? 0f : kept;
        }

        private void Multiply<V>(int start, int count, float* factors)
            where V : unmanaged, ISimd<V>
        {
            float* x = X + start, y = Y + start;
            int i = 0;
            for (; i <= count - V.Width; i += V.Width)
            {
                V value = V.Load(x + i) * V.Load(factors + i);
                V.Store(Accumulate ? V.Load(y + i) + value : value, y + i);
            }

            for (; i < count; i++)
            {
                float value = x[i] * factors[i];
                y[i] = Accumulate ? y[i] + value : value;
            }
        }

        private void Scale<V>(int start, float factor)
            where V : unmanaged, ISimd<V>
        {
            float* x = X + start, y = Y + start;
            V factors = V.Create(factor);
            int i = 0;
            for (; i <= RunLength - V.Width; i += V.Width)
            {
                V value = V.Load(x + i) * factors;
                V.Store(Accumulate ? V.Load(y + i) + value : value, y + i);
            }

            for (; i < RunLength; i++)
            {
                float value = x[i] * factor;
                y[i] = Accumulate ? y[i] + value : value;
            }
        }
    }
}
