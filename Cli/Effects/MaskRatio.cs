using System.Globalization;
using MiniVlp.Models;

namespace MiniVlp.Cli.Effects;

/// <summary>MAE with more and less of the picture masked (arXiv:2111.06377, figure 5).</summary>
internal sealed class MaskRatio : Experiment
{
    private const int BatchSize = 32;

    private static readonly MaeConfig Size = MaeConfig.Tiny with
    {
        Encoder = MaeConfig.Tiny.Encoder with { Width = 64, Layers = 3, Heads = 2, HiddenWidth = 256 },
        DecoderWidth = 32,
        DecoderLayers = 1,
        DecoderHiddenWidth = 128,
    };

    public static double[] Ratios { get; } = [0.25, 0.5, 0.75, 0.9];

    public override string Id => "mae";

    public override IReadOnlyList<string> Conditions { get; } = [.. Ratios.Select(Name)];

    public static string Name(double ratio) => ratio.ToString("0 %", CultureInfo.InvariantCulture);

    public override string Protocol(EffectScale scale) => string.Create(CultureInfo.InvariantCulture,
        $"MAE with an encoder of width 64 and 3 layers and a decoder of width 32 and 1 layer, 32 pixels in 64 patches of 4, normalised pixels, {Steps(scale)} steps of {BatchSize} pictures, AdamW 1e-3, cosine. Scenes have one object of the full world (10 shapes, 10 colours, 3 sizes, 6 backgrounds) and are labelled by shape and by colour. Measured on frozen features (mean of the patches): linear probe and 20 nearest neighbours, learnt from 2,048 pictures, mean of both labels.");

    public override bool Accepts(EffectData data) => FeatureQuality.Accepts(data);

    public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
    {
        EffectData data = FeatureQuality.LabelledPictures(run.Data);
        using Mae model = new(Size with { MaskRatio = Ratios.First(ratio => Name(ratio) == condition) });
        model.Initialize(run.Device, run.Seed);
        MaePretraining objective = new(model);
        EffectTraining.Run(objective, run, data.Train.Count, BatchSize, Steps(run.Scale), 1e-3f, 0.05f, (batch, _) => data.Images(data.Train, batch, run.Device));
        return FeatureQuality.Measure(data, model.ImageFeatures, run);
    }

    private static int Steps(EffectScale scale) => scale == EffectScale.Full ? 1000 : 200;
}
