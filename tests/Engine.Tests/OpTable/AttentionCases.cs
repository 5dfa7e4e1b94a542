using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class AttentionCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        new Setting("ragged", Batch: 2, Heads: 3, Queries: 7, Keys: 7, HeadSize: 5).Case(),
        new Setting("one token", Batch: 1, Heads: 1, Queries: 1, Keys: 1, HeadSize: 1).Case(),
        new Setting("one query, as in decoding", Batch: 2, Heads: 2, Queries: 1, Keys: 33, HeadSize: 8) { Causal = true }.Case(),
        new Setting("no batch", Batch: 0, Heads: 2, Queries: 3, Keys: 4, HeadSize: 4).Case(),
        new Setting("no queries", Batch: 2, Heads: 2, Queries: 0, Keys: 4, HeadSize: 4).Case(),
        new Setting("no keys", Batch: 2, Heads: 2, Queries: 3, Keys: 0, HeadSize: 4).Case(),
        new Setting("cross, own value width", Batch: 2, Heads: 2, Queries: 9, Keys: 31, HeadSize: 12) { ValueHeadSize = 17 }.Case(),
        new Setting("given scale", Batch: 1, Heads: 2, Queries: 9, Keys: 9, HeadSize: 6) { Scale = 0.35f }.Case(),
        new Setting("several blocks", Batch: 1, Heads: 2, Queries: 197, Keys: 131, HeadSize: 33).Case() with { GradientSamples = 6 },
        new Setting("several blocks, causal", Batch: 1, Heads: 2, Queries: 101, Keys: 197, HeadSize: 16) { Causal = true }.Case() with { GradientSamples = 6 },
        new Setting("many heads of several blocks, causal", Batch: 3, Heads: 16, Queries: 197, Keys: 150, HeadSize: 3) { Causal = true }.Case() with { GradientSamples = 2 },
        new Setting("causal with more queries than keys", Batch: 2, Heads: 2, Queries: 20, Keys: 11, HeadSize: 8) { Causal = true }.Case(),
        new Setting("key mask", Batch: 3, Heads: 2, Queries: 5, Keys: 70, HeadSize: 8) { Masked = true }.Case() with { GradientSamples = 40 },
        new Setting("key mask, causal, grouped heads", Batch: 3, Heads: 6, Queries: 9, Keys: 17, HeadSize: 5) { KeyValueHeads = 2, Masked = true, Causal = true }.Case(),
        new Setting("head of 32, key mask, causal, grouped heads", Batch: 2, Heads: 2, Queries: 17, Keys: 33, HeadSize: 32) { KeyValueHeads = 1, Masked = true, Causal = true }.Case() with { GradientSamples = 12 },
        new Setting("head of 64, bias per head", Batch: 1, Heads: 2, Queries: 21, Keys: 18, HeadSize: 64) { BiasShape = [2, 21, 18] }.Case() with { GradientSamples = 12 },
        new Setting("bias per head", Batch: 2, Heads: 3, Queries: 9, Keys: 7, HeadSize: 4) { BiasShape = [3, 9, 7] }.Case(),
        new Setting("bias per head, sequences in groups of two", Batch: 5, Heads: 8, Queries: 3, Keys: 5, HeadSize: 4) { BiasShape = [8, 3, 5] }.Case(),
        new Setting("bias without sequences", Batch: 0, Heads: 2, Queries: 3, Keys: 5, HeadSize: 4) { BiasShape = [2, 3, 5] }.Case(),
        new Setting("bias per head, axes kept", Batch: 2, Heads: 4, Queries: 7, Keys: 70, HeadSize: 4) { KeyValueHeads = 2, BiasShape = [1, 4, 7, 70] }.Case() with { GradientSamples = 40 },
        new Setting("bias per sequence and head", Batch: 2, Heads: 3, Queries: 9, Keys: 7, HeadSize: 4) { BiasShape = [2, 3, 9, 7] }.Case(),
        new Setting("bias per sequence", Batch: 2, Heads: 3, Queries: 9, Keys: 7, HeadSize: 4) { BiasShape = [2, 1, 9, 7], Causal = true }.Case(),
        new Setting("one bias for all", Batch: 2, Heads: 4, Queries: 9, Keys: 7, HeadSize: 4) { BiasShape = [1, 1, 9, 7], Masked = true }.Case(),
        new(
            "Attention of a tensor to itself", [[2, 33, 15]], t => t[0].Attention(t[0], t[0], new AttentionOptions(3)),
            x => new Setting(string.Empty, 2, 3, 33, 33, 5).Reference([x[0], x[0], x[0]])) { GradientSamples = 40 },
    ];

    /// <summary>Sizes of a case, its operands, and attention as the formula says, one query at a time.</summary>
    private sealed record Setting(string Name, int Batch, int Heads, int Queries, int Keys, int HeadSize)
    {
        public int KeyValueHeads { get => field == 0 ? Heads : field; init; }

        public int ValueHeadSize { get => field == 0 ? HeadSize : field; init; }

        public float Scale { get; init; }

        public bool Causal { get; init; }

        public bool Masked { get; init; }

        public Shape? BiasShape { get; init; }

        /// <summary>Every third key is padding, and the last sequence has no key at all.</summary>
        private int[] Mask => [.. Enumerable.Range(0, Batch * Keys).Select(i => i % 3 == 1 || i / Keys == Batch - 1 ? 0 : 1)];

        public OpCase Case()
        {
            Shape query = [Batch, Queries, Heads * HeadSize], key = [Batch, Keys, KeyValueHeads * HeadSize], value = [Batch, Keys, KeyValueHeads * ValueHeadSize];
            return new OpCase($"Attention {Name}", BiasShape is { } bias ? [query, key, value, bias] : [query, key, value], Compute, Reference);
        }

        private Tensor Compute(Tensor[] t) => t[0].Attention(t[1], t[2], new AttentionOptions(Heads)
        {
            KeyValueHeads = KeyValueHeads == Heads ? 0 : KeyValueHeads,
            Scale = Scale,
            Causal = Causal,
            KeyMask = Masked ? IndexTensor.FromArray(Mask, [Batch, Keys], t[0].Device) : null,
            Bias = t.Length > 3 ? t[3] : null,
        });

        public double[] Reference(double[][] x)
        {
            double[] output = new double[Batch * Queries * Heads * ValueHeadSize];
            double scale = Scale == 0f ? 1 / Math.Sqrt(HeadSize) : Scale;
            int[] mask = Mask;
            for (int row = 0; row < Batch * Queries * Heads; row++)
            {
                int head = row % Heads, query = row / Heads % Queries, batch = row / Heads / Queries, keyHead = head / (Heads / KeyValueHeads);
                double[] scores = new double[Keys];
                for (int j = 0; j < Keys; j++)
                {
                    bool visible = (!Causal || j <= query + Keys - Queries) && (!Masked || mask[(batch * Keys) + j] != 0);
                    scores[j] = visible ? (scale * Dot(x[0], row, x[1], KeyRow(j))) + Bias(j) : double.NegativeInfinity;
                }

                double largest = scores.Append(double.NegativeInfinity).Max(), sum = scores.Sum(s => double.IsNegativeInfinity(s) ? 0 : Math.Exp(s - largest));
                for (int j = 0; j < Keys; j++)
                {
                    if (double.IsNegativeInfinity(scores[j])) continue;
                    for (int c = 0; c < ValueHeadSize; c++)
                        output[(row * ValueHeadSize) + c] += Math.Exp(scores[j] - largest) / sum * x[2][(KeyRow(j) * ValueHeadSize) + c];
                }

                int KeyRow(int j) => (((batch * Keys) + j) * KeyValueHeads) + keyHead;

                double Bias(int j)
                {
                    if (BiasShape is not { } shape) return 0;
                    int biasBatch = shape.Rank == 4 && shape[0] > 1 ? batch : 0, biasHead = shape[-3] > 1 ? head : 0;
                    return x[3][(((((biasBatch * shape[-3]) + biasHead) * Queries) + query) * Keys) + j];
                }
            }

            return output;
        }

        private double Dot(double[] left, int leftRow, double[] right, int rightRow)
        {
            double sum = 0;
            for (int c = 0; c < HeadSize; c++) sum += left[(leftRow * HeadSize) + c] * right[(rightRow * HeadSize) + c];
            return sum;
        }
    }
}
