// Runs the GPU's attention as ordinary .NET code, so that a debugger can step through it: docs/debugging.md says where to break. Compares
// the result and the gradient of the query with the CPU, and prints the row of the softmax that a breakpoint in the kernel shows.
//
//   dotnet run -c Debug --project samples/DebugAttention
using MiniVlp.Autograd;
using MiniVlp.Samples;
using MiniVlp.Tensors;

(float[] output, float[] slope) = TinyAttention.Run(Device.IlgpuCpu());
(float[] expected, float[] expectedSlope) = TinyAttention.Run(Device.Cpu);
(float largest, float[] exponentials) = TinyAttention.SoftmaxRow(TinyAttention.Tokens - 1);
Console.WriteLine(FormattableString.Invariant($"the last query: largest score {largest:0.000000}"));
Console.WriteLine($"exp(score - largest) for each key: {string.Join("  ", exponentials.Select(e => FormattableString.Invariant($"{e:0.000000}")))}");
Console.WriteLine(FormattableString.Invariant($"largest difference from the CPU: output {Difference(output, expected):0.0e+0}, gradient of the query {Difference(slope, expectedSlope):0.0e+0}"));
return Difference(output, expected) < 1e-5f && Difference(slope, expectedSlope) < 1e-5f ? 0 : 1;

// Math.Max keeps NaN, and NaN is not below any limit.
static float Difference(float[] a, float[] b) => a.Zip(b).Aggregate(0f, (largest, pair) => Math.Max(largest, Math.Abs(pair.First - pair.Second)));

namespace MiniVlp.Samples
{
    /// <summary>One causal head of four elements over five tokens.</summary>
    internal static class TinyAttention
    {
        public const int Tokens = 5, HeadSize = 4;

        /// <summary>Output, and gradient of the query for Σ output².</summary>
        public static (float[] Output, float[] QueryGradient) Run(Device device)
        {
            using Tensor query = Operand(1, device), key = Operand(2, device), value = Operand(3, device);
            query.NeedsGradient = true;
            using Tape tape = Tape.Record();
            Tensor output = query.Attention(key, value, new AttentionOptions(heads: 1) { Causal = true });
            float[] result = output.ToArray();
            tape.Backward((output * output).Sum());
            return (result, query.Gradient!.ToArray());
        }

        /// <summary>The largest score query · key_j / √headSize of a row over the keys up to its own position, and exp(score - largest) of each.</summary>
        public static (float Largest, float[] Exponentials) SoftmaxRow(int row)
        {
            float[] query = Numbers(1), key = Numbers(2);
            float[] scores = [.. Enumerable.Range(0, row + 1).Select(j => Enumerable.Range(0, HeadSize).Sum(c => query[(row * HeadSize) + c] * key[(j * HeadSize) + c]) / MathF.Sqrt(HeadSize))];
            float largest = scores.Max();
            return (largest, [.. scores.Select(score => MathF.Exp(score - largest))]);
        }

        private static Tensor Operand(int seed, Device device) => Tensor.FromArray(Numbers(seed), [1, Tokens, HeadSize], device);

        private static float[] Numbers(int seed)
        {
            Random random = new(seed);
            return [.. Enumerable.Range(0, Tokens * HeadSize).Select(_ => (2f * random.NextSingle()) - 1f)];
        }
    }
}
