using MiniVlp.Cli.Effects;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>How effects are judged: by arithmetic that a reader can redo.</summary>
public sealed class EffectTests
{
    private static readonly Effect Better = new("better", "b beats a", "nowhere", new TwoConditions(), "m", value => value("b", "m") - value("a", "m"), "m, b minus a", 1);

    [Fact]
    public void TheIntervalIsStudentsForTheMeanOfTheSeeds()
    {
        // Contrasts 2, 3 and 7: mean 4, deviation √((4 + 1 + 9) / 2) = √7, half width 4.303 · √7 / √3 = 6.573.
        EffectResult result = EffectResult.Judge(Better, [.. Runs(1, 10, 12), .. Runs(2, 10, 13), .. Runs(3, 10, 17)], [1, 2, 3]);
        Assert.Equal([2, 3, 7], result.Contrasts);
        Assert.Equal(4, result.Mean, 9);
        Assert.Equal(6.573, result.HalfWidth, 3);
        Assert.Equal(EffectVerdict.Reproduced, result.Verdict);
    }

    [Theory]
    [InlineData(12, 11, 13, EffectVerdict.Reproduced)]      // 2, 1, 3: the mean is 2 and no seed disagrees
    [InlineData(16, 9, 13, EffectVerdict.Weak)]             // 6, -1, 3
    [InlineData(11, 11, 11, EffectVerdict.NotReproduced)]   // the mean is 1, which does not exceed 1
    [InlineData(5, 5, 5, EffectVerdict.NotReproduced)]
    public void TheVerdictFollowsThresholdAndSigns(double first, double second, double third, EffectVerdict expected)
        => Assert.Equal(expected, EffectResult.Judge(Better, [.. Runs(1, 10, first), .. Runs(2, 10, second), .. Runs(3, 10, third)], [1, 2, 3]).Verdict);

    [Fact]
    public void AnEffectWithoutAllRunsIsIncomplete()
    {
        Assert.Equal(EffectVerdict.Incomplete, EffectResult.Judge(Better, [.. Runs(1, 10, 20), .. Runs(2, 10, 20)], [1, 2, 3]).Verdict);
        EffectResult half = EffectResult.Judge(Better, [.. Runs(1, 10, 20), Row("a", 2, 10)], [1, 2]);
        Assert.Equal(EffectVerdict.Incomplete, half.Verdict);
        Assert.Equal([10], half.Contrasts);
        Assert.True(double.IsPositiveInfinity(half.HalfWidth));
    }

    [Fact]
    public void ADivergedTrainingReproducesNothing()
    {
        EffectRow diverged = Row("b", 2, 0) with { Measures = new Dictionary<string, double>(StringComparer.Ordinal) };
        EffectResult result = EffectResult.Judge(Better, [.. Runs(1, 10, 20), Row("a", 2, 10), diverged], [1, 2]);
        Assert.Equal(EffectVerdict.NotReproduced, result.Verdict);
    }

    [Fact]
    public void AtLeastAsGoodAllowsALittleLess()
    {
        Effect atLeast = Better with { Threshold = -1 };
        Assert.Equal(EffectVerdict.Reproduced, EffectResult.Judge(atLeast, [.. Runs(1, 10, 9.5), .. Runs(2, 10, 11)], [1, 2]).Verdict);
        Assert.Equal(EffectVerdict.Weak, EffectResult.Judge(atLeast, [.. Runs(1, 10, 8), .. Runs(2, 10, 13)], [1, 2]).Verdict);
    }

    [Fact]
    public void EveryEffectAsksForConditionsOfItsExperiment()
    {
        Assert.Equal(EffectCatalogue.Effects.Count, EffectCatalogue.Effects.Select(effect => effect.Id).Distinct(StringComparer.Ordinal).Count());
        foreach (Effect effect in EffectCatalogue.Effects)
        {
            Assert.Contains(effect.Experiment, EffectCatalogue.Experiments);
            HashSet<string> asked = [];
            double contrast = effect.Contrast((condition, measure) =>
            {
                Assert.Contains(condition, effect.Experiment.Conditions);
                asked.Add(condition + measure);
                return 0;
            });
            Assert.Equal(0, contrast);
            Assert.True(asked.Count >= 2, $"{effect.Id} compares nothing");
        }
    }

