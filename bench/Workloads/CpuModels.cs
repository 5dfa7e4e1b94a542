using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>
/// Whole models, with random weights. Operations are those of the matrix products and of the attention; backward counts twice those of forward.
/// Bytes are the weights once for each pass over them, the images, and the results.
/// </summary>
internal static class CpuModels
{
    private const int Classes = 1000;

    /// <summary>
    /// Traffic of a training step for each parameter: read in both passes, its gradient written; AdamW reads parameter, gradient and two moments and
    /// writes all but the gradient.
    /// </summary>
    public const double FloatsPerTrainedParameter = 3 + FloatsPerAdamParameter;

    private const double FloatsPerAdamParameter = 7;

    /// <summary>One step over the parameters of a model, each with a gradient.</summary>
    public static Workload AdamW(string name, VisionTransformerConfig config)
    {
        double parameters = VitParameters(config);
        return new(name, 14 * parameters, CpuOperations.Floats(FloatsPerAdamParameter * parameters), device =>
        {
            CpuOperands operands = new(device);
            VisionTransformer model = operands.Keep(new VisionTransformer(config, pooler: false));
            model.Initialize(device);
            foreach ((_, Parameter parameter) in model.NamedParameters()) operands.Fill(parameter.Value.GradientTarget().Buffer);
            AdamW optimizer = operands.Keep(NewOptimizer(model));
            return new PreparedWorkload(optimizer.Step, operands);
        });
    }

    /// <summary>Bytes of an element.</summary>
    public static int BytesOf(WeightFormat format) => format switch { WeightFormat.BFloat16 => 2, WeightFormat.Int8 => 1, _ => 4 };

    /// <summary>What the name of a workload ends with when its weights are packed in a format.</summary>
    public static string SuffixOf(WeightFormat format) => format switch { WeightFormat.BFloat16 => "bf16", WeightFormat.Int8 => "int8", _ => "packed" };

    /// <summary>Inference with packed weights.</summary>
    public static Workload VitForward(string name, VisionTransformerConfig config, int batch, WeightFormat format = WeightFormat.Float32)
    {
        double bytes = (VitParameters(config) * BytesOf(format)) + CpuOperations.Floats(Pixels(batch, config.Channels, config.ImageSize) + ((double)batch * (config.PatchCount + 1) * config.Width));
        return new(name, VitOperations(config, batch), bytes, device =>
        {
            CpuOperands operands = new(device);
            VisionTransformer model = operands.Keep(new VisionTransformer(config, pooler: false));
            model.Initialize(device);
            model.Evaluate();
            model.PackWeights(format);
            Tensor images = operands.RandomTensor([batch, config.Channels, config.ImageSize, config.ImageSize]);
            return CpuOperations.InScope(() => model.Forward(images), operands);
        });
    }

    /// <summary>An image classifier: forward, cross entropy, backward, AdamW.</summary>
    public static Workload VitTrainingStep(string name, VisionTransformerConfig config, int batch)
    {
        double bytes = CpuOperations.Floats((FloatsPerTrainedParameter * (VitParameters(config) + ((double)Classes * config.Width))) + Pixels(batch, config.Channels, config.ImageSize));
        return new(name, 3 * VitOperations(config, batch), bytes, device =>
        {
            CpuOperands operands = new(device);
            VisionTransformerClassifier model = operands.Keep(new VisionTransformerClassifier(config, [.. Enumerable.Range(0, Classes).Select(label => $"class {label}")]));
            Tensor images = operands.RandomTensor([batch, config.Channels, config.ImageSize, config.ImageSize]);
            IndexTensor labels = operands.RandomIndices([batch], Classes);
            return TrainingStep(model, () => model.Loss(images, labels), operands);
        });
    }

    public static Workload BertForward(string name, int batch, int tokens)
    {
        BertConfig config = BertConfig.Base;
        double bytes = CpuOperations.Floats(BlockParameters(config.Width, config.HiddenWidth, config.Layers) + (2.0 * batch * tokens * config.Width));
        return new(name, BlockOperations(batch, tokens, config.Width, config.HiddenWidth, config.Layers), bytes, device =>
        {
            CpuOperands operands = new(device);
            Bert model = operands.Keep(new Bert(config, pooler: false));
            model.Initialize(device);
            model.Evaluate();
            model.PackWeights();
            IndexTensor ids = operands.RandomTexts(batch, tokens, config.VocabularySize, endId: 102);
            return CpuOperations.InScope(() => model.Forward(new TextBatch(ids)), operands);
        });
    }

    /// <summary>The text tower of CLIP ViT-B/32: token ids to normalised hidden states.</summary>
    public static Workload ClipTextForward(string name, int batch)
    {
        ClipConfig config = ClipConfig.VitB32;
        ClipTowerConfig text = config.Text;
        double bytes = CpuOperations.Floats(BlockParameters(text.Width, text.HiddenWidth, text.Layers) + (2.0 * batch * config.ContextLength * text.Width));
        return new(name, BlockOperations(batch, config.ContextLength, text.Width, text.HiddenWidth, text.Layers, causal: true), bytes, device =>
        {
            CpuOperands operands = new(device);
            ClipTextEncoder model = operands.Keep(new Clip(config)).TextEncoder;
            model.Initialize(device);
            model.Evaluate();
            model.PackWeights();
            IndexTensor ids = operands.RandomTexts(batch, config.ContextLength, config.VocabularySize, config.EndTokenId);
            return CpuOperations.InScope(() => model.Forward(new TextBatch(ids)), operands);
        });
    }

