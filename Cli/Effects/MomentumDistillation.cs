using System.Globalization;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Models;

namespace MiniVlp.Cli.Effects;

/// <summary>ALBEF with and without momentum distillation on captions of which a share is wrong (arXiv:2107.07651, sections 3.2 and 6).</summary>
/// <param name="albef">The experiment that has the run without noise and without distillation, too.</param>
internal sealed class MomentumDistillation(AlbefAblation albef) : Experiment
{
    private const float Alpha = 0.4f;

    public static double[] Noise { get; } = [0, 0.2, 0.4];

    public override string Id => "distillation";

    public override IReadOnlyList<string> Conditions { get; } = [.. Noise.SelectMany(noise => new[] { Name(noise, false), Name(noise, true) })];

    public static string Name(double noise, bool distils) => string.Create(CultureInfo.InvariantCulture, $"{noise:0 %} wrong{(distils ? ", distilled" : string.Empty)}");

    public override (string Place, string? Line) PlaceOf(string condition)
    {
        double noise = Noise.First(rate => condition == Name(rate, false) || condition == Name(rate, true));
        return (Name(noise, false), condition == Name(noise, true) ? "distilled" : "not distilled");
    }

    public override string Protocol(EffectScale scale) => string.Create(CultureInfo.InvariantCulture,
        $"ALBEF as in the experiment albef with hard negatives, {AlbefAblation.Steps(scale)} steps; {string.Join(", ", Noise.Select(noise => noise.ToString("0 %", CultureInfo.InvariantCulture)))} of the training captions are wrong (scenes: a wrong attribute, exchanged objects, another scene's caption, boilerplate; pictures: another picture's caption); α = {Alpha} after a ramp over the first pass, or 0. Measured with true captions.");

    public override string OnFiles => PairTraining.OnFiles + " There are runs without noise and with the most.";

    public override IReadOnlyList<string> ConditionsFor(EffectData data)
        => data.World is not null ? Conditions : [.. new[] { Noise[0], Noise[^1] }.SelectMany(noise => new[] { Name(noise, false), Name(noise, true) })];

    public override (Experiment Experiment, string Condition)? SameAs(string condition) => condition == Name(0, false) ? (albef, AlbefAblation.Hard) : null;

    public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
    {
        double noise = Noise.First(rate => condition == Name(rate, false) || condition == Name(rate, true));
        EffectData data = run.Data.WithNoise(noise);
        using Albef model = new(PairTraining.Config(data));
        model.Initialize(run.Device, run.Seed);
        AlbefPretrainingOptions options = new() { Masking = RecipeMasking.Of(data.Tokenizer, "albef"), Alpha = condition == Name(noise, true) ? Alpha : 0, QueueCapacity = AlbefAblation.Queue, QueueWarmUp = RecipeSettings.QueueWarmUp };
        using AlbefPretraining objective = new(model, options, (ulong)run.Seed);
        AlbefAblation.Train(objective, run, data);
        return PairTraining.Retrieval(model, data, run.Device);
    }
}
