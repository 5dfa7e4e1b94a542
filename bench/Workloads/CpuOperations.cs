using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>
/// Single operations. Forward passes are called as a user calls them; gradients as the tape calls them, one kernel, since what the tape adds is a
/// few objects, and the gradient that it would start with is a copy that a model never makes.
/// </summary>
internal static class CpuOperations
{
    private const float Epsilon = 1e-5f;

    /// <summary>[m, k] by the transpose of [n, k], as a linear layer has it.</summary>
    public static Workload Gemm(int m, int n, int k) => new($"gemm_{m}x{n}x{k}", 2.0 * m * n * k, Floats(((double)m * k) + ((double)n * k) + ((double)m * n)), device =>
    {
        CpuOperands operands = new(device);
        Tensor x = operands.RandomTensor([m, k]), weight = operands.RandomTensor([n, k]);
        return InScope(() => x.MatMul(weight, transposeRight: true), operands);
    });

    /// <summary>The same by a weight [n, k] that was packed once, as a model that is only run has it; the bytes count the weight in its format.</summary>
    public static Workload PackedGemm(int m, int n, int k, WeightFormat format)
    {
        double bytes = Floats(((double)m * k) + ((double)m * n)) + ((double)n * k * CpuModels.BytesOf(format));
        return new($"gemm_{m}x{n}x{k}_{CpuModels.SuffixOf(format)}", 2.0 * m * n * k, bytes, device =>
        {
            CpuOperands operands = new(device);
            Tensor x = operands.RandomTensor([m, k]), weight = operands.RandomTensor([n, k]);
            PackedWeight packed = operands.Keep(device.Backend.PackWeight(weight.Buffer, n, k, format));
            return InScope(() => x.Linear(packed), operands);
        });
    }

    /// <summary>As many products of [m, k] by the transpose of [n, k], such as the scores of as many heads.</summary>
    public static Workload BatchedGemm(int batch, int m, int n, int k)
        => new($"gemm_b{batch}_{m}x{n}x{k}", 2.0 * batch * m * n * k, Floats((double)batch * ((m * k) + (n * k) + (m * n))), device =>
        {
            CpuOperands operands = new(device);
            Tensor x = operands.RandomTensor([batch, m, k]), y = operands.RandomTensor([batch, n, k]);
            return InScope(() => x.MatMul(y, transposeRight: true), operands);
        });

    /// <summary>softmax(scale · query · keyᵀ) · value for each head.</summary>
    public static Workload Attention(int batch, int heads, int tokens, int headSize, bool causal = false)
    {
        double length = (double)batch * heads * tokens * headSize;
        return new(AttentionName(batch, heads, tokens, headSize, causal), 4 * Pairs(batch, heads, tokens, causal) * headSize, Floats(4 * length), device =>
        {
            CpuOperands operands = new(device);
            Shape shape = [batch, tokens, heads * headSize];
            Tensor query = operands.RandomTensor(shape), key = operands.RandomTensor(shape), value = operands.RandomTensor(shape);
            return InScope(() => query.Attention(key, value, new AttentionOptions(heads) { Causal = causal }), operands);
        });
    }

    /// <summary>Its gradients: the scores again, and four products more. Reads query, key, value, output and its gradient; writes three gradients.</summary>
    public static Workload AttentionBackward(int batch, int heads, int tokens, int headSize, bool causal = false)
    {
        int length = batch * heads * tokens * headSize;
        string name = AttentionName(batch, heads, tokens, headSize, causal) + "_bwd";
        return new(name, 10 * Pairs(batch, heads, tokens, causal) * headSize, Floats(8.0 * length), device =>
        {
            CpuOperands operands = new(device);
            DeviceBuffer query = operands.Random(length), key = operands.Random(length), value = operands.Random(length), outputGradient = operands.Random(length);
            DeviceBuffer output = operands.Rent(length), statistics = operands.Rent(2 * batch * heads * tokens);
            AttentionShape shape = new(batch, heads, heads, tokens, tokens, headSize, headSize, 1f / MathF.Sqrt(headSize), causal, 0, 0);
            AttentionGradients gradients = new(operands.Gradient(length), operands.Gradient(length), operands.Gradient(length), default);
            device.Backend.Attention(shape, query, key, value, default, default, output, statistics);
            return new PreparedWorkload(
                () => device.Backend.AttentionBackward(shape, query, key, value, default, default, output, statistics, outputGradient, gradients), operands);
        });
    }

    /// <summary>Without weight and bias.</summary>
    public static Workload LayerNorm(int rows, int width) => OneOperand($"layernorm_{rows}x{width}", rows, width, operationsPerElement: 7, x => x.LayerNorm());

