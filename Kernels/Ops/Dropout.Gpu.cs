using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Dropout(DeviceBuffer x, float rate, int run, RandomStream random, GradientTarget y)
    {
        if (!y.IsNeeded) return;
        uint threshold = (uint)Math.Min(uint.MaxValue, rate * 4294967296.0);
        int quads = run == 1 || run % Float4.Length == 0 ? Float4.CountIn(x.Length, x, y.Buffer) : 0;
        LaunchElements(new DropoutKernel(Input(x), threshold, 1f / (1f - rate), run, random, quads, Target(y)), quads > 0 ? quads : x.Length);
    }

    /// <summary>The numbers of the CPU: element i belongs to draw i / run, and draw j is word j mod 4 of counter j / 4.</summary>
    internal readonly record struct DropoutKernel(
        ArrayView<float> X, uint Threshold, float Kept, int RunLength, RandomStream Random, int Quads, GpuTarget Y) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long first = Grid.GlobalLinearIndex, step = Grid.DimX * GroupSize;
            for (long quad = first; quad < Quads; quad += step)
            {
                Float4 x = Float4.Load(X, quad);
                uint draw = (uint)quad * Float4.Length / (uint)RunLength;
                (uint r0, uint r1, uint r2, uint r3) = Philox.Generate(Random.Seed, Random.Position + (draw / 4));
                uint same = Word(draw, r0, r1, r2, r3);
                Float4.Put(Y, quad, RunLength == 1
                    ? new Float4(x.X * Factor(r0), x.Y * Factor(r1), x.Z * Factor(r2), x.W * Factor(r3))
                    : new Float4(x.X * Factor(same), x.Y * Factor(same), x.Z * Factor(same), x.W * Factor(same)));
            }

            for (long i = ((long)Quads * Float4.Length) + first; i < X.Length; i += step)
            {
                uint draw = (uint)i / (uint)RunLength;
                (uint r0, uint r1, uint r2, uint r3) = Philox.Generate(Random.Seed, Random.Position + (draw / 4));
                Y.Put(i, X[i] * Factor(Word(draw, r0, r1, r2, r3)));
            }
        }

        private float Factor(uint random) => random < Threshold ? 0f : Kept;

        private static uint Word(uint draw, uint r0, uint r1, uint r2, uint r3)
        {
            uint low = (draw & 1) == 0 ? r0 : r1, high = (draw & 1) == 0 ? r2 : r3;
            return (draw & 2) == 0 ? low : high;
        }
    }
}
