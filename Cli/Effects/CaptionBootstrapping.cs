using System.Globalization;
using MiniVlp.Autograd;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>BLIP trained on noisy captions as they are, filtered, with synthetic captions beside them, and with both filtered (arXiv:2201.12086, table 1).</summary>
internal sealed class CaptionBootstrapping : Experiment
{
    public const string None = "none", Filter = "filter", Captioner = "captioner", Both = "captioner + filter";

    private const double Noise = 0.4;
    private const int BatchSize = 64, Queue = 1024, PicturesAtOnce = 256;

    // The captions of a seed are the same under all conditions, which follow each other.
    private (EffectData Data, int Seed, EffectScale Scale, BootstrappedCaptions Captions)? _last;

    public override string Id => "capfilt";

    public override IReadOnlyList<string> Conditions { get; } = [None, Filter, Captioner, Both];

    public override string Protocol(EffectScale scale) => string.Create(CultureInfo.InvariantCulture,
        $"BLIP of width 64 (2 image layers, 2 text layers, 32 pixels in patches of 8). {Noise:0 %} of the training captions are wrong, as in the experiment distillation, but for one picture in four, which is clean. A BLIP is trained for {Steps(scale)} steps of {BatchSize} pairs on the noisy pairs, then on the clean ones: for {CaptionerSteps(scale)} steps for captions alone, and another copy for {FilterSteps(scale)} steps for contrast and matching alone. The first writes a caption for each noisy picture (nucleus 0.5), the second keeps the texts that match with a probability of at least 0.5. A new BLIP is then trained for {Steps(scale)} steps on the clean pairs and \"{None}\": the noisy captions; \"{Filter}\": the kept ones; \"{Captioner}\": noisy and synthetic ones; \"{Both}\": those kept of both. A pass shows each picture that has a text once, with one of its texts. AdamW 1e-3 (captioner: 2e-3), cosine, queues of {Queue} that count after {RecipeSettings.QueueWarmUp} steps, momentum 0.995, α = 0.4. Measured with true captions: R@1 as in the experiment albef, and the captions that the new BLIP writes (greedy): for scenes the share that states the facts of the true caption exactly, and CIDEr-D.");

    public override string OnFiles => PairTraining.OnFiles;

