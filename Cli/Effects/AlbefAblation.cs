using System.Globalization;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Models;
using MiniVlp.Nn.Pretraining;

namespace MiniVlp.Cli.Effects;

/// <summary>ALBEF without the contrastive loss, with it, and with hard negatives (arXiv:2107.07651, table 1).</summary>
internal sealed class AlbefAblation : Experiment
{
    public const string Baseline = "MLM + ITM", Aligned = "+ ITC", Hard = "+ hard negatives";

    private const int BatchSize = 64, Queue = 1024;

    public override string Id => "albef";

    public override IReadOnlyList<string> Conditions { get; } = [Baseline, Aligned, Hard];

    public override string Protocol(EffectScale scale) => string.Create(CultureInfo.InvariantCulture,
        $"ALBEF of width 64 (2 image layers, 2 text and 2 fusion layers, 32 pixels in patches of 8), {Steps(scale)} steps of {BatchSize} pairs, AdamW 1e-3, cosine, queues of {Queue} that count after {RecipeSettings.QueueWarmUp} steps, momentum 0.995, no momentum distillation. \"{Baseline}\" and \"{Aligned}\" take random wrong partners for ITM, \"{Hard}\" takes them by similarity. Measured on 256 held-out pairs: R@1 by the matching score of all pairs, by cosine, and by the matching score of the {PairTraining.Candidates} best by cosine; and, for scenes, how often the true caption beats the same caption with one word made false.");

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
        EffectTraining.Run(objective, run, run.Data.Train.Count, BatchSize, Steps(run.Scale), 1e-3f, 0.02f, (batch, step) => run.Data.TrainingPairs(batch, run.Seed, step, run.Device));
        Dictionary<string, double> measures = PairTraining.Retrieval(model, run.Data, run.Device);
        if (run.Data.World is not null) measures["one word"] = PairTraining.OneWordAccuracy(model, run.Data, run.Device);
        return measures;
    }

    private static int Steps(EffectScale scale) => scale == EffectScale.Full ? 1000 : 300;
}
