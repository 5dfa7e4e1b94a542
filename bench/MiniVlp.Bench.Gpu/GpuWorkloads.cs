using MiniVlp.Autograd;
using MiniVlp.Bench.Workloads;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Gpu;

/// <summary>
/// The workloads with their operands on a device: uniform random numbers, since a card that multiplies zeros draws less power and runs faster.
/// Kernels are called as the operations call them, without the tape around them; the loss and the models with it.
/// </summary>
internal static class GpuWorkloads
{
    /// <summary>A step by the trainer, which records its graph itself.</summary>
    public const string TrainerStep = "clip_trainer";

    private const float Epsilon = 1e-5f;

    /// <summary>Makes a workload ready to run.</summary>
    /// <exception cref="NotSupportedException">The kind, the model or the precision is unknown, or not for this device.</exception>
    public static PreparedWorkload Prepare(WorkloadSpec spec, Device device)
    {
        Operands operands = new(device.Backend);
        if (device.Backend is GpuBackend gpu)
        {
            gpu.MostAttentionGroups = spec.Stays ? gpu.Multiprocessors : int.MaxValue;
            gpu.UsesWarpgroupAttention = gpu.UsesWarpgroupProducts = !spec.Mma;
        }

        Action run = spec.Kind switch
        {
            "copy" => Copy(spec, operands),
            "gemm" => Gemm(spec, operands),
            "attention" => Attention(spec, operands, isBackward: false),
            "attention_backward" => Attention(spec, operands, isBackward: true),
            "layernorm" => LayerNorm(spec, operands, isBackward: false),
            "layernorm_backward" => LayerNorm(spec, operands, isBackward: true),
            "softmax" => Softmax(spec, operands),
            "adamw" => Adam(spec, operands),
            "contrastive" => Contrastive(spec, device, operands),
            "clip_train" => ClipTrain(spec, device, operands),
            TrainerStep => ClipTrainer(spec, device, operands),
            "clip_infer" => ClipInfer(spec, device, operands),
            _ => throw new NotSupportedException($"There is no workload of kind {spec.Kind}."),
        };
        return new PreparedWorkload(run, operands);
    }

    private static Action Copy(WorkloadSpec spec, Operands operands)
    {
        DeviceBuffer from = operands.Random(spec.Elements, 1), to = operands.Rent(spec.Elements);
        return () => operands.Backend.Copy(from, to);
    }

    /// <summary>[m, k] by the transpose of [n, k], as a linear layer has it.</summary>
    private static Action Gemm(WorkloadSpec spec, Operands operands)
    {
        DeviceBuffer a = operands.Random(checked(spec.M * spec.K), 1), b = operands.Random(checked(spec.N * spec.K), 2), c = operands.Rent(checked(spec.M * spec.N));
        return () => operands.Backend.MatMul(new MatMulArgs(spec.M, spec.N, spec.K) { TransposeB = true }, a, b, c);
    }

    private static Action Attention(WorkloadSpec spec, Operands operands, bool isBackward)
    {
        IBackend backend = operands.Backend;
        int length = checked(spec.Batch * spec.Tokens * spec.Heads * spec.HeadSize);
        DeviceBuffer query = operands.Random(length, 1), key = operands.Random(length, 2), value = operands.Random(length, 3);
        DeviceBuffer output = operands.Rent(length), statistics = operands.Rent(2 * spec.Batch * spec.Heads * spec.Tokens);
        AttentionShape shape = new(
            spec.Batch, spec.Heads, spec.Heads, spec.Tokens, spec.Tokens, spec.HeadSize, spec.HeadSize, 1f / MathF.Sqrt(spec.HeadSize), spec.Causal, 0, 0);
        void Forward() => backend.Attention(shape, query, key, value, default, default, output, statistics);
        if (!isBackward) return Forward;
        Forward();
        DeviceBuffer outputGradient = operands.Random(length, 4);
        AttentionGradients gradients = new(operands.Gradient(length), operands.Gradient(length), operands.Gradient(length), default);
        return () => backend.AttentionBackward(shape, query, key, value, default, default, output, statistics, outputGradient, gradients);
    }

    private static Action LayerNorm(WorkloadSpec spec, Operands operands, bool isBackward)
    {
        IBackend backend = operands.Backend;
        int length = checked(spec.Rows * spec.Columns);
        DeviceBuffer x = operands.Random(length, 1), weight = operands.Random(spec.Columns, 2), bias = operands.Random(spec.Columns, 3);
        DeviceBuffer y = operands.Rent(length), statistics = operands.Rent(2 * spec.Rows);
        void Forward() => backend.LayerNorm(x, weight, bias, Epsilon, spec.Columns, y, statistics);
        if (!isBackward) return Forward;
        Forward();
        DeviceBuffer dy = operands.Random(length, 4);
        GradientTarget dx = operands.Gradient(length), dweight = operands.Gradient(spec.Columns), dbias = operands.Gradient(spec.Columns);
        return () => backend.LayerNormBackward(x, weight, statistics, dy, spec.Columns, dx, dweight, dbias);
    }

