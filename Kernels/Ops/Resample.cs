using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// A linear map from an axis of one length to one of another: output j is Σₜ weight[j, t] · input[first[j] + t], the form of every kind of
/// interpolation along an axis. The table is flat: for each output its first input and then <paramref name="Taps"/> weights.
/// </summary>
/// <param name="Outer">Product of the axes in front.</param>
/// <param name="From">Length of the axis in x.</param>
/// <param name="To">Length of the axis in y.</param>
/// <param name="Inner">Product of the axes behind.</param>
/// <param name="Taps">Weights for each output; first + taps never exceeds <paramref name="From"/>.</param>
public readonly record struct ResampleArgs(int Outer, int From, int To, int Inner, int Taps);

public partial interface IBackend
{
    /// <summary>y[o, j, i] = Σₜ weight[j, t] · x[o, first[j] + t, i], written or accumulated as the target says. The gradient is the same with the transposed table.</summary>
    /// <param name="x">[outer, from, inner].</param>
    /// <param name="table">[to, 1 + taps]: first (as a float) and weights.</param>
    /// <param name="args">Sizes.</param>
    /// <param name="y">[outer, to, inner].</param>
    void Resample(DeviceBuffer x, DeviceBuffer table, ResampleArgs args, GradientTarget y);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Resample(DeviceBuffer x, DeviceBuffer table, ResampleArgs args, GradientTarget y)
    {
        if (!y.IsNeeded) return;
        int perChunk = RowsPerChunk(args.Taps * args.Inner), rows = args.Outer * args.To;
        Run(new ResampleKernel(Floats(x), Floats(table), args, Floats(y.Buffer), rows, perChunk, y.Accumulate), ChunkCount(rows, perChunk));
    }

    private readonly record struct ResampleKernel(
        Pointer X, Pointer Table, ResampleArgs Args, Pointer Y, int Rows, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int last = Math.Min(Rows, (chunk + 1) * PerChunk), inner = Args.Inner;
            for (int row = chunk * PerChunk; row < last; row++)
            {
                int outer = row / Args.To;
                float* entry = Table + ((row - (outer * Args.To)) * (1 + Args.Taps));
                WriteRow<V>(X + (((outer * Args.From) + (int)*entry) * inner), entry + 1, Y + (row * inner));
            }
        }

        private void WriteRow<V>(float* x, float* weights, float* y)
            where V : unmanaged, ISimd<V>
        {
            int inner = Args.Inner, i = 0;
            for (; i <= inner - V.Width; i += V.Width)
            {
                V sum = V.Zero;
                for (int t = 0; t < Args.Taps; t++) sum = V.FusedMultiplyAdd(V.Load(x + (t * inner) + i), V.Create(weights[t]), sum);
                V.Store(Accumulate ? V.Load(y + i) + sum : sum, y + i);
            }

            for (; i < inner; i++)
            {
                float sum = 0f;
                for (int t = 0; t < Args.Taps; t++) sum += x[(t * inner) + i] * weights[t];
                y[i] = Accumulate ? y[i] + sum : sum;
            }
        }
    }
}
