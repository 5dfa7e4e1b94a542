using System.Globalization;
using MiniVlp.Cli.Effects;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>What experiments do otherwise with pictures of files than with scenes.</summary>
public sealed class EffectFilesTests
{
    private const int ImageSize = 16, PixelsPerImage = 3 * ImageSize * ImageSize;

    private static readonly Experiment Distillation = EffectCatalogue.Experiments.Single(experiment => experiment.Id == "distillation");

    [Fact]
    public void WhatIsDoneOtherwiseBelongsToTheProtocolOfFilesAlone()
    {
        Changed plain = new(), cropped = new() { Otherwise = "Pictures are cropped." };
        Assert.Equal(plain.Version(EffectScale.Full, EffectData.ScenesName), cropped.Version(EffectScale.Full, EffectData.ScenesName));
        Assert.NotEqual(plain.Version(EffectScale.Full, "emoji"), cropped.Version(EffectScale.Full, "emoji"));
        Assert.Equal(plain.Version(EffectScale.Full, EffectData.ScenesName), plain.Version(EffectScale.Full, "emoji"));
        Assert.Contains("0.6 to 1 of the area", Distillation.OnFiles, StringComparison.Ordinal);
    }

    [Fact]
    public void DistillationOnFilesLeavesOutTheNoiseInBetween()
    {
        Assert.Equal(6, Distillation.ConditionsFor(EffectData.Scenes(64, 16)).Count);
        Assert.Equal(["0 % wrong", "0 % wrong, distilled", "40 % wrong", "40 % wrong, distilled"], Distillation.ConditionsFor(Files(8)));
        Effect[] effects = [.. EffectCatalogue.Effects.Where(effect => effect.Experiment == Distillation)];
        Assert.NotEmpty(effects);
        foreach (Effect effect in effects)
        {
            effect.Contrast((condition, _) =>
            {
                Assert.Contains(condition, Distillation.ConditionsFor(Files(8)));
                return 0;
            });
        }
    }

    [Fact]
    public void ARunThatIsTheSameTrainingIsTakenOver()
    {
        using TemporaryFolder folder = new();
        EffectRows rows = EffectRows.Open(folder["rows.jsonl"]);
        Changed first = new();
        Taking second = new(first);
        EffectData data = Files(8);

        // Seed 1 of the first is there, seed 2 is not: that one has to be run.
        rows.Add(new EffectRow(first.Id, data.Name, EffectScale.Full, "a", 1, 12, new Dictionary<string, double>(StringComparer.Ordinal) { ["m"] = 34 }, first.Version(EffectScale.Full, data.Name)));
        EffectSuite.Run([second], data, [1, 2], EffectScale.Full, rows, Device.Cpu, new SilentObserver(), TestContext.Current.CancellationToken);
        Assert.Equal(["other1", "same2", "other2"], second.Done);
        EffectRow taken = rows.Find(second, data.Name, EffectScale.Full, "same", 1)!;
        Assert.Equal(34, taken.Measures["m"]);
        Assert.Equal(12, taken.Seconds);
        Assert.Equal(2, rows.Find(second, data.Name, EffectScale.Full, "same", 2)!.Measures["m"]);
        Assert.Empty(first.Done);
    }

    [Fact]
    public void DistillationTakesOverTheRunOfAlbefThatItIsEqualTo()
    {
        (Experiment experiment, string condition) = Distillation.SameAs("0 % wrong")!.Value;
        Assert.Equal("albef", experiment.Id);
        Assert.Contains(condition, experiment.Conditions);
        Assert.All(Distillation.Conditions.Where(other => other != "0 % wrong"), other => Assert.Null(Distillation.SameAs(other)));
    }

    [Fact]
    public void RecallIsCountedAmongTheTenBest()
    {
        Assert.Equal("re-ranked R@10", Effect.On("re-ranked R@1", "emoji"));
        Assert.Equal("re-ranked R@1", Effect.On("re-ranked R@1", EffectData.ScenesName));
        Assert.Equal("k-NN", Effect.On("k-NN", "emoji"));
        Changed experiment = new();
        Effect better = new("better", "b beats a", "nowhere", experiment, "R@1", value => value("b", "R@1") - value("a", "R@1"), "R@1, b minus a", 0);
        EffectRow[] rows = [.. from condition in experiment.Conditions select Row("emoji", condition, condition == "b" ? 7 : 4)];
        Assert.Equal([3], EffectResult.Judge(better, rows, [1]).Contrasts);
        Assert.Equal(EffectVerdict.Reproduced, EffectResult.Judge(better, rows, [1]).Verdict);

        // The same rows under the name of scenes have no R@1: nothing follows from them.
        EffectRow[] scenes = [.. rows.Select(row => row with { Data = EffectData.ScenesName })];
        Assert.Equal(EffectVerdict.NotReproduced, EffectResult.Judge(better, scenes, [1]).Verdict);

        EffectRow Row(string data, string condition, double value)
            => new(experiment.Id, data, EffectScale.Full, condition, 1, 1, new Dictionary<string, double>(StringComparer.Ordinal) { ["R@10"] = value }, experiment.Version(EffectScale.Full, data));
    }