    private static Action Softmax(WorkloadSpec spec, Operands operands)
    {
        int length = checked(spec.Rows * spec.Columns);
        DeviceBuffer x = operands.Random(length, 1), y = operands.Rent(length);
        return () => operands.Backend.Softmax(x, spec.Columns, y);
    }

    private static Action Adam(WorkloadSpec spec, Operands operands)
    {
        DeviceBuffer parameters = operands.Random(spec.Elements, 1), gradient = operands.Random(spec.Elements, 2);
        DeviceBuffer first = operands.Random(spec.Elements, 3), second = operands.Rent(spec.Elements);
        operands.Backend.RandomUniform(second, 0f, 1f, new RandomStream(4, 0));
        AdamStep step = new(0.9f, 0.1f, 0.999f, 1e-3f, 1e-8f, 1f, 1f, 1e-6f, 0.1f, IsDecoupled: true);
        return () => operands.Backend.Adam([new AdamSegment(step, parameters, gradient, first, second)]);
    }

    /// <summary>The symmetric loss over embeddings of unit length, and the gradients of both sides and of the scale.</summary>
    private static Action Contrastive(WorkloadSpec spec, Device device, Operands operands)
    {
        Tensor image = operands.UnitRows(spec.Batch, spec.Columns, 1, device), text = operands.UnitRows(spec.Batch, spec.Columns, 2, device);
        Tensor scale = operands.Keep(Tensor.FromArray([1f / 0.07f], [], device));
        image.NeedsGradient = text.NeedsGradient = scale.NeedsGradient = true;
        return () =>
        {
            using Tape tape = Tape.Record();
            tape.Backward(image.SoftmaxContrastive(text, scale));
            image.ClearGradient();
            text.ClearGradient();
            scale.ClearGradient();
        };
    }

    /// <summary>Both towers, the contrastive loss, the backward pass and AdamW.</summary>
    private static Action ClipTrain(WorkloadSpec spec, Device device, Operands operands)
    {
        (Clip model, Tensor images, TextBatch texts) = Clip(spec, device, operands);
        model.Train();
        AdamW optimizer = operands.Keep(new AdamW(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.1), 1e-5));
        return () =>
        {
            using Tape tape = Tape.Record();
            tape.Backward(model.Loss(images, texts));
            optimizer.Step();
            optimizer.ClearGradients();
        };
    }

    /// <summary>A step as a training takes it: a <see cref="Trainer"/> that clips the gradients and tells the loss, with or without a <see cref="LossGraph"/>.</summary>
    private static Action ClipTrainer(WorkloadSpec spec, Device device, Operands operands)
    {
        (Clip model, Tensor images, TextBatch texts) = Clip(spec, device, operands);
        model.Train();
        AdamW optimizer = new(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.1), 1e-5);
        Trainer trainer = operands.Keep(new Trainer(model, optimizer, new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-5) }));
        if (!spec.Graph) return () => trainer.TrainStep(() => model.Loss(images, texts));
        LossGraph graph = operands.Keep(new LossGraph(() => model.Loss(images, texts)));
        return () => trainer.TrainStep(graph);
    }

    /// <summary>Both towers' embeddings.</summary>
    private static Action ClipInfer(WorkloadSpec spec, Device device, Operands operands)
    {
        (Clip model, Tensor images, TextBatch texts) = Clip(spec, device, operands);
        model.Evaluate();
        model.PackWeights();       // or a graph would convert the weights in each launch, as they might have changed
        return () =>
        {
            using TensorScope scope = new();
            model.EncodeImage(images);
            model.EncodeText(texts);
        };
    }

    private static (Clip Model, Tensor Images, TextBatch Texts) Clip(WorkloadSpec spec, Device device, Operands operands)
    {
        ClipConfig config = spec.Model switch
        {
            "vit_b32" => ClipConfig.VitB32,
            "small" => ClipConfig.Small,
            _ => throw new NotSupportedException($"There is no model {spec.Model}."),
        };
        Clip model = operands.Keep(new Clip(config));
        model.Initialize(device);
        int[] shape = [spec.Batch, config.Channels, config.ImageSize, config.ImageSize];
        Tensor images = operands.Uniform(shape, 5, device);
        Random random = new(6);
        int[] ids = [.. Enumerable.Range(0, spec.Batch * config.ContextLength).Select(i => (i + 1) % config.ContextLength == 0 ? config.EndTokenId : random.Next(config.EndTokenId == 3 ? 4 : 0, config.VocabularySize - 2))];
        return (model, images, new TextBatch(operands.Keep(IndexTensor.FromArray(ids, [spec.Batch, config.ContextLength], device))));
    }
}
