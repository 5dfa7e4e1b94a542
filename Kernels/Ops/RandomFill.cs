using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public partial interface IBackend
{
    /// <summary>y[i] uniform in [low, high), four elements for each counter. Writes y.</summary>
    void RandomUniform(DeviceBuffer y, float low, float high, RandomStream random);

    /// <summary>y[i] normal with this mean and deviation (Box and Muller's transform), four elements for each counter. Writes y.</summary>
    void RandomNormal(DeviceBuffer y, float mean, float standardDeviation, RandomStream random);

    /// <summary>
    /// y[i] normal, drawn again while more than <paramref name="limit"/> deviations away from the mean, one counter for each element. Writes y.
    /// </summary>
    void RandomTruncatedNormal(DeviceBuffer y, float mean, float standardDeviation, float limit, RandomStream random);
}

public sealed unsafe partial class CpuBackend
{
    private enum Distribution
    {
        Uniform,
        Normal,
        TruncatedNormal,
    }

    /// <inheritdoc/>
    public void RandomUniform(DeviceBuffer y, float low, float high, RandomStream random)
        => Run(new RandomKernel(Floats(y), y.Length, low, high - low, 0f, random, Distribution.Uniform), ChunkCount(y.Length, ElementwiseGrain));

    /// <inheritdoc/>
    public void RandomNormal(DeviceBuffer y, float mean, float standardDeviation, RandomStream random)
        => Run(new RandomKernel(Floats(y), y.Length, mean, standardDeviation, 0f, random, Distribution.Normal), ChunkCount(y.Length, ElementwiseGrain));

    /// <inheritdoc/>
    public void RandomTruncatedNormal(DeviceBuffer y, float mean, float standardDeviation, float limit, RandomStream random)
        => Run(
            new RandomKernel(Floats(y), y.Length, mean, standardDeviation, limit, random, Distribution.TruncatedNormal),
            ChunkCount(y.Length, ElementwiseGrain));

    private readonly record struct RandomKernel(
        Pointer Y, int Length, float Offset, float Scale, float Limit, RandomStream Random, Distribution Distribution) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain);
            float* y = Y, four = stackalloc float[4];
            if (Distribution == Distribution.TruncatedNormal)
            {
                for (int i = start; i < end; i++) y[i] = Offset + (Scale * Truncated(four, Random.Position + (ulong)i));
                return;
            }

            for (int i = start; i < end; i += 4)
            {
                Draw(four, Random.Position + (ulong)(i / 4), 0);
                for (int j = 0; j < 4 && i + j < end; j++) y[i + j] = Offset + (Scale * four[j]);
            }
        }

        private float Truncated(float* four, ulong position)
        {
            for (uint attempt = 0; ; attempt++)
            {
                Draw(four, position, attempt);
                for (int j = 0; j < 4; j++)
                    if (MathF.Abs(four[j]) <= Limit) return four[j];
            }
        }

        private void Draw(float* four, ulong position, uint attempt)
        {
            (uint r0, uint r1, uint r2, uint r3) = Philox.Generate(Random.Seed, position, attempt);
            if (Distribution == Distribution.Uniform)
            {
                four[0] = Philox.ToUniform(r0);
                four[1] = Philox.ToUniform(r1);
                four[2] = Philox.ToUniform(r2);
                four[3] = Philox.ToUniform(r3);
                return;
            }

            BoxMuller(r0, r1, four);
            BoxMuller(r2, r3, four + 2);
        }

        private static void BoxMuller(uint first, uint second, float* pair)
        {
            float radius = MathF.Sqrt(-2f * MathF.Log(1f - Philox.ToUniform(first)));
            (float sine, float cosine) = MathF.SinCos(2f * MathF.PI * Philox.ToUniform(second));
            pair[0] = radius * cosine;
            pair[1] = radius * sine;
        }
    }
}