    /// <summary>Both towers, contrastive loss, backward, AdamW.</summary>
    public static Workload ClipTrainingStep(string name, int batch)
    {
        ClipConfig config = ClipConfig.Small;
        ClipTowerConfig vision = config.Vision, text = config.Text;
        double patches = PatchOperations(batch, config.PatchCount, config.Channels, config.PatchSize, vision.Width);
        double towers = BlockOperations(batch, config.PatchCount + 1, vision.Width, vision.HiddenWidth, vision.Layers)
            + BlockOperations(batch, config.ContextLength, text.Width, text.HiddenWidth, text.Layers, causal: true);
        double parameters = BlockParameters(vision.Width, vision.HiddenWidth, vision.Layers) + BlockParameters(text.Width, text.HiddenWidth, text.Layers)
            + ((double)config.VocabularySize * text.Width);
        double bytes = CpuOperations.Floats((FloatsPerTrainedParameter * parameters) + Pixels(batch, config.Channels, config.ImageSize));
        return new(name, 3 * (patches + towers), bytes, device =>
        {
            CpuOperands operands = new(device);
            Clip model = operands.Keep(new Clip(config));
            Tensor images = operands.RandomTensor([batch, config.Channels, config.ImageSize, config.ImageSize]);
            IndexTensor ids = operands.RandomTexts(batch, config.ContextLength, config.VocabularySize, config.EndTokenId);
            return TrainingStep(model, () => model.Loss(images, new TextBatch(ids)), operands);
        });
    }

    /// <summary>The encoder of a masked autoencoder on the patches that it sees; those of ratio 0 are all.</summary>
    public static Workload MaeEncoder(string name, MaeConfig config, int batch)
    {
        VisionTransformerConfig encoder = config.Encoder;
        double bytes = CpuOperations.Floats(VitParameters(encoder) + Pixels(batch, encoder.Channels, encoder.ImageSize));
        return new(name, MaeEncoderOperations(config, batch), bytes, device =>
        {
            CpuOperands operands = new(device);
            Mae model = operands.Keep(new Mae(config));
            model.Initialize(device);
            model.Evaluate();
            model.PackWeights();
            Tensor images = operands.RandomTensor([batch, encoder.Channels, encoder.ImageSize, encoder.ImageSize]);
            return CpuOperations.InScope(() => model.Encode(images, model.DrawPatches(batch, device)), operands);
        });
    }

    /// <summary>Drawing patches, encoder, decoder, loss, backward, AdamW.</summary>
    public static Workload MaeTrainingStep(string name, MaeConfig config, int batch)
    {
        VisionTransformerConfig encoder = config.Encoder;
        double decoder = BlockOperations(batch, encoder.PatchCount + 1, config.DecoderWidth, config.DecoderHiddenWidth, config.DecoderLayers)
            + (2.0 * batch * encoder.PatchCount * config.DecoderWidth * config.PatchLength);
        double parameters = VitParameters(encoder) + BlockParameters(config.DecoderWidth, config.DecoderHiddenWidth, config.DecoderLayers);
        double bytes = CpuOperations.Floats((FloatsPerTrainedParameter * parameters) + Pixels(batch, encoder.Channels, encoder.ImageSize));
        return new(name, 3 * (MaeEncoderOperations(config, batch) + decoder), bytes, device =>
        {
            CpuOperands operands = new(device);
            Mae model = operands.Keep(new Mae(config));
            Tensor images = operands.RandomTensor([batch, encoder.Channels, encoder.ImageSize, encoder.ImageSize]);
            return TrainingStep(model, () => model.Loss(images), operands);
        });
    }

    private static double MaeEncoderOperations(MaeConfig config, int batch)
        => PatchOperations(batch, config.KeptCount, config.Encoder.Channels, config.Encoder.PatchSize, config.Encoder.Width)
        + BlockOperations(batch, config.KeptCount + 1, config.Encoder.Width, config.Encoder.HiddenWidth, config.Encoder.Layers);

    private static PreparedWorkload TrainingStep(Module model, Func<Tensor> loss, CpuOperands operands)
    {
        model.Initialize(operands.Device);
        model.Train();
        AdamW optimizer = operands.Keep(NewOptimizer(model));
        return new PreparedWorkload(
            () =>
            {
                using Tape tape = Tape.Record();
                tape.Backward(loss());
                optimizer.Step();
                optimizer.ClearGradients();
            },
            operands);
    }

    public static AdamW NewOptimizer(Module model) => new(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.1), 1e-3);

    public static double VitOperations(VisionTransformerConfig config, int batch)
        => PatchOperations(batch, config.PatchCount, config.Channels, config.PatchSize, config.Width)
        + BlockOperations(batch, config.PatchCount + 1, config.Width, config.HiddenWidth, config.Layers);

    public static double VitParameters(VisionTransformerConfig config)
        => BlockParameters(config.Width, config.HiddenWidth, config.Layers) + ((double)config.Width * config.Channels * config.PatchSize * config.PatchSize);

    public static double Pixels(int batch, int channels, int size) => (double)batch * channels * size * size;

    private static double PatchOperations(int batch, int patches, int channels, int patchSize, int width) => 2.0 * batch * patches * channels * patchSize * patchSize * width;

    /// <summary>Products of the transformer blocks: four projections, two layers of the MLP, scores and weighted values.</summary>
    public static double BlockOperations(int batch, int tokens, int width, int hiddenWidth, int layers, bool causal = false)
        => 2.0 * layers * batch * tokens * ((4.0 * width * width) + (2.0 * width * hiddenWidth) + ((causal ? tokens + 1.0 : 2.0 * tokens) * width));

    public static double BlockParameters(int width, int hiddenWidth, int layers) => (double)layers * ((4.0 * width * width) + (2.0 * width * hiddenWidth));
}
