using System.Collections.Concurrent;
using System.Globalization;
using MiniVlp.Cli.Effects;
using MiniVlp.Data.Scenes;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>
/// The effects of docs/effects.md in seconds: one seed, short trainings, and a margin that leaves room for the last bits in which processors differ.
/// An effect that needs a minute of training to show is not asked for here.
/// </summary>
[Trait("Kind", "Training")]
public sealed class EffectDirectionTests
{
    private const int Seed = 1;

    private static readonly ConcurrentDictionary<(Experiment, string), IReadOnlyDictionary<string, double>> Measured = new();
    private static readonly Lazy<EffectData> Scenes = new(() => EffectData.Scenes(4096, 128));

    // Half of the shapes and colours: what is learnt in a minute suffices for wrong captions to do harm.
    private static readonly Lazy<EffectData> FewThings = new(() => EffectData.Scenes(4096, 128, SceneOptions.Demo with { Shapes = [.. SceneOptions.Demo.Shapes.Take(4)], Colors = [.. SceneOptions.Demo.Colors.Take(4)] }));

    [Theory]
    [InlineData("itc", 5)]
    [InlineData("distillation", 2)]
    [InlineData("filter", 4)]
    [InlineData("momentum", 10)]
    [InlineData("bank", 10)]
    public void AShortTrainingGoesWhereTheFullOneGoes(string id, double margin)
    {
        Effect effect = EffectCatalogue.Effects.Single(each => each.Id == id);
        List<string> values = [];
        double contrast = effect.Contrast((condition, measure) =>
        {
            double value = Measured.GetOrAdd((effect.Experiment, condition), _ => Measure(effect.Experiment, condition))[measure];
            values.Add(string.Create(CultureInfo.InvariantCulture, $"{condition}: {measure} {value:F1}"));
            return value;
        });
        Assert.True(contrast > margin, $"{effect.ContrastText}: {contrast.ToString("F1", CultureInfo.InvariantCulture)}, expected more than {margin}; {string.Join(", ", values)}");
    }

    private static IReadOnlyDictionary<string, double> Measure(Experiment experiment, string condition)
        => experiment.Measure(condition, new ExperimentRun(experiment.Id is "distillation" or "capfilt" ? FewThings.Value : Scenes.Value, Seed, EffectScale.Short, Device.Cpu, _ => { }, TestContext.Current.CancellationToken));
}
