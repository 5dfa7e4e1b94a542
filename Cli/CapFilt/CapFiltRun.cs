using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.CapFilt;

/// <summary>
/// Captioning and filtering (BLIP, arXiv:2201.12086, section 3.3): a model trained on noisy pairs is trained further on few clean ones, once as
/// a captioner (language modelling) and once as a filter (contrast and matching); the captioner writes a text for every picture, and the
/// filter keeps those texts, of the web and synthetic, that match. Stages and shards that are complete are not repeated, so a run that was
/// stopped or killed goes on when it is started again.
/// </summary>
/// <param name="dataset">The noisy pairs.</param>
/// <param name="models">The models.</param>
/// <param name="options">The rest.</param>
/// <param name="path">Where everything is written.</param>
public sealed class CapFiltRun(IImageTextDataset dataset, ICapFiltModels models, CapFiltOptions options, string path)
{
    /// <summary>Names of the stages, in their order.</summary>
    public const string Pretraining = "pretrained", Captioner = "captioner", Filter = "filter", Captions = "captions", Decisions = "decisions";

    private int Parts => (dataset.Count + options.PicturesPerShard - 1) / options.PicturesPerShard;

    /// <summary>Does what is not done yet.</summary>
    /// <param name="progress">Told the stage, and how many of how many pictures it has done.</param>
    /// <param name="cancellation">Stops after the batch or step under way; what is complete stays.</param>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    /// <exception cref="ToolException">The folder holds something else, or a run with other settings.</exception>
    public CapFiltSummary Run(Action<string, int, int> progress, CancellationToken cancellation)
    {
        CapFiltFolder folder = new(path, Settings());
        string start = models.Start ?? folder.Pretrained;
        if (models.Start is null) Train(folder, Pretraining, () => models.Pretrain(start, cancellation), cancellation);
        Train(folder, Captioner, () => models.TrainCaptioner(start, folder.Captioner, cancellation), cancellation);
        Train(folder, Filter, () => models.TrainFilter(start, folder.Filter, cancellation), cancellation);
        if (!File.Exists(folder.Audit))
        {
            folder.MakeFolders();
            Caption(folder, progress, cancellation);
            Decide(folder, progress, cancellation);
            folder.Finish(Parts);
        }

        folder.RemoveParts();
        return Summarize(folder);
    }

    private static void Train(CapFiltFolder folder, string stage, Func<bool> train, CancellationToken cancellation)
    {
        if (folder.IsDone(stage)) return;
        cancellation.ThrowIfCancellationRequested();
        if (!train())
        {
            cancellation.ThrowIfCancellationRequested();
            throw new ToolException($"The stage '{stage}' did not come to its end.");
        }

        folder.SetDone(stage);
    }

    private JsonObject Settings()
    {
        JsonObject settings = options.ToJson();
        settings["data"] = dataset.Name;
        settings["pictures"] = dataset.Count;
        if (dataset is SceneDataset scenes) settings["caption_noise"] = scenes.Options.NoiseRate;
        foreach ((string name, JsonNode? value) in models.Settings) settings[name] = value?.DeepClone();
        return settings;
    }

    private void Caption(CapFiltFolder folder, Action<string, int, int> progress, CancellationToken cancellation)
    {
        ICaptioner? captioner = null;
        try
        {
            for (int part = 0; part < Parts; part++)
            {
                if (File.Exists(folder.CaptionsOf(part)) || File.Exists(folder.DecisionsOf(part))) continue;
                captioner ??= models.OpenCaptioner(folder.Captioner);
                List<string> captions = [];
                foreach (int[] batch in BatchesOf(part))
                {
                    cancellation.ThrowIfCancellationRequested();
                    progress(Captions, batch[0], dataset.Count);
                    captions.AddRange(captioner.Caption([.. Read(batch).Select(sample => sample.Image)], batch[0]));
                }

                WriteLines(folder.CaptionsOf(part), captions.Select(caption => JsonSerializer.Serialize(caption)));
            }
        }
        finally
        {
            captioner?.Dispose();
        }

        progress(Captions, dataset.Count, dataset.Count);
    }