    [Fact]
    public void FinishedRunsAreReadBackAndADamagedLineIsNamed()
    {
        using TemporaryFolder folder = new();
        string path = folder["rows.jsonl"];
        EffectRows rows = EffectRows.Open(path);
        rows.Add(Row("a", 1, 12.5));
        rows.Add(new EffectRow("two", "scenes", EffectScale.Full, "b", 1, 3.25, new Dictionary<string, double>(StringComparer.Ordinal) { ["m"] = double.NaN }, Better.Experiment.Version(EffectScale.Full, EffectData.ScenesName)));
        EffectRows again = EffectRows.Open(path);
        Assert.Equal(12.5, again.Find(Better.Experiment, "scenes", EffectScale.Full, "a", 1)!.Measures["m"]);
        Assert.True(double.IsNaN(again.Find(Better.Experiment, "scenes", EffectScale.Full, "b", 1)!.Measures["m"]));
        Assert.Null(again.Find(Better.Experiment, "scenes", EffectScale.Short, "a", 1));
        Assert.Null(again.Find(Better.Experiment, "emoji", EffectScale.Full, "a", 1));
        Assert.Null(again.Find(new TwoConditions { Words = "another protocol" }, "scenes", EffectScale.Full, "a", 1));
        File.AppendAllText(path, "{\"experiment\":\"two\"}\n");
        ToolException exception = Assert.Throws<ToolException>(() => EffectRows.Open(path));
        Assert.Contains("rows.jsonl: line 3", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OnlyMissingRunsAreDoneSeedBySeed()
    {
        using TemporaryFolder folder = new();
        EffectRows rows = EffectRows.Open(folder["rows.jsonl"]);
        rows.Add(Row("b", 1, 5));
        TwoConditions experiment = new();
        EffectSuite.Run([experiment], EffectData.Scenes(64, 16), [1, 2], EffectScale.Full, rows, Device.Cpu, new SilentObserver(), TestContext.Current.CancellationToken);
        Assert.Equal(["a1", "a2", "b2"], experiment.Done);
        Assert.Equal(4, EffectRows.Open(folder["rows.jsonl"]).Rows.Count);
    }

    [Fact]
    public void RunsOfOneSeedSeeTheSameBatches()
    {
        EffectOrder first = new(10, 7), second = new(10, 7), other = new(10, 8);
        int[][] batches = [.. Enumerable.Range(0, 6).Select(_ => first.Next(4))];
        Assert.All(batches, batch => Assert.Equal(batch, second.Next(4)));
        Assert.NotEqual(batches.SelectMany(batch => batch), Enumerable.Range(0, 6).SelectMany(_ => other.Next(4)));

        // An epoch of ten has two batches of four, of samples that are all different.
        Assert.Equal(8, batches[0].Concat(batches[1]).Distinct().Count());
    }

    [Fact]
    public void NoiseChangesItsShareOfTheTrainingCaptionsAlone()
    {
        EffectData clean = EffectData.Scenes(1000, 32), noisy = clean.WithNoise(0.4);
        int changed = clean.Train.Captions.Zip(noisy.Train.Captions).Count(pair => pair.First != pair.Second);
        Assert.InRange(changed, 340, 460);
        Assert.Equal(clean.Validation.Captions, noisy.Validation.Captions);
        Assert.Same(clean.Train.Pixels, noisy.Train.Pixels);
        Assert.Same(clean, clean.WithNoise(0));
        for (int i = 0; i < 1000; i++) Assert.Equal(noisy.Train.Captions[i], noisy.Train.Captions[noisy.Train.ImageIds[i]]);
    }

    [Fact]
    public void ThePageKeepsWhatStandsAboveTheMark()
    {
        using TemporaryFolder folder = new();
        EffectRow[] rows = [.. Runs(1, 10, 12), .. Runs(2, 10, 13)];
        EffectResult result = EffectResult.Judge(Better, rows, [1, 2]);
        File.WriteAllText(folder["effects.md"], "# By hand\n\n<!-- effects: from here on written by minivlp effects --report -->\n\nstale\n");
        EffectPage.Write(folder.Path, [Better.Experiment], rows, [("scenes", result)], EffectScale.Full);
        string page = File.ReadAllText(folder["effects.md"]);
        Assert.StartsWith("# By hand\n\n<!-- effects", page, StringComparison.Ordinal);
        Assert.DoesNotContain("stale", page, StringComparison.Ordinal);
        Assert.Contains("+2.5 ± 6.4", page, StringComparison.Ordinal);      // 12.706 · √0.5 / √2 = 6.353
        Assert.Contains("| reproduced; the interval includes 0 |", page, StringComparison.Ordinal);
        Assert.Contains("the protocol of two conditions", page, StringComparison.Ordinal);
        Assert.True(new FileInfo(folder["images/effects-two-scenes.png"]).Length > 1000);
    }

    private static EffectRow[] Runs(int seed, double a, double b) => [Row("a", seed, a), Row("b", seed, b)];

    private static EffectRow Row(string condition, int seed, double value)
        => new("two", "scenes", EffectScale.Full, condition, seed, 1, new Dictionary<string, double>(StringComparer.Ordinal) { ["m"] = value }, Better.Experiment.Version(EffectScale.Full, EffectData.ScenesName));

    private sealed class TwoConditions : Experiment
    {
        public List<string> Done { get; } = [];

        public string Words { get; init; } = "the protocol of two conditions";

        public override string Id => "two";

        public override IReadOnlyList<string> Conditions => ["a", "b"];

        public override string Protocol(EffectScale scale) => Words;

        public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
        {
            Done.Add(condition + run.Seed.ToString(System.Globalization.CultureInfo.InvariantCulture));
            return new Dictionary<string, double>(StringComparer.Ordinal) { ["m"] = run.Data.Train.Count };
        }
    }
}