    public override IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run)
    {
        BootstrappedCaptions captions = Bootstrap(run);
        EffectData data = run.Data;
        int clean = CleanCount(data);
        string[][] texts = [.. Enumerable.Range(0, data.Train.Count).Select(i => i < clean ? [data.Train.Captions[i]] : captions.Of(i - clean, condition))];
        using BlipForPreTraining model = new(Config(data));
        model.Initialize(run.Device, run.Seed);
        Train(model, Options(), run with { Report = share => run.Report(0.5 + (share / 2)) }, texts, Steps(run.Scale), 1e-3f);
        Dictionary<string, double> measures = PairTraining.Retrieval(model, data, run.Device);
        AddCaptionQuality(measures, model, data, run);
        measures["training captions true"] = TrueShare(data, texts);
        return measures;
    }

    private BootstrappedCaptions Bootstrap(ExperimentRun run)
    {
        if (_last is { } last && last.Data == run.Data && last.Seed == run.Seed && last.Scale == run.Scale) return last.Captions;
        EffectData data = run.Data, noisy = data.WithNoise(Noise);
        int clean = CleanCount(data), web = data.Train.Count - clean;
        string[][] webTexts = [.. Enumerable.Range(0, data.Train.Count).Select(i => i < clean ? Array.Empty<string>() : [noisy.Train.Captions[i]])];
        string[][] cleanTexts = [.. Enumerable.Range(0, data.Train.Count).Select(i => i < clean ? [data.Train.Captions[i]] : Array.Empty<string>())];
        using BlipForPreTraining model = new(Config(data));
        model.Initialize(run.Device, run.Seed);
        Train(model, Options(), run with { Report = share => run.Report(0.3 * share) }, webTexts, Steps(run.Scale), 1e-3f);

        int[] pictures = [.. Enumerable.Range(clean, web)];
        string[] webCaptions = [.. pictures.Select(i => noisy.Train.Captions[i])], synthetic;
        using (BlipForPreTraining captioner = Tune(model, new BlipPretrainingOptions { QueueSize = 0, ContrastiveWeight = 0, MatchingWeight = 0 }, run, cleanTexts, CaptionerSteps(run.Scale), 2e-3f))
            synthetic = Write(captioner, data, data.Train, pictures, run, new GenerationOptions { Sample = true, TopP = 0.5f, Seed = (ulong)run.Seed });
        using BlipForPreTraining filter = Tune(model, Options() with { LanguageWeight = 0, QueueWarmUp = Queue / BatchSize }, run, cleanTexts, FilterSteps(run.Scale), 1e-3f);
        BootstrappedCaptions captions = new(webCaptions, synthetic, Match(filter, data, pictures, webCaptions, run), Match(filter, data, pictures, synthetic, run));
        _last = (data, run.Seed, run.Scale, captions);
        return captions;
    }

    /// <summary>A copy of the model, trained further on the clean pairs.</summary>
    private static BlipForPreTraining Tune(BlipForPreTraining model, BlipPretrainingOptions options, ExperimentRun run, string[][] texts, int steps, float learningRate)
    {
        BlipForPreTraining copy = new(model.Config);
        foreach (((_, Nn.Parameter source), (_, Nn.Parameter target)) in model.NamedParameters().Zip(copy.NamedParameters())) target.Assign(source.Value.ToArray(), source.Value.Device);
        Train(copy, options, run with { Report = _ => { } }, texts, steps, learningRate);
        return copy;
    }

    private static void Train(BlipForPreTraining model, BlipPretrainingOptions options, ExperimentRun run, string[][] texts, int steps, float learningRate)
    {
        int[] pictures = [.. Enumerable.Range(0, texts.Length).Where(i => texts[i].Length > 0)];
        using BlipPretraining objective = new(model, options, (ulong)run.Seed);
        EffectTraining.Run(objective, run, pictures.Length, BatchSize, steps, learningRate, 0.05f, (batch, step) =>
        {
            int[] shown = [.. batch.Select(place => pictures[place])];
            string[] captions = [.. shown.Select(picture => texts[picture].Length == 1 ? texts[picture][0] : texts[picture][SampleRandom.For((ulong)run.Seed, step, picture).Next(texts[picture].Length)])];
            return run.Data.TrainingPairs(shown, captions, run.Seed, step, run.Device);
        });
    }

    private static string[] Write(BlipForPreTraining model, EffectData data, EffectSplit split, int[] pictures, ExperimentRun run, GenerationOptions generation)
    {
        BlipTextConfig text = model.Config.Text;
        generation = generation with
        {
            MaxNewTokens = text.MaxPositions - 1,
            MinNewTokens = 1,
            StopTokens = [text.EndId],
            PadToken = text.PaddingId,
            SuppressTokens = [.. data.Tokenizer.SpecialIds.Where(id => id != text.EndId).Order()],
        };
        string[] captions = new string[pictures.Length];
        for (int start = 0; start < pictures.Length; start += PicturesAtOnce)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            using TensorScope scope = new();
            int[] some = pictures[start..Math.Min(start + PicturesAtOnce, pictures.Length)];
            foreach (GeneratedText written in model.Captioning.Caption(data.Images(split, some, run.Device), generation with { FirstRow = start }).Texts)
                captions[start + written.Row] = data.Tokenizer.Decode([.. written.Tokens]).Trim();
        }

        return captions;
    }

    private static float[] Match(BlipForPreTraining model, EffectData data, int[] pictures, string[] texts, ExperimentRun run)
    {
        List<float> probabilities = [];
        for (int start = 0; start < pictures.Length; start += PicturesAtOnce)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            using TensorScope scope = new();
            int end = Math.Min(start + PicturesAtOnce, pictures.Length);
            Tensor images = model.VisionEncoder.Forward(data.Images(data.Train, pictures.AsSpan(start, end - start), run.Device));
            Tensor logits = model.Retrieval.PredictMatch(model.Retrieval.Ground(images, data.Texts(texts[start..end], run.Device)));
            probabilities.AddRange(logits.Softmax().Narrow(1, 1, 1).ToArray());
        }

        return [.. probabilities];
    }

    private static void AddCaptionQuality(Dictionary<string, double> measures, BlipForPreTraining model, EffectData data, ExperimentRun run)
    {
        EffectSplit held = data.Validation;
        string[] written = Write(model, data, held, [.. Enumerable.Range(0, held.Count)], run, new GenerationOptions());
        if (held.Source is SceneDataset scenes) measures["exact captions"] = 100.0 * Enumerable.Range(0, held.Count).Count(i => SceneCaptionJudgement.Of(written[i], held.Captions[i], scenes.SceneAt(i)).IsExact) / held.Count;
        measures["CIDEr-D"] = new CaptionEvaluation(written, [.. held.Captions.Select(caption => new[] { caption })]).Score().CiderD;
    }

    /// <summary>Of the texts that are trained on, the percentage that is true: known for scenes; elsewhere the picture's own caption is what is true.</summary>
    private static double TrueShare(EffectData data, string[][] texts)
    {
        SceneDataset? scenes = data.Train.Source as SceneDataset;
        double right = 0, pictures = 0;
        for (int i = 0; i < texts.Length; i++)
        {
            if (texts[i].Length == 0) continue;
            pictures++;
            right += (double)texts[i].Count(text => scenes is null ? text == data.Train.Captions[i] : SceneGrammar.TryParse(text, out SceneStatement? statement) && statement.HoldsIn(scenes.SceneAt(i))) / texts[i].Length;
        }

        return 100 * right / pictures;
    }

    private static BlipConfig Config(EffectData data)
    {
        int Id(string token) => data.Tokenizer.IdOf(token) ?? throw new InvalidOperationException($"The vocabulary has no {token}.");
        BlipConfig config = BlipConfig.Tiny.WithVocabulary(data.Tokenizer.VocabularySize, Id("[DEC]"), Id("[ENC]"), data.Tokenizer.EndId, data.Tokenizer.PadId);
        return config with { Vision = config.Vision with { ImageSize = data.ImageSize } };
    }

    private static BlipPretrainingOptions Options() => new() { QueueSize = Queue, QueueWarmUp = RecipeSettings.QueueWarmUp };

    private static int CleanCount(EffectData data) => data.Train.Count / 4;

    private static int Steps(EffectScale scale) => scale == EffectScale.Full ? 1000 : 200;

    private static int CaptionerSteps(EffectScale scale) => Steps(scale) * 3 / 2;

    private static int FilterSteps(EffectScale scale) => Steps(scale) * 3 / 10;

    /// <summary>The texts for the noisy pictures of one seed, with the filter's probability for each.</summary>
    private sealed record BootstrappedCaptions(string[] Web, string[] Synthetic, float[] WebMatch, float[] SyntheticMatch)
    {
        private const float Threshold = 0.5f;

        /// <summary>What a picture is trained with: no text, one, or two.</summary>
        public string[] Of(int picture, string condition) => condition switch
        {
            None => [Web[picture]],
            Captioner => [Web[picture], Synthetic[picture]],
            Filter => [.. KeptOf(Web, WebMatch, picture)],
            _ => [.. KeptOf(Web, WebMatch, picture), .. KeptOf(Synthetic, SyntheticMatch, picture)],
        };

        private static IEnumerable<string> KeptOf(string[] texts, float[] match, int picture) => match[picture] >= Threshold && texts[picture].Length > 0 ? [texts[picture]] : [];
    }
}
