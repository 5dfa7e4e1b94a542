using MiniVlp.Autograd;
using MiniVlp.Models;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>The workloads of <c>minivlp bench --suite cpu</c>, of the BenchmarkDotNet suites and of the comparison with other libraries.</summary>
public static class CpuSuite
{
    /// <summary>All, from small to large.</summary>
    public static IReadOnlyList<Workload> All { get; } =
    [
        Gemm(256, 256, 256), Gemm(512, 512, 512), Gemm(1024, 1024, 1024), Gemm(2048, 2048, 2048),
        Gemm(1576, 3072, 768), Gemm(1576, 768, 3072), Gemm(50, 3072, 768), Gemm(1, 3072, 768, countsBytes: true),
        Attention(8, 12, 197, 64),
        OneOperand("layernorm_1576x768", [1576, 768], x => x.LayerNorm()),
        OneOperand("gelu_1576x3072", [1576, 3072], x => x.Gelu()),
        OneOperand("softmax_4096x4096", [4096, 4096], x => x.Softmax()),
        VitForward("vit_b32_fwd_b1", 1), VitForward("vit_b32_fwd_b8", 8),
        BertForward("bert_base_fwd_b8_s128", 8, 128),
        ClipTrainingStep("clip_small_train_step_b64", 64),
    ];

    /// <summary>[m, k] by the transpose of [n, k], as a linear layer has it.</summary>
    private static Workload Gemm(int m, int n, int k, bool countsBytes = false)
        => new($"gemm_{m}x{n}x{k}", countsBytes ? 0 : 2.0 * m * n * k, countsBytes ? 4.0 * ((m * k) + (n * k) + (m * n)) : 0, device =>
        {
            Tensor x = Random([m, k], 1, device), weight = Random([n, k], 2, device);
            return InScope(() => x.MatMul(weight, transposeRight: true), x, weight);
        });

    private static Workload Attention(int batch, int heads, int tokens, int headSize)
        => new($"sdpa_{batch}x{heads}x{tokens}x{headSize}", 4.0 * batch * heads * tokens * tokens * headSize, 0, device =>
        {
            Shape shape = [batch, tokens, heads * headSize];
            Tensor query = Random(shape, 1, device), key = Random(shape, 2, device), value = Random(shape, 3, device);
            return InScope(() => query.Attention(key, value, new AttentionOptions(heads)), query, key, value);
        });

    /// <summary>Reads its operand once and writes as much.</summary>
    private static Workload OneOperand(string name, Shape shape, Func<Tensor, Tensor> operation)
        => new(name, 0, 8.0 * shape.Length, device =>
        {
            Tensor x = Random(shape, 1, device);
            return InScope(() => operation(x), x);
        });

    private static Workload VitForward(string name, int batch)
    {
        VisionTransformerConfig config = VisionTransformerConfig.Base32;
        double patches = 2.0 * batch * config.PatchCount * config.Channels * config.PatchSize * config.PatchSize * config.Width;
        return new(name, patches + BlockOperations(batch, config.PatchCount + 1, config.Width, config.HiddenWidth, config.Layers), 0, device =>
        {
            VisionTransformer model = new(config, pooler: false);
            model.Initialize(device);
            model.Evaluate();
            Tensor images = Random([batch, config.Channels, config.ImageSize, config.ImageSize], 1, device);
            return InScope(() => model.Forward(images), model, images);
        });
    }

    private static Workload BertForward(string name, int batch, int tokens)
    {
        BertConfig config = BertConfig.Base;
        return new(name, BlockOperations(batch, tokens, config.Width, config.HiddenWidth, config.Layers), 0, device =>
        {
            Bert model = new(config, pooler: false);
            model.Initialize(device);
            model.Evaluate();
            IndexTensor ids = RandomIds([batch, tokens], config.VocabularySize, device, endId: 102);
            return InScope(() => model.Forward(new TextBatch(ids)), model, ids);
        });
    }

    /// <summary>Both towers, contrastive loss, backward, AdamW; backward counts twice the operations of forward.</summary>
    private static Workload ClipTrainingStep(string name, int batch)
    {
        ClipConfig config = ClipConfig.Small;
        double patches = 2.0 * batch * config.PatchCount * config.Channels * config.PatchSize * config.PatchSize * config.Vision.Width;
        double towers = BlockOperations(batch, config.PatchCount + 1, config.Vision.Width, config.Vision.HiddenWidth, config.Vision.Layers)
            + BlockOperations(batch, config.ContextLength, config.Text.Width, config.Text.HiddenWidth, config.Text.Layers);
        return new(name, 3 * (patches + towers), 0, device =>
        {
            Clip model = new(config);
            model.Initialize(device);
            model.Train();
            AdamW optimizer = new(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.1), 1e-3);
            Tensor images = Random([batch, config.Channels, config.ImageSize, config.ImageSize], 1, device);
            IndexTensor ids = RandomIds([batch, config.ContextLength], config.VocabularySize, device, config.EndTokenId);
            return new PreparedWorkload(
                () =>
                {
                    using Tape tape = Tape.Record();
                    tape.Backward(model.Loss(images, new TextBatch(ids)));
                    optimizer.Step();
                    optimizer.ClearGradients();
                },
                model,
                optimizer,
                images,
                ids);
        });
    }

    /// <summary>Products of the transformer blocks: four projections, two layers of the MLP, scores and weighted values.</summary>
    public static double BlockOperations(int batch, int tokens, int width, int hiddenWidth, int layers)
        => 2.0 * layers * batch * tokens * ((4.0 * width * width) + (2.0 * width * hiddenWidth) + (2.0 * tokens * width));

    /// <summary>Uniform in [-1, 1).</summary>
    public static Tensor Random(Shape shape, int seed, Device device)
    {
        Random random = new(seed);
        float[] values = new float[shape.Length];
        foreach (ref float value in values.AsSpan()) value = (2f * random.NextSingle()) - 1f;
        return Tensor.FromArray(values, shape, device);
    }

    /// <summary>Texts of the full length that end with the end token.</summary>
    private static IndexTensor RandomIds(Shape shape, int vocabulary, Device device, int endId)
    {
        Random random = new(1);
        int[] ids = new int[shape.Length];
        for (int i = 0; i < ids.Length; i++) ids[i] = (i + 1) % shape[-1] == 0 ? endId : random.Next(vocabulary);
        return IndexTensor.FromArray(ids, shape, device);
    }

    private static PreparedWorkload InScope(Func<Tensor> run, params IDisposable[] operands)
        => new(
            () =>
            {
                using TensorScope scope = new();
                run();
            },
            operands);
}