    [Fact]
    public void TrainingPicturesAreCroppedAnewAtEveryStep()
    {
        using TensorScope scope = new();
        EffectData data = Files(8);
        int[] batch = [5, 2];
        float[] plain = data.Images(data.Train, batch, Device.Cpu).ToArray();
        float[] first = Crops(batch, 1, 0);
        Assert.Equal(first, Crops(batch, 1, 0));
        Assert.NotEqual(plain, first);
        Assert.NotEqual(first, Crops(batch, 1, 1));
        Assert.NotEqual(first, Crops(batch, 2, 0));

        // A picture's crop does not depend on what else is in the batch.
        Assert.Equal(first[..PixelsPerImage], Crops([5], 1, 0));

        // Captions with a side keep the pictures from being mirrored: what differs are the crops.
        float[] Crops(int[] indices, int seed, int step)
            => data.TrainingPairs(indices, [.. indices.Select(_ => "a ramp on the left")], seed, step, Device.Cpu).Images.ToArray();
    }

    [Fact]
    public void PicturesWhoseCaptionsNameASideAreNotMirrored()
    {
        using TensorScope scope = new();
        EffectData data = Files(8);

        // Brightness rises from left to right in these pictures; a mirrored one falls.
        Assert.Contains(Enumerable.Range(0, 40), step => Slope(["a disc"], step) < 0);
        Assert.All(Enumerable.Range(0, 40), step => Assert.True(Slope(["a disc on the left"], step) > 0));

        float Slope(string[] captions, int step)
        {
            float[] pixels = data.TrainingPairs([3], captions, 1, step, Device.Cpu).Images.ToArray();
            return pixels[ImageSize - 1] - pixels[0];
        }
    }

    [Fact]
    public void ScenesAreShownAsTheyAre()
    {
        using TensorScope scope = new();
        EffectData scenes = EffectData.Scenes(64, 16);
        Assert.Equal(scenes.Images(scenes.Train, [7, 9], Device.Cpu).ToArray(), scenes.TrainingPairs([7, 9], 1, 3, Device.Cpu).Images.ToArray());
    }

    [Fact]
    public void EqualCaptionsHaveEqualIdsInEveryBatch()
    {
        using TensorScope scope = new();
        EffectData data = Files(8);
        int[] first = Ids(["red", "blue", "red"]), second = Ids(["green", "blue", "red"]);
        Assert.Equal(first[0], first[2]);
        Assert.NotEqual(first[0], first[1]);
        Assert.Equal(first[1], second[1]);
        Assert.Equal(first[0], second[2]);
        Assert.DoesNotContain(second[0], first);

        int[] Ids(string[] captions) => data.TrainingPairs([0, 1, 2], captions, 1, 0, Device.Cpu).ImageIds.ToArray();
    }

    private static EffectData Files(int count) => EffectData.Files("emoji", new Ramps(count), new Ramps(4), imageSize: ImageSize);

    /// <summary>Pictures whose brightness rises from left to right, more steeply from picture to picture.</summary>
    private sealed class Ramps(int count) : IImageTextDataset
    {
        public string Name => "ramps";

        public int Count => count;

        public ImageTextSample Get(int index)
        {
            byte[] pixels = new byte[PixelsPerImage];
            for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)((5 + index) * (i / 3 % ImageSize));
            return new ImageTextSample($"ramp {index}", new RgbImage(ImageSize, ImageSize, pixels), GetCaption(index));
        }

        public string GetCaption(int index) => string.Create(CultureInfo.InvariantCulture, $"a ramp of steepness {index}");
    }

    private class Changed : Experiment
    {
        public List<string> Done { get; } = [];

        public string Otherwise { get; init; } = string.Empty;

        public override string Id => "changed";

        public override IReadOnlyList<string> Conditions => ["a", "b"];

        public override string OnFiles => Otherwise;

        public override string Protocol(EffectScale scale) => "a protocol";

        public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
        {
            Done.Add(condition + run.Seed.ToString(CultureInfo.InvariantCulture));
            return new Dictionary<string, double>(StringComparer.Ordinal) { ["m"] = run.Seed };
        }
    }

    private sealed class Taking(Experiment from) : Changed
    {
        public override string Id => "taking";

        public override IReadOnlyList<string> Conditions => ["same", "other"];

        public override (Experiment Experiment, string Condition)? SameAs(string condition) => condition == "same" ? (from, "a") : null;
    }
}
