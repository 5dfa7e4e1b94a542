using System.Collections.Concurrent;
using ILGPU;
using ILGPU.Runtime;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Frequencies of rotary embeddings, uploaded when a head size and base come for the first time; they go with the accelerator.</summary>
    private readonly ConcurrentDictionary<(int HeadSize, float Theta), MemoryBuffer1D<float, Stride1D.Dense>> _ropeFrequencies = new();

    /// <inheritdoc/>
    public void Rope(DeviceBuffer x, DeviceBuffer positions, RopeArgs args, float direction, GradientTarget y)
    {
        if (!y.IsNeeded || x.Length == 0) return;
        ArrayView<float> frequencies = _ropeFrequencies.GetOrAdd((args.HeadSize, args.Theta), UploadFrequencies).View.BaseView;
        LaunchElements(new RopeKernel(Input(x), IntInput(positions), frequencies, args, direction, Target(y)), (long)args.Rows * (args.HeadSize / 2));
    }

    private MemoryBuffer1D<float, Stride1D.Dense> UploadFrequencies((int HeadSize, float Theta) key)
    {
        float[] frequencies = [.. Enumerable.Range(0, key.HeadSize / 2).Select(i => (float)(1 / Math.Pow(key.Theta, 2.0 * i / key.HeadSize)))];
        return _accelerator.Allocate1D(frequencies);
    }

    /// <summary>A thread turns one pair of elements by the same angle in every head of a token.</summary>
    internal readonly record struct RopeKernel(
        ArrayView<float> X, ArrayView<int> Positions, ArrayView<float> Frequencies, RopeArgs Args, float Direction, GpuTarget Y) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            int half = Args.HeadSize / 2;
            for (long i = Grid.GlobalLinearIndex; i < (long)Args.Rows * half; i += Grid.DimX * GroupSize)
            {
                int row = (int)i / half, pair = (int)i - (row * half);
                GpuMath.SinCos(Positions[row % (int)Positions.Length] * Frequencies[pair], out float sine, out float cosine);
                sine *= Direction;
                for (int head = 0; head < Args.Heads; head++)
                {
                    long at = ((((long)row * Args.Heads) + head) * Args.HeadSize) + pair;
                    float a = X[at], b = X[at + half];
                    Y.Put(at, MathF.FusedMultiplyAdd(a, cosine, -(b * sine)));
                    Y.Put(at + half, MathF.FusedMultiplyAdd(b, cosine, a * sine));
                }
            }
        }
    }
}
