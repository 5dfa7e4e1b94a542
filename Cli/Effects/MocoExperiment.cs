using System.Globalization;
using MiniVlp.Data.Images;
using MiniVlp.Models;

namespace MiniVlp.Cli.Effects;

/// <summary>MoCo in variants: length of the queue, momentum, and where the keys come from (arXiv:1911.05722, figure 3 and tables in section 4.1).</summary>
/// <param name="id">Its name.</param>
/// <param name="varied">What the runs differ in, in words.</param>
/// <param name="variants">The conditions.</param>
internal sealed class MocoExperiment(string id, string varied, IReadOnlyList<(string Name, MocoConfig Config)> variants) : Experiment
{
    private const int BatchSize = 32, Queue = 1024;
    private const double Momentum = 0.99;

    private static readonly VisionTransformerConfig Encoder = new() { ImageSize = 32, PatchSize = 8, Width = 64, Layers = 2, Heads = 4, HiddenWidth = 256 };

    private static readonly MocoConfig Usual = MocoConfig.V2 with { BatchSize = BatchSize, Negatives = Queue, Momentum = Momentum, FeatureSize = 64 };

    /// <summary>K from a batch to a good part of the pictures; head and temperature of version 1, with which the published curve was measured.</summary>
    public static MocoExperiment QueueLength { get; } = new("queue", "the length K of the queue (with τ = 0.07 and the linear head of version 1)",
        [.. new[] { 32, 128, 512, 2048 }.Select(length => (length.ToString("K = 0", CultureInfo.InvariantCulture), MocoConfig.V1 with { BatchSize = BatchSize, Negatives = length, Momentum = Momentum, FeatureSize = Usual.FeatureSize }))]);

    /// <summary>m from a copy of the encoder to one that hardly moves.</summary>
    public static MocoExperiment MomentumValue { get; } = new("momentum", "the momentum m of the key encoder",
        [.. new[] { 0, 0.5, 0.9, 0.99, 0.999 }.Select(value => (value.ToString("m = 0.###", CultureInfo.InvariantCulture), Usual with { Momentum = value }))]);

    /// <summary>The three ways to keep a dictionary of keys.</summary>
    public static MocoExperiment Dictionary { get; } = new("dictionary", "where the keys come from",
        [("queue", Usual), ("memory bank", Usual with { Strategy = MocoStrategy.MemoryBank }), ("end to end", Usual with { Strategy = MocoStrategy.EndToEnd })]);

    public override string Id => id;

    public override IReadOnlyList<string> Conditions { get; } = [.. variants.Select(variant => variant.Name)];

    public override string Protocol(EffectScale scale) => string.Create(CultureInfo.InvariantCulture,
        $"MoCo v2 with a ViT of width 64 and 2 layers (32 pixels in patches of 8), {Steps(scale)} steps of {BatchSize} pictures, AdamW 1e-3, cosine, τ = 0.2; what varies is {varied}, else K = {Queue} and m = {Momentum}. Views: crops of 0.4 to 1 of the area, colour jitter 0.3 (hue 0.02), mirror. Scenes have one object of the full world (10 shapes, 10 colours, 3 sizes, 6 backgrounds) and are labelled by shape and by colour. Measured on frozen features: 20 nearest neighbours and linear probe, learnt from 2,048 pictures, mean of both labels.");

    public override bool Accepts(EffectData data) => FeatureQuality.Accepts(data);

    public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
    {
        EffectData data = FeatureQuality.LabelledPictures(run.Data);
        MocoConfig config = variants.First(variant => variant.Name == condition).Config with { PictureCount = data.Train.Count };
        ContrastiveAugmentation augmentation = new(new RandomResizedCrop(data.ImageSize) { Scale = (0.4, 1) })
        {
            Jitter = new ColorJitter(0.3, 0.3, 0.3, 0.02),
            Flip = new HorizontalFlip(),
        };
        using Moco<VisionTransformer> moco = new(config, () => new VisionTransformer(Encoder, pooler: false), run.Device, run.Seed);
        EffectTraining.Run(moco, run, data.Train.Count, BatchSize, Steps(run.Scale), 1e-3f, 0.05f, (batch, step) => data.Views(data.Train, batch, augmentation, (ulong)run.Seed, step, run.Device));
        return FeatureQuality.Measure(data, moco.Encoder.Backbone.ImageFeatures, run);
    }

    private static int Steps(EffectScale scale) => scale == EffectScale.Full ? 1000 : 300;
}
