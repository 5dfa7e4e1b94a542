using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>Sizes of a <see cref="IBackend.Rope"/>.</summary>
/// <param name="Rows">batch · tokens.</param>
/// <param name="Heads">Heads of one token.</param>
/// <param name="HeadSize">Elements of one head; even.</param>
/// <param name="Theta">Base of the frequencies, 10000 in most models.</param>
public readonly record struct RopeArgs(int Rows, int Heads, int HeadSize, float Theta);

public partial interface IBackend
{
    /// <summary>
    /// Rotary position embedding (Su et al., arXiv:2104.09864) in the order that Llama uses: in each head, elements i and i + size/2 are
    /// turned by the angle position · θ^(-2i/size). x and y are [rows, heads, headSize]; positions may be shorter than rows and start over; y is written or accumulated as the
    /// target says. <paramref name="direction"/> is 1 forward and -1 for the gradient.
    /// </summary>
    void Rope(DeviceBuffer x, DeviceBuffer positions, RopeArgs args, float direction, GradientTarget y);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Rope(DeviceBuffer x, DeviceBuffer positions, RopeArgs args, float direction, GradientTarget y)
    {
        if (!y.IsNeeded) return;
        int perChunk = RowsPerChunk(args.Heads * args.HeadSize);
        Run(
            new RopeKernel(Floats(x), Floats(positions), positions.Length, Floats(y.Buffer), args, direction, perChunk, y.Accumulate),
            ChunkCount(args.Rows, perChunk));
    }

    private readonly record struct RopeKernel(
        Pointer X, Pointer Positions, int PositionCount, Pointer Y, RopeArgs Args, float Direction, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int half = Args.HeadSize / 2, first = chunk * PerChunk, last = Math.Min(Args.Rows, first + PerChunk);
            float* frequencies = ThreadScratch.Get(3 * half), cosines = frequencies + half, sines = cosines + half;
            for (int i = 0; i < half; i++) frequencies[i] = (float)(1 / Math.Pow(Args.Theta, 2.0 * i / Args.HeadSize));
            for (int row = first; row < last; row++)
            {
                int position = *(int*)(Positions + (row % PositionCount));
                for (int i = 0; i < half; i++)
                {
                    (float sine, float cosine) = MathF.SinCos(position * frequencies[i]);
                    cosines[i] = cosine;
                    sines[i] = Direction * sine;
                }

                for (int head = 0; head < Args.Heads; head++)
                {
                    int start = ((row * Args.Heads) + head) * Args.HeadSize;
                    Turn<V>(X + start, Y + start, cosines, sines, half);
                }
            }
        }

        private void Turn<V>(float* x, float* y, float* cosines, float* sines, int half)
            where V : unmanaged, ISimd<V>
        {
            int i = 0;
            for (; i <= half - V.Width; i += V.Width)
            {
                V a = V.Load(x + i), b = V.Load(x + half + i), cosine = V.Load(cosines + i), sine = V.Load(sines + i);
                V first = V.FusedMultiplyAdd(a, cosine, -(b * sine)), second = V.FusedMultiplyAdd(b, cosine, a * sine);
                V.Store(Accumulate ? V.Load(y + i) + first : first, y + i);
                V.Store(Accumulate ? V.Load(y + half + i) + second : second, y + half + i);
            }

            for (; i < half; i++)
            {
                float first = (x[i] * cosines[i]) - (x[half + i] * sines[i]), second = (x[half + i] * cosines[i]) + (x[i] * sines[i]);
                y[i] = Accumulate ? y[i] + first : first;
                y[half + i] = Accumulate ? y[half + i] + second : second;
            }
        }
    }
}
