using System.Text.Json.Nodes;
using MiniVlp.Cli.CapFilt;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Skia;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>The stages around the models, with models of which is known what they say.</summary>
public sealed class CapFiltRunTests : IDisposable
{
    private const int Pictures = 23;

    private static readonly SceneDataset Data = new(new SceneDatasetOptions { Count = Pictures, ImageSize = 16, NoiseRate = 0.4 });

    private static readonly CapFiltOptions Options = new() { PicturesPerShard = 10, BatchSize = 4 };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void EveryTextHasALineWithItsSourceScoreDecisionAndTruth()
    {
        CapFiltSummary summary = new CapFiltRun(Data, new KnownModels(), Options, _folder["out"]).Run((_, _, _) => { }, default);
        CaptionDecision[] lines = Lines();
        Assert.Equal(2 * Pictures, lines.Length);
        for (int i = 0; i < Pictures; i++)
        {
            (CaptionDecision web, CaptionDecision own) = (lines[2 * i], lines[(2 * i) + 1]);
            NoisyCaption caption = Data.CaptionAt(i);
            Assert.Equal((CaptionSource.Web, CaptionSource.Synthetic), (web.Source, own.Source));
            Assert.Equal(Data.Get(i).Key, web.Key);
            Assert.Equal(caption.Text, web.Text);
            Assert.Equal(caption.Kind == CaptionNoiseKind.None, web.Truth);
            Assert.Equal(web.Score >= 0.5f ? CaptionDecision.Kept : CaptionDecision.Dropped, web.Decision);
            Assert.Equal(KnownModels.CaptionOf(i), own.Text);
            string expected = i % 7 == 6 ? CaptionDecision.Empty : own.Score < 0.5f ? CaptionDecision.Dropped : web.IsKept && own.Text == web.Text ? CaptionDecision.Duplicate : CaptionDecision.Kept;
            Assert.Equal(expected, own.Decision);
        }

        Assert.Contains(lines, line => line.Decision == CaptionDecision.Duplicate);
        Assert.Equal(Pictures, summary.Pictures);
        Assert.Equal(3, summary.Shards);
        Assert.Equal(lines.Count(line => line.IsKept), summary.Pairs);
    }

    [Fact]
    public void TheNewDataSetHoldsWhatWasKept()
    {
        new CapFiltRun(Data, new KnownModels(), Options, _folder["out"]).Run((_, _, _) => { }, default);
        CaptionDecision[] kept = [.. Lines().Where(line => line.IsKept)];
        TarShardDataset written = new([.. Directory.GetFiles(_folder["out/data"], "*.tar").Order(StringComparer.Ordinal)], new SkiaImageDecoder());
        Assert.Equal(kept.Length, written.Count);
        for (int i = 0; i < kept.Length; i++)
        {
            ImageTextSample sample = written.Get(i);
            Assert.Equal(kept[i].Text, sample.Caption);
            Assert.Equal(kept[i].SourceName, sample.Metadata!.Value.GetProperty("source").GetString());
            Assert.Equal(kept[i].Key, sample.Metadata!.Value.GetProperty("key").GetString());
            int index = int.Parse(kept[i].Key.Split('/')[^1], System.Globalization.CultureInfo.InvariantCulture);
            Assert.Equal(Data.Get(index).Image.Pixels.ToArray(), sample.Image.Pixels.ToArray());
        }

        Assert.Empty(Directory.EnumerateFiles(_folder["out"], "*.tmp", SearchOption.AllDirectories));
        Assert.False(Directory.Exists(_folder["out/parts"]));
    }