    /// <summary>Gradients of x, weight and bias; reads x and the gradient of the result, writes the gradient of x.</summary>
    public static Workload LayerNormBackward(int rows, int width) => new($"layernorm_{rows}x{width}_bwd", 14.0 * rows * width, Floats(3.0 * rows * width), device =>
    {
        CpuOperands operands = new(device);
        DeviceBuffer x = operands.Random(rows * width), weight = operands.Random(width), bias = operands.Random(width), dy = operands.Random(rows * width);
        DeviceBuffer y = operands.Rent(rows * width), statistics = operands.Rent(2 * rows);
        GradientTarget dx = operands.Gradient(rows * width), dweight = operands.Gradient(width), dbias = operands.Gradient(width);
        device.Backend.LayerNorm(x, weight, bias, Epsilon, width, y, statistics);
        return new PreparedWorkload(() => device.Backend.LayerNormBackward(x, weight, statistics, dy, width, dx, dweight, dbias), operands);
    });

    public static Workload Gelu(int rows, int width) => OneOperand($"gelu_{rows}x{width}", rows, width, operationsPerElement: 5, x => x.Gelu());

    /// <summary>dy · (Φ(x) + x φ(x)); reads x and dy, writes dx.</summary>
    public static Workload GeluBackward(int rows, int width) => new($"gelu_{rows}x{width}_bwd", 8.0 * rows * width, Floats(3.0 * rows * width), device =>
    {
        CpuOperands operands = new(device);
        DeviceBuffer x = operands.Random(rows * width), y = operands.Rent(rows * width), dy = operands.Random(rows * width);
        GradientTarget dx = operands.Gradient(rows * width);
        device.Backend.Unary<Gelu>(x, y);
        return new PreparedWorkload(() => device.Backend.UnaryBackward<Gelu>(x, y, dy, dx), operands);
    });

    public static Workload Softmax(int rows, int width) => OneOperand($"softmax_{rows}x{width}", rows, width, operationsPerElement: 5, x => x.Softmax());

    /// <summary>y (dy - Σ dy y); reads y and dy, writes dx.</summary>
    public static Workload SoftmaxBackward(int rows, int width) => new($"softmax_{rows}x{width}_bwd", 4.0 * rows * width, Floats(3.0 * rows * width), device =>
    {
        CpuOperands operands = new(device);
        DeviceBuffer y = operands.Random(rows * width), dy = operands.Random(rows * width);
        GradientTarget dx = operands.Gradient(rows * width);
        device.Backend.Softmax(y, width, y);
        return new PreparedWorkload(() => device.Backend.SoftmaxBackward(y, dy, width, dx), operands);
    });

    /// <summary>The mean over the rows; reads the logits once.</summary>
    public static Workload CrossEntropy(int rows, int classes) => new($"crossentropy_{rows}x{classes}", 4.0 * rows * classes, Floats((double)rows * classes), device =>
    {
        CpuOperands operands = new(device);
        Tensor logits = operands.RandomTensor([rows, classes]);
        IndexTensor labels = operands.RandomIndices([rows], classes);
        return InScope(() => logits.CrossEntropy(labels), operands);
    });

    /// <summary>(softmax(logits) - target) / rows; reads the logits, writes their gradient.</summary>
    public static Workload CrossEntropyBackward(int rows, int classes) => new($"crossentropy_{rows}x{classes}_bwd", 4.0 * rows * classes, Floats(2.0 * rows * classes), device =>
    {
        CpuOperands operands = new(device);
        DeviceBuffer logits = operands.Random(rows * classes), statistics = operands.Rent(rows + 1), loss = operands.Rent(1), dloss = operands.Rent(1);
        GradientTarget dlogits = operands.Gradient(rows * classes);
        CrossEntropyShape shape = new(rows, classes, IgnoreIndex: -100, LabelSmoothing: 0f, Reduction.Mean, SubtractEntropy: false);
        CrossEntropyOperands all = new(logits, operands.RandomIndices([rows], classes).Buffer, default, default, statistics);
        device.Backend.Fill(dloss, 1f);
        device.Backend.CrossEntropy(shape, all, loss);
        return new PreparedWorkload(() => device.Backend.CrossEntropyBackward(shape, all, dloss, dlogits), operands);
    });

    /// <summary>Bytes of as many floats.</summary>
    public static double Floats(double count) => sizeof(float) * count;

    /// <summary>Runs in a scope of its own, which takes the results back.</summary>
    public static PreparedWorkload InScope(Func<Tensor> run, CpuOperands operands) => new(
        () =>
        {
            using TensorScope scope = new();
            run();
        },
        operands);

    /// <summary>Reads its operand once and writes as much.</summary>
    private static Workload OneOperand(string name, int rows, int width, double operationsPerElement, Func<Tensor, Tensor> operation)
        => new(name, operationsPerElement * rows * width, Floats(2.0 * rows * width), device =>
        {
            CpuOperands operands = new(device);
            Tensor x = operands.RandomTensor([rows, width]);
            return InScope(() => operation(x), operands);
        });

    private static string AttentionName(int batch, int heads, int tokens, int headSize, bool causal) => $"sdpa_{batch}x{heads}x{tokens}x{headSize}{(causal ? "_causal" : string.Empty)}";

    /// <summary>Pairs of a query and a key that it sees.</summary>
    private static double Pairs(int batch, int heads, int tokens, bool causal) => (double)batch * heads * tokens * (causal ? (tokens + 1) / 2.0 : tokens);
}