    private void Decide(CapFiltFolder folder, Action<string, int, int> progress, CancellationToken cancellation)
    {
        ICaptionFilter? filter = null;
        try
        {
            for (int part = 0; part < Parts; part++)
            {
                if (File.Exists(folder.DecisionsOf(part))) continue;
                filter ??= models.OpenFilter(folder.Filter);
                string[] captions = ReadCaptions(folder.CaptionsOf(part), part);
                List<CaptionDecision> decisions = [];
                using TarShardWriter shard = new(folder.ShardPrefix, 2 * options.PicturesPerShard, firstShard: part);
                foreach (int[] batch in BatchesOf(part))
                {
                    cancellation.ThrowIfCancellationRequested();
                    progress(Decisions, batch[0], dataset.Count);
                    ImageTextSample[] samples = Read(batch);
                    string[] synthetic = [.. batch.Select(index => captions[index - (part * options.PicturesPerShard)])];
                    IReadOnlyList<float[]> scores = filter.Match([.. samples.Select(sample => sample.Image)], samples.Select(sample => sample.Caption).ToArray(), synthetic);
                    for (int i = 0; i < batch.Length; i++)
                    {
                        CaptionDecision web = Judge(batch[i], samples[i], CaptionSource.Web, samples[i].Caption, scores[0][i], null);
                        CaptionDecision own = Judge(batch[i], samples[i], CaptionSource.Synthetic, synthetic[i], scores[1][i], web);
                        decisions.AddRange([web, own]);
                        Write(shard, batch[i], samples[i].Image, [web, own]);
                    }
                }

                // The decisions come last: where they are, the shard is whole.
                shard.Complete();
                WriteLines(folder.DecisionsOf(part), decisions.Select(decision => decision.ToJson()));
            }
        }
        finally
        {
            filter?.Dispose();
        }

        progress(Decisions, dataset.Count, dataset.Count);
    }

    private CaptionDecision Judge(int index, ImageTextSample sample, CaptionSource source, string text, float score, CaptionDecision? web)
    {
        string decision = string.IsNullOrWhiteSpace(text) ? CaptionDecision.Empty
            : !(score >= options.Threshold) ? CaptionDecision.Dropped
            : web is { IsKept: true } && string.Equals(web.Text.Trim(), text.Trim(), StringComparison.OrdinalIgnoreCase) ? CaptionDecision.Duplicate
            : CaptionDecision.Kept;
        return new CaptionDecision(sample.Key, source, text, score, decision, CaptionTruth.Of(dataset, index, sample, text));
    }

    private static void Write(TarShardWriter shard, int index, RgbImage image, IReadOnlyList<CaptionDecision> decisions)
    {
        byte[]? png = null;
        foreach (CaptionDecision decision in decisions)
        {
            if (!decision.IsKept) continue;
            png ??= PngWriter.Encode(image);
            shard.Write(string.Create(CultureInfo.InvariantCulture, $"{index:D8}-{decision.SourceName}"), png, decision.Text, decision.ToMetadata());
        }
    }

    private IEnumerable<int[]> BatchesOf(int part)
    {
        int end = Math.Min(dataset.Count, (part + 1) * options.PicturesPerShard);
        for (int start = part * options.PicturesPerShard; start < end; start += options.BatchSize)
            yield return [.. Enumerable.Range(start, Math.Min(options.BatchSize, end - start))];
    }

    private ImageTextSample[] Read(int[] indices)
    {
        ImageTextSample[] samples = new ImageTextSample[indices.Length];
        Parallel.For(0, indices.Length, i => samples[i] = dataset.Get(indices[i]));
        return samples;
    }

    private static void WriteLines(string file, IEnumerable<string> lines)
    {
        StringBuilder text = new();
        foreach (string line in lines) text.Append(line).Append('\n');
        AtomicFile.WriteAllText(file, text.ToString());
    }

    private string[] ReadCaptions(string file, int part)
    {
        int expected = Math.Min(dataset.Count - (part * options.PicturesPerShard), options.PicturesPerShard);
        try
        {
            string[] captions = [.. File.ReadLines(file).Select(line => JsonSerializer.Deserialize<string>(line) ?? throw new JsonException("null"))];
            return captions.Length == expected ? captions : throw new ToolException($"{file}: expected {expected} captions, found {captions.Length}; delete the file to have them written again.");
        }
        catch (JsonException exception)
        {
            throw new ToolException($"{file}: not lines of JSON: {exception.Message}");
        }
    }

    private CapFiltSummary Summarize(CapFiltFolder folder)
    {
        CaptionDecision[] decisions = [.. File.ReadLines(folder.Audit).Select(line => CaptionDecision.Parse(line, folder.Audit))];
        int shards = Directory.GetFiles(Path.GetDirectoryName(folder.ShardPrefix)!, "*.tar").Length;
        return new CapFiltSummary(dataset.Count, shards, CaptionCounts.Of(decisions, CaptionSource.Web), CaptionCounts.Of(decisions, CaptionSource.Synthetic));
    }
}
