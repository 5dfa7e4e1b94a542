using System.Globalization;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Models;
using MiniVlp.Nn.Pretraining;

namespace MiniVlp.Cli.Effects;

/// <summary>ALBEF without the contrastive loss, with it, and with hard negatives (arXiv:2107.07651, table 1).</summary>
internal sealed class AlbefAblation : Experiment
{
    public const string Baseline = "MLM + ITM", Aligned = "+ ITC", Hard = "+ hard negatives";

    /// <summary>Features that each queue holds.</summary>
    public const int Queue = 1024;

    public override string Id => "albef";

    public override IReadOnlyList<string> Conditions { get; } = [Baseline, Aligned, Hard];

    public override string Protocol(EffectScale scale) => string.Create(CultureInfo.InvariantCulture,
        $"ALBEF of width 64 (2 image layers, 2 text and 2 fusion layers, 32 pixels in patches of 8), {Steps(scale)} steps of {BatchSize(scale)} pairs, AdamW 1e-3, cosine, queues of {Queue} that count after {RecipeSettings.QueueWarmUp} steps, momentum 0.995, no momentum distillation. \"{Baseline}\" and \"{Aligned}\" take random wrong partners for ITM, \"{Hard}\" takes them by similarity. Measured on 256 held-out pairs: R@1 by the matching score of all pairs, by cosine, and by the matching score of the {PairTraining.Candidates} best by cosine; and, for scenes, how often the true caption beats the same caption with one word made false.");

    public override string OnFiles => PairTraining.OnFiles;

    public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
    {
        using Albef model = new(PairTraining.Config(run.Data));
        model.Initialize(run.Device, run.Seed);
        AlbefPretrainingOptions options = new()
        {
            Masking = RecipeMasking.Of(run.Data.Tokenizer, "albef"),
            Contrast = condition != Baseline,
            Negatives = condition == Hard ? NegativeStrategy.Hard : NegativeStrategy.Random,
            Alpha = 0,
            QueueCapacity = Queue,
            QueueWarmUp = RecipeSettings.QueueWarmUp,
        };
        using AlbefPretraining objective = new(model, options, (ulong)run.Seed);
        Train(objective, run, run.Data);
        Dictionary<string, double> measures = PairTraining.Retrieval(model, run.Data, run.Device);
        if (run.Data.World is not null) measures["one word"] = PairTraining.OneWordAccuracy(model, run.Data, run.Device);
        return measures;
    }

    /// <summary>The training of this experiment and of <see cref="MomentumDistillation"/>, which takes a run of it over.</summary>
    /// <param name="objective">What is trained.</param>
    /// <param name="run">Seed, size, device.</param>
    /// <param name="data">The pairs: those of the run, or the same with other captions.</param>
    public static void Train(AlbefPretraining objective, ExperimentRun run, EffectData data)
        => EffectTraining.Run(objective, run, data.Train.Count, BatchSize(run.Scale), Steps(run.Scale), 1e-3f, 0.02f, (batch, step) => data.TrainingPairs(batch, run.Seed, step, run.Device));

    /// <summary>Steps of a training.</summary>
    public static int Steps(EffectScale scale) => scale == EffectScale.Full ? 1000 : 800;

    /// <summary>Pairs of a step. In seconds, many small steps show what few large ones do not: hard negatives only teach a head that has learnt the first words.</summary>
    private static int BatchSize(EffectScale scale) => scale == EffectScale.Full ? 64 : 16;
}
