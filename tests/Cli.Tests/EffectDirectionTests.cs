using System.Collections.Concurrent;
using System.Globalization;
using MiniVlp.Cli.Effects;
using MiniVlp.Data.Scenes;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>
/// The effects of docs/effects.md in seconds: one seed, short trainings, and a margin that leaves room for the last bits in which processors differ.
/// The mask ratio, the length of the queue, and captioner and filter together do not show in seconds (differences of seeds are larger), nor clearly in minutes.
/// </summary>
[Trait("Kind", "Training")]
public sealed class EffectDirectionTests
{
    private static readonly ConcurrentDictionary<(Experiment Experiment, string Condition, int Seed), IReadOnlyDictionary<string, double>> Measured = new();

    // Half of the shapes and colours: what is learnt in a minute suffices for wrong captions to do harm.
    private static readonly Lazy<EffectData> FewThings = new(() => EffectData.Scenes(4096, 128, SceneOptions.Demo with { Shapes = [.. SceneOptions.Demo.Shapes.Take(4)], Colors = [.. SceneOptions.Demo.Colors.Take(4)] }));

    // Ten colours, three sizes, three shapes: the colour tells a random wrong partner apart, a hard one is told by the others.
    private static readonly Lazy<EffectData> ManyColors = new(() => EffectData.Scenes(4096, 80, new SceneOptions
    {
        Shapes = [SceneShape.Circle, SceneShape.Cross, SceneShape.Crescent],
        Backgrounds = [SceneBackground.White],
        MaxRotation = 0.04,
    }.SingleObjects()));

    [Theory]
    [InlineData("itc", 2, 10)]
    [InlineData("hard-negatives", 2, 1)]
    [InlineData("distillation", 2, 8)]
    [InlineData("distillation-noise", 2, 4)]
    [InlineData("filter", 1, 4)]
    [InlineData("captioner", 1, 1)]
    [InlineData("momentum", 1, 10)]
    [InlineData("bank", 1, 10)]
    public void AShortTrainingGoesWhereTheFullOneGoes(string id, int seed, double margin)
    {
        Effect effect = EffectCatalogue.Effects.Single(each => each.Id == id);
        IsMoreThan(margin, effect.ContrastText, effect.Experiment, seed, effect.Contrast);
    }

    /// <summary>ALBEF's cosine is as good as its matching head by then; BLIP's contrastive embedding learns more slowly.</summary>
    [Fact]
    public void ReRankingBeatsTheCosineOfBlip()
        => IsMoreThan(1, "BLIP, filtered captions: R@1 re-ranked minus by cosine", EffectCatalogue.Experiments.Single(each => each.Id == "capfilt"), 1, value => value("filter", "re-ranked R@1") - value("filter", "itc R@1"));

    private static void IsMoreThan(double margin, string what, Experiment experiment, int seed, Func<ConditionValues, double> contrast)
    {
        List<string> values = [];
        double found = contrast((condition, measure) =>
        {
            (Experiment of, string under) = experiment.SameAs(condition) ?? (experiment, condition);
            double value = Measured.GetOrAdd((of, under, seed), _ => Measure(of, under, seed))[measure];
            values.Add(string.Create(CultureInfo.InvariantCulture, $"{condition}: {measure} {value:F1}"));
            return value;
        });
        string text = string.Create(CultureInfo.InvariantCulture, $"{what}: {found:F1}, expected more than {margin}; {string.Join(", ", values)}");
        TestContext.Current.TestOutputHelper?.WriteLine(text);
        Assert.True(found > margin, text);
    }

    private static IReadOnlyDictionary<string, double> Measure(Experiment experiment, string condition, int seed)
    {
        // MoCo draws labelled pictures of its own.
        EffectData data = experiment.Id is "albef" or "distillation" ? ManyColors.Value : FewThings.Value;
        return experiment.Measure(condition, new ExperimentRun(data, seed, EffectScale.Short, Device.Cpu, _ => { }, TestContext.Current.CancellationToken));
    }
}