    [Fact]
    public void PrecisionAndRecallAreThoseOfTheTrueTexts()
    {
        // 6 true of 10; accepted are 4 true ones (one as a duplicate) and 1 false one.
        List<CaptionDecision> decisions = [];
        foreach ((bool? truth, string decision) in new (bool?, string)[]
        {
            (true, CaptionDecision.Kept), (true, CaptionDecision.Kept), (true, CaptionDecision.Kept), (true, CaptionDecision.Duplicate), (true, CaptionDecision.Dropped), (true, CaptionDecision.Dropped),
            (false, CaptionDecision.Kept), (false, CaptionDecision.Dropped), (false, CaptionDecision.Empty), (false, CaptionDecision.Dropped), (null, CaptionDecision.Kept),
        })
        {
            decisions.Add(new CaptionDecision("key", CaptionSource.Web, "text", 0.5f, decision, truth));
        }

        CaptionCounts counts = CaptionCounts.Of(decisions, CaptionSource.Web);
        Assert.Equal((11, 5, 1, 10), (counts.Texts, counts.Kept, counts.Duplicates, counts.Judged));
        Assert.Equal(0.6, counts.TrueShare, 1e-12);
        Assert.Equal(4.0 / 5, counts.Precision, 1e-12);
        Assert.Equal(4.0 / 6, counts.Recall, 1e-12);
        Assert.Equal(3.0 / 4, counts.NoiseFound, 1e-12);
        Assert.Null(CaptionCounts.Of(decisions, CaptionSource.Synthetic).ToJson()["precision"]);
    }

