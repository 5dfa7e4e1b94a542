using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void RandomUniform(DeviceBuffer y, float low, float high, RandomStream random) => Draw<UniformDraw>(y, low, high - low, random);

    /// <inheritdoc/>
    public void RandomNormal(DeviceBuffer y, float mean, float standardDeviation, RandomStream random) => Draw<NormalDraw>(y, mean, standardDeviation, random);

    /// <inheritdoc/>
    public void RandomTruncatedNormal(DeviceBuffer y, float mean, float standardDeviation, float limit, RandomStream random)
        => LaunchElements(new TruncatedNormalKernel(Output(y), mean, standardDeviation, limit, random), y.Length);

    private void Draw<TDraw>(DeviceBuffer y, float offset, float scale, RandomStream random)
        where TDraw : struct, IDraw
        => LaunchElements(new DrawKernel<TDraw>(Output(y), offset, scale, random), ((long)y.Length + 3) / 4);

    /// <summary>Four random numbers of a standard distribution from the four words of a counter.</summary>
    internal interface IDraw
    {
        static abstract Float4 From(ulong seed, ulong position, uint attempt);
    }

    internal readonly struct UniformDraw : IDraw
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Float4 From(ulong seed, ulong position, uint attempt)
        {
            (uint r0, uint r1, uint r2, uint r3) = Philox.Generate(seed, position, attempt);
            return new Float4(Philox.ToUniform(r0), Philox.ToUniform(r1), Philox.ToUniform(r2), Philox.ToUniform(r3));
        }
    }

    /// <summary>Box and Muller's transform of two pairs of uniform numbers.</summary>
    internal readonly struct NormalDraw : IDraw
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Float4 From(ulong seed, ulong position, uint attempt)
        {
            Float4 uniform = UniformDraw.From(seed, position, attempt);
            BoxMuller(uniform.X, uniform.Y, out float first, out float second);
            BoxMuller(uniform.Z, uniform.W, out float third, out float fourth);
            return new Float4(first, second, third, fourth);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void BoxMuller(float u, float v, out float first, out float second)
        {
            float radius = MathF.Sqrt(-2f * GpuMath.Log(1f - u));
            GpuMath.SinCos(2f * MathF.PI * v, out float sine, out float cosine);
            first = radius * cosine;
            second = radius * sine;
        }
    }

    internal readonly record struct DrawKernel<TDraw>(ArrayView<float> Y, float Offset, float Scale, RandomStream Random) : IGpuKernel
        where TDraw : struct, IDraw
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long counter = Grid.GlobalLinearIndex; counter * 4 < Y.Length; counter += Grid.DimX * GroupSize)
            {
                Float4 four = TDraw.From(Random.Seed, Random.Position + (ulong)counter, 0);
                long i = counter * 4;
                Write(i, four.X);
                Write(i + 1, four.Y);
                Write(i + 2, four.Z);
                Write(i + 3, four.W);
            }
        }

        private void Write(long i, float value)
        {
            if (i < Y.Length) Y[i] = Offset + GpuMath.RoundedProduct(Scale, value);
        }
    }

    internal readonly record struct TruncatedNormalKernel(ArrayView<float> Y, float Mean, float Deviation, float Limit, RandomStream Random) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Y.Length; i += Grid.DimX * GroupSize)
                Y[i] = Mean + GpuMath.RoundedProduct(Deviation, Truncated(Random.Position + (ulong)i));
        }

        private float Truncated(ulong position)
        {
            uint attempt = 0;
            float value;
            do
            {
                Float4 four = NormalDraw.From(Random.Seed, position, attempt++);
                value = FirstInside(FirstInside(four.X, four.Y), FirstInside(four.Z, four.W));
            }
            while (MathF.Abs(value) > Limit);
            return value;
        }

        private float FirstInside(float first, float second) => MathF.Abs(first) <= Limit ? first : second;
    }
}
