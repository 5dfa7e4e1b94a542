using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>Attention and its gradients in double precision. The first sequence of several sees no key, and the biases hold the extremes.</summary>
internal sealed class AttentionReference
{
    private readonly double[] _largest, _inverse;

    public AttentionReference(in AttentionShape shape, bool hasMask, bool hasBias)
    {
        int rows = shape.Batch * shape.Heads * shape.QueryLength;
        Query = TensorCoreDevice.Numbers(rows * shape.HeadSize, 1, 1.5f);
        Key = TensorCoreDevice.Numbers(shape.Batch * shape.KeyValueHeads * shape.KeyLength * shape.HeadSize, 2, 1.5f);
        Value = TensorCoreDevice.Numbers(Key.Length, 3);
        OutputGradient = TensorCoreDevice.Numbers(Query.Length, 4);
        if (hasMask)
        {
            Random random = new(5);
            KeyMask = new int[shape.Batch * shape.KeyLength];
            for (int i = shape.Batch > 1 ? shape.KeyLength : 0; i < KeyMask.Length; i++) KeyMask[i] = Math.Sign(random.Next(4));
        }

        if (hasBias)
        {
            int biases = shape.BiasBatchStride > 0 ? shape.Batch * shape.BiasBatchStride : Math.Max(1, shape.Heads) * shape.BiasHeadStride;
            Bias = TensorCoreDevice.Numbers(biases, 6, 2f);
            for (int j = 0; j < shape.KeyLength; j++)
            {
                Bias[j] = float.MinValue;
                if (j % 3 == 0) Bias[shape.KeyLength + j] = float.NegativeInfinity;
                Bias[(2 * shape.KeyLength) + j] = float.NegativeInfinity;
            }
        }

        (Output, QueryGradient, KeyGradient, ValueGradient) = (new double[Query.Length], new double[Query.Length], new double[Key.Length], new double[Key.Length]);
        (_largest, _inverse) = (new double[rows], new double[rows]);
        for (int batch = 0; batch < shape.Batch; batch++)
            for (int head = 0; head < shape.Heads; head++)
                for (int i = 0; i < shape.QueryLength; i++) Row(shape, batch, head, i);
    }

    public float[] Query { get; }

    public float[] Key { get; }

    public float[] Value { get; }

    public float[] OutputGradient { get; }

    public int[]? KeyMask { get; }

    public float[]? Bias { get; }

    public double[] Output { get; }

    public double[] QueryGradient { get; }

    public double[] KeyGradient { get; }

    public double[] ValueGradient { get; }

    public void AssertStatistics(float[] actual, double tolerance)
    {
        for (int i = 0; i < _largest.Length; i++)
        {
            Assert.True(Math.Abs(_largest[i] - actual[i]) <= tolerance * Math.Max(1, Math.Abs(_largest[i])), $"Largest score {i} is {actual[i]}, not {_largest[i]}.");
            Assert.True(Math.Abs(_inverse[i] - actual[_largest.Length + i]) <= tolerance * _inverse[i], $"Inverse sum {i} is {actual[_largest.Length + i]}, not {_inverse[i]}.");
        }
    }

    private void Row(in AttentionShape shape, int batch, int head, int i)
    {
        int size = shape.HeadSize, row = (((batch * shape.Heads) + head) * shape.QueryLength) + i;
        int query = ((((batch * shape.QueryLength) + i) * shape.Heads) + head) * size, keyValueHead = head / (shape.Heads / shape.KeyValueHeads);
        double[] weights = new double[shape.KeyLength];
        double largest = double.NegativeInfinity, sum = 0, delta = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            // Scores are floats, which matters where a bias is as low as a float goes.
            float score = (float)(shape.Scale * Dot(Query, query, Key, KeyRow(shape, batch, keyValueHead, j), size));
            if (Bias is not null) score += Bias[(batch * shape.BiasBatchStride) + (head * shape.BiasHeadStride) + (i * shape.KeyLength) + j];
            bool isHidden = (KeyMask is not null && KeyMask[(batch * shape.KeyLength) + j] == 0) || (shape.Causal && j > i + shape.KeyLength - shape.QueryLength);
            weights[j] = isHidden ? double.NegativeInfinity : score;
            largest = Math.Max(largest, weights[j]);
        }

        if (double.IsNegativeInfinity(largest)) return;
        for (int j = 0; j < weights.Length; j++) sum += weights[j] = Math.Exp(weights[j] - largest);
        (_largest[row], _inverse[row]) = (largest, 1 / sum);
        for (int j = 0; j < weights.Length; j++)
            for (int d = 0; d < size; d++) Output[query + d] += weights[j] / sum * Value[KeyRow(shape, batch, keyValueHead, j) + d];
        for (int d = 0; d < size; d++) delta += Output[query + d] * OutputGradient[query + d];
        for (int j = 0; j < weights.Length; j++)
        {
            int key = KeyRow(shape, batch, keyValueHead, j);
            double p = weights[j] / sum, ds = p * (Dot(OutputGradient, query, Value, key, size) - delta) * shape.Scale;
            for (int d = 0; d < size; d++)
            {
                ValueGradient[key + d] += p * OutputGradient[query + d];
                KeyGradient[key + d] += ds * Query[query + d];
                QueryGradient[query + d] += ds * Key[key + d];
            }
        }
    }

    private static int KeyRow(in AttentionShape shape, int batch, int head, int j) => ((((batch * shape.KeyLength) + j) * shape.KeyValueHeads) + head) * shape.HeadSize;

    private static double Dot(float[] a, int firstA, float[] b, int firstB, int length)
    {
        double sum = 0;
        for (int i = 0; i < length; i++) sum += (double)a[firstA + i] * b[firstB + i];
        return sum;
    }
}