    [Fact]
    public void ARunThatWasStoppedAnywhereGoesOnToTheSameBytes()
    {
        new CapFiltRun(Data, new KnownModels(), Options, _folder["whole"]).Run((_, _, _) => { }, default);

        // Stopped behind each of 3 trainings, 3 shards of captions and 2 of decisions; behind the last shard there is nothing to stop.
        KnownModels models = new();
        int stops = 0;
        while (true)
        {
            using CancellationTokenSource stop = new();
            models.Stop = stop;
            try
            {
                new CapFiltRun(Data, models, Options, _folder["out"]).Run((_, _, _) => { }, stop.Token);
                break;
            }
            catch (OperationCanceledException)
            {
                stops++;
                Assert.True(stops < 20);
            }
        }

        Assert.Equal(8, stops);
        Assert.Equal((1, 1, 1, 7, 7), (models.Pretrainings, models.CaptionerTrainings, models.FilterTrainings, models.CaptionCalls, models.FilterCalls));
        string[] files = [.. Directory.EnumerateFiles(_folder["whole"], "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(_folder["whole"], file)).Order(StringComparer.Ordinal)];
        Assert.Equal(files, Directory.EnumerateFiles(_folder["out"], "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(_folder["out"], file)).Order(StringComparer.Ordinal));
        foreach (string file in files) Assert.Equal(File.ReadAllBytes(Path.Combine(_folder["whole"], file)), File.ReadAllBytes(Path.Combine(_folder["out"], file)));
    }

    [Fact]
    public void WholeShardsAreNotComputedAgain()
    {
        KnownModels models = new();
        using CancellationTokenSource stop = new();

        // The second shard of decisions is under way: its second batch of three.
        models.StopAtFilterCall = (5, stop);
        Assert.Throws<OperationCanceledException>(() => new CapFiltRun(Data, models, Options, _folder["out"]).Run((_, _, _) => { }, stop.Token));
        Assert.Equal((7, 5), (models.CaptionCalls, models.FilterCalls));
        Assert.False(File.Exists(_folder["out/audit.jsonl"]));
        new CapFiltRun(Data, models, Options, _folder["out"]).Run((_, _, _) => { }, default);
        Assert.Equal((7, 5 + 4), (models.CaptionCalls, models.FilterCalls));

        // And nothing at all when all is done.
        new CapFiltRun(Data, models, Options, _folder["out"]).Run((_, _, _) => { }, default);
        Assert.Equal((7, 5 + 4), (models.CaptionCalls, models.FilterCalls));
    }

    [Fact]
    public void AnotherRunInTheFolderIsRefused()
    {
        new CapFiltRun(Data, new KnownModels(), Options, _folder["out"]).Run((_, _, _) => { }, default);
        ToolException threshold = Assert.Throws<ToolException>(() => new CapFiltRun(Data, new KnownModels(), Options with { Threshold = 0.7f }, _folder["out"]).Run((_, _, _) => { }, default));
        Assert.Contains("threshold", threshold.Message, StringComparison.Ordinal);
        SceneDataset other = new(Data.Options with { Count = Pictures + 1 });
        Assert.Contains("pictures", Assert.Throws<ToolException>(() => new CapFiltRun(other, new KnownModels(), Options, _folder["out"]).Run((_, _, _) => { }, default)).Message, StringComparison.Ordinal);

        // The speed alone may differ.
        new CapFiltRun(Data, new KnownModels(), Options with { BatchSize = 7 }, _folder["out"]).Run((_, _, _) => { }, default);
        Directory.CreateDirectory(_folder["else"]);
        File.WriteAllText(_folder["else/thing.txt"], "mine");
        Assert.Contains("capfilt.json", Assert.Throws<ToolException>(() => new CapFiltRun(Data, new KnownModels(), Options, _folder["else"]).Run((_, _, _) => { }, default)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheTruthOfATextIsAskedOfTheScene()
    {
        for (int i = 0; i < Pictures; i++)
        {
            ImageTextSample sample = Data.Get(i);
            Assert.True(CaptionTruth.Of(Data, i, sample, Data.CleanCaptionAt(i)));
            Assert.Equal(Data.CaptionAt(i).Kind == CaptionNoiseKind.None, CaptionTruth.Of(Data, i, sample, sample.Caption));
            Assert.False(CaptionTruth.Of(Data, i, sample, "a"));
        }
    }

    private CaptionDecision[] Lines() => [.. File.ReadLines(_folder["out/audit.jsonl"]).Select(line => CaptionDecision.Parse(line, "audit.jsonl"))];

    /// <summary>A captioner that is right five times of seven and silent once, and a filter that depends on the text alone.</summary>
    private sealed class KnownModels : ICapFiltModels
    {
        /// <summary>Cancelled behind each training, and behind the last batch of each shard.</summary>
        public CancellationTokenSource? Stop { get; set; }

        public (int Call, CancellationTokenSource Source)? StopAtFilterCall { get; set; }

        public int Pretrainings { get; private set; }

        public int CaptionerTrainings { get; private set; }

        public int FilterTrainings { get; private set; }

        public int CaptionCalls { get; private set; }

        public int FilterCalls { get; private set; }

        public string? Start => null;

        public JsonObject Settings => new() { ["model"] = "known" };

        public static string CaptionOf(int index) => (index % 7) switch { 6 => string.Empty, 5 => "a red", _ => Data.CleanCaptionAt(index) };

        public bool Pretrain(string folder, CancellationToken cancellation)
        {
            Pretrainings++;
            return Called();
        }

        public bool TrainCaptioner(string start, string folder, CancellationToken cancellation)
        {
            CaptionerTrainings++;
            return Called();
        }

        public bool TrainFilter(string start, string folder, CancellationToken cancellation)
        {
            FilterTrainings++;
            return Called();
        }

        public ICaptioner OpenCaptioner(string folder) => new Writer(this);

        public ICaptionFilter OpenFilter(string folder) => new Judge(this);

        private bool Called()
        {
            Stop?.Cancel();
            return true;
        }

        private sealed class Writer(KnownModels models) : ICaptioner
        {
            public IReadOnlyList<string> Caption(IReadOnlyList<RgbImage> images, int first)
            {
                models.CaptionCalls++;
                if (images.Count < Options.BatchSize) models.Called();
                return [.. Enumerable.Range(first, images.Count).Select(CaptionOf)];
            }

            public void Dispose()
            {
            }
        }

        private sealed class Judge(KnownModels models) : ICaptionFilter
        {
            public IReadOnlyList<float[]> Match(IReadOnlyList<RgbImage> images, params IReadOnlyList<IReadOnlyList<string>> texts)
            {
                models.FilterCalls++;
                if (images.Count < Options.BatchSize) models.Called();
                if (models.StopAtFilterCall is { } stop && stop.Call == models.FilterCalls) stop.Source.Cancel();
                Assert.All(texts, list => Assert.Equal(images.Count, list.Count));
                return [.. texts.Select(list => list.Select(text => text.Contains("the", StringComparison.Ordinal) || text.Length % 5 == 0 ? 0.25f : 0.75f).ToArray())];
            }

            public void Dispose()
            {
            }
        }
    }
}
