using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Attention over many tokens: values and gradients against double precision, the same bits each time, memory linear in the tokens.</summary>
public sealed class GpuAttentionTests
{
    /// <summary>Head sizes that are fast (one tile, two tiles), wider than what one group takes, and odd; causal or not, more keys than queries and fewer.</summary>
    private static readonly AttentionShape[] Shapes =
    [
        new(1, 2, 1, 500, 1101, 64, 64, 0.125f, Causal: true, 0, 0),
        new(2, 1, 1, 150, 259, 80, 128, 0.11f, Causal: false, 0, 150 * 259),
        new(1, 2, 2, 131, 70, 200, 136, 0.07f, Causal: true, 0, 0),
        new(3, 2, 1, 67, 66, 33, 9, 0.2f, Causal: false, 2 * 67 * 66, 67 * 66),
    ];

    public static TheoryData<string, AttentionShape> Cases()
    {
        TheoryData<string, AttentionShape> cases = [];
        foreach (string device in GpuDevices.Names)
            foreach (AttentionShape shape in Shapes)
                cases.Add(device, shape);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Attention_equals_double_precision_and_always_has_the_same_bits(string name, AttentionShape shape)
    {
        IBackend backend = GpuDevices.RequireFast(name).Backend;
        int rented = backend.RentedCount;
        Operands operands = new(shape);
        Results first = Run(backend, operands), again = Run(backend, operands);
        for (int i = 0; i < first.All.Length; i++) OpRunner.AssertSameBits(first.All[i], again.All[i], $"result {i} again");

        double[][] expected = Reference(operands);
        for (int i = 0; i < expected.Length; i++) OpRunner.AssertClose(expected[i], first.All[i], 2e-6, Results.Names[i]);
        Assert.Equal(rented, backend.RentedCount);
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Memory_is_linear_in_the_tokens(string name)
    {
        GpuBackend backend = (GpuBackend)GpuDevices.RequireFast(name).Backend;
        long small = Peak(192), large = Peak(768);
        Assert.InRange(large, small, 5 * small);

        long Peak(int tokens)
        {
            backend.Trim();
            long before = backend.RentedBytes + backend.CachedBytes;
            _ = Run(backend, new Operands(new AttentionShape(1, 1, 1, tokens, tokens, 8, 8, 0.3f, Causal: false, 0, 0)));
            return backend.RentedBytes + backend.CachedBytes - before;
        }
    }

    private static Results Run(IBackend backend, Operands operands)
    {
        AttentionShape shape = operands.Shape;
        int rows = shape.Batch * shape.Heads * shape.QueryLength;
        List<DeviceBuffer> buffers = [];
        DeviceBuffer query = Upload(operands.Query), key = Upload(operands.Key), value = Upload(operands.Value), outputGradient = Upload(operands.OutputGradient);
        DeviceBuffer bias = operands.Bias.Length == 0 ? default : Upload(operands.Bias), mask = backend.Rent(operands.Mask.Length, ElementType.Int32);
        backend.Upload(operands.Mask, mask);
        buffers.Add(mask);
        DeviceBuffer output = Rent(operands.OutputGradient.Length), statistics = Rent(2 * rows);
        DeviceBuffer dQuery = Rent(operands.Query.Length), dKey = Rent(operands.Key.Length), dValue = Rent(operands.Value.Length);
        DeviceBuffer dBias = operands.Bias.Length == 0 ? default : Rent(operands.Bias.Length);
        backend.Attention(shape, query, key, value, mask, bias, output, statistics);
        backend.AttentionBackward(
            shape, query, key, value, mask, bias, output, statistics, outputGradient,
            new(new(dQuery, false), new(dKey, false), new(dValue, false), new(dBias, false)));
        Results results = new([Download(output), Download(statistics), Download(dQuery), Download(dKey), Download(dValue), Download(dBias)]);
        foreach (DeviceBuffer buffer in buffers) backend.Return(buffer);
        return results;

        DeviceBuffer Rent(int length)
        {
            buffers.Add(backend.Rent(length));
            return buffers[^1];
        }

        DeviceBuffer Upload(float[] values)
        {
            DeviceBuffer buffer = Rent(values.Length);
            backend.Upload(values, buffer);
            return buffer;
        }

        float[] Download(DeviceBuffer buffer)
        {
            float[] values = new float[buffer.Length];
            backend.Download(buffer, values);
            return values;
        }
    }

    /// <summary>The formulas of the contract, one row of scores at a time.</summary>
    private static double[][] Reference(Operands operands)
    {
        AttentionShape shape = operands.Shape;
        int rows = shape.Batch * shape.Heads * shape.QueryLength, size = shape.HeadSize, valueSize = shape.ValueHeadSize;
        double[] output = new double[operands.OutputGradient.Length], statistics = new double[2 * rows], dQuery = new double[operands.Query.Length];
        double[] dKey = new double[operands.Key.Length], dValue = new double[operands.Value.Length], dBias = new double[operands.Bias.Length];
        for (int row = 0; row < rows; row++)
        {
            int i = row % shape.QueryLength, head = row / shape.QueryLength % shape.Heads, batch = row / shape.QueryLength / shape.Heads;
            int token = (((batch * shape.QueryLength) + i) * shape.Heads) + head, query = token * size, result = token * valueSize;
            int bias = (batch * shape.BiasBatchStride) + (head * shape.BiasHeadStride) + (i * shape.KeyLength);
            double[] scores = new double[shape.KeyLength];
            for (int j = 0; j < shape.KeyLength; j++)
            {
                bool isVisible = operands.Mask[(batch * shape.KeyLength) + j] != 0 && (!shape.Causal || j <= i + shape.KeyLength - shape.QueryLength);
                if (!isVisible) scores[j] = double.NegativeInfinity;
                else scores[j] = (shape.Scale * Dot(operands.Query, query, operands.Key, Key(j) * size, size)) + (operands.Bias.Length > 0 ? operands.Bias[bias + j] : 0);
            }

            double largest = scores.Max(), sum = scores.Sum(score => double.IsNegativeInfinity(score) ? 0 : Math.Exp(score - largest));
            if (sum == 0) continue;
            (statistics[row], statistics[rows + row]) = (largest, 1 / sum);
            double dot = 0;
            for (int j = 0; j < shape.KeyLength; j++)
            {
                double weight = scores[j] = Math.Exp(scores[j] - largest) / sum;
                for (int c = 0; c < valueSize; c++)
                {
                    output[result + c] += weight * operands.Value[(Key(j) * valueSize) + c];
                    dValue[(Key(j) * valueSize) + c] += weight * operands.OutputGradient[result + c];
                }
            }

            for (int c = 0; c < valueSize; c++) dot += output[result + c] * operands.OutputGradient[result + c];
            for (int j = 0; j < shape.KeyLength; j++)
            {
                double gradient = scores[j] * (Dot(operands.OutputGradient, result, operands.Value, Key(j) * valueSize, valueSize) - dot);
                if (dBias.Length > 0) dBias[bias + j] += gradient;
                for (int c = 0; c < size; c++)
                {
                    dQuery[query + c] += shape.Scale * gradient * operands.Key[(Key(j) * size) + c];
                    dKey[(Key(j) * size) + c] += shape.Scale * gradient * operands.Query[query + c];
                }
            }

            int Key(int j) => (((batch * shape.KeyLength) + j) * shape.KeyValueHeads) + (head / (shape.Heads / shape.KeyValueHeads));
        }

        return [output, statistics, dQuery, dKey, dValue, dBias];
    }

    private static double Dot(float[] left, int leftStart, float[] right, int rightStart, int length)
    {
        double sum = 0;
        for (int i = 0; i < length; i++) sum += (double)left[leftStart + i] * right[rightStart + i];
        return sum;
    }

    /// <summary>Drawn operands; every seventh key is padding, and a bias is there when the shape has a stride for it.</summary>
    private sealed class Operands
    {
        public Operands(AttentionShape shape)
        {
            Shape = shape;
            Query = Values(shape.Batch * shape.QueryLength * shape.Heads * shape.HeadSize, 1);
            Key = Values(shape.Batch * shape.KeyLength * shape.KeyValueHeads * shape.HeadSize, 2);
            Value = Values(shape.Batch * shape.KeyLength * shape.KeyValueHeads * shape.ValueHeadSize, 3);
            OutputGradient = Values(shape.Batch * shape.QueryLength * shape.Heads * shape.ValueHeadSize, 4);
            int heads = shape.BiasHeadStride == 0 ? 0 : shape.Heads, batches = shape.BiasBatchStride == 0 ? 1 : shape.Batch;
            Bias = Values(batches * heads * shape.QueryLength * shape.KeyLength, 5);
            Mask = [.. Enumerable.Range(0, shape.Batch * shape.KeyLength).Select(i => i % 7 == 3 ? 0 : 1)];
        }

        public AttentionShape Shape { get; }

        public float[] Query { get; }

        public float[] Key { get; }

        public float[] Value { get; }

        public float[] OutputGradient { get; }

        public float[] Bias { get; }

        public int[] Mask { get; }

        private static float[] Values(int count, int seed)
        {
            Random random = new(seed);
            return [.. Enumerable.Range(0, count).Select(_ => (2f * random.NextSingle()) - 1f)];
        }
    }

    private sealed record Results(float[][] All)
    {
        public static string[] Names { get; } = ["output", "statistics", "gradient of the query", "gradient of the key", "gradient of the value", "gradient of the bias"];
    }
}
