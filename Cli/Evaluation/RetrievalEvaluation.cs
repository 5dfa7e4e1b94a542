using System.Globalization;
using MiniVlp.Autograd;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;
using MiniVlp.Models;
using MiniVlp.Tensors;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Retrieval in two stages.</summary>
/// <param name="Coarse">By the cosine of embeddings; null for a model that has none.</param>
/// <param name="Fine">With the best candidates of each query put in order by the matching score; null when that was not asked for.</param>
/// <param name="Candidates">How many candidates.</param>
public sealed record StagedRetrieval(RetrievalResult? Coarse, RetrievalResult? Fine, int Candidates)
{
    /// <summary>For a sheet, <see cref="RetrievalEvaluation.ExampleColumns"/> for each ranking of each of the first captions: its picture, then the pictures found first.</summary>
    public IReadOnlyList<TaskExample> Examples { get; init; } = [];

    /// <summary>The figures and examples in the form in which all tasks have theirs.</summary>
    public TaskResult ToTaskResult() => new("retrieval", [.. Scores("coarse", Coarse), .. Scores(string.Create(CultureInfo.InvariantCulture, $"fine ({Candidates})"), Fine)], Examples)
    {
        Notes = ["Each row is a caption with its picture and then the pictures that were found first, each with its own caption; green is right."],
        Columns = RetrievalEvaluation.ExampleColumns,
    };

    private static IEnumerable<TaskScore> Scores(string stage, RetrievalResult? result)
    {
        if (result is null) yield break;
        foreach ((string direction, Recall recall) in new[] { ("image to text", result.ImageToText), ("text to image", result.TextToImage) })
        {
            (ConfidenceInterval r1, ConfidenceInterval r5, ConfidenceInterval r10) = recall.Intervals();
            yield return new TaskScore($"R@1 {direction}, {stage}", recall.R1, r1, null, recall.Chance1, recall.Queries);
            yield return new TaskScore($"R@5 {direction}, {stage}", recall.R5, r5, null, recall.Chance5, recall.Queries);
            yield return new TaskScore($"R@10 {direction}, {stage}", recall.R10, r10, null, recall.Chance10, recall.Queries);
        }
    }
}

/// <summary>Retrieval on a data set: all distinct pictures against all distinct captions.</summary>
public static class RetrievalEvaluation
{
    /// <summary>Pictures in a row of examples: the one that a caption belongs to, and those found first.</summary>
    public const int ExampleColumns = 6;

    /// <summary>Encodes the captions and ranks.</summary>
    /// <param name="model">The model.</param>
    /// <param name="data">The pictures' vectors.</param>
    /// <param name="run">The data that they were made from, and how many captions are shown with what they find; null for no examples.</param>
    /// <param name="cancellation">Stops the encoding.</param>
    /// <exception cref="ToolException">No sample has a caption.</exception>
    public static StagedRetrieval Run(DualEncoderFolder model, EmbeddedDataset data, EvaluationRun? run = null, CancellationToken cancellation = default)
    {
        Pairing pairing = new();
        foreach ((int i, EmbeddedSample sample) in data.Samples.Index()) pairing.Add(sample.ImageIndex, sample.Caption, i);
        float[] texts = model.EncodeTexts(pairing.Captions, cancellation: cancellation);
        StagedRetrieval result = new(RetrievalMetrics.Evaluate(data.ImageVectors, texts, data.Size, pairing.Pairs), null, 0);
        return run is null ? result : result with { Examples = pairing.Examples(run, ("", Cosines)) };

        float[] Cosines(int text)
        {
            float[] cosines = new float[data.ImageCount];
            for (int i = 0; i < cosines.Length; i++) cosines[i] = TensorPrimitives.Dot(texts.AsSpan(text * data.Size, data.Size), data.ImageVectors.AsSpan(i * data.Size, data.Size));
            return cosines;
        }
    }

    /// <summary>Ranks with a model that looks at pictures and texts together.</summary>
    /// <param name="folder">The model.</param>
    /// <param name="run">The data.</param>
    /// <param name="candidates">
    /// How many candidates of each query are put in order by the matching score; null for the coarse search alone, or for all where the model has no
    /// embeddings.
    /// </param>
    /// <param name="scored">Told how many pairs have been scored, and of how many.</param>
    /// <exception cref="ToolException">The model cannot, or no sample has a caption.</exception>
    public static StagedRetrieval Run(ModelFolder folder, EvaluationRun run, int? candidates, Action<int, int>? scored = null)
    {
        IMatchingModel model = folder.Model as IMatchingModel ?? throw new ToolException(
            $"{folder.Model.Architecture} cannot put pairs of pictures and texts in order; AlbefForPreTraining, BlipForImageTextRetrieval and ViltForImageAndTextRetrieval can.");
        using TensorScope scope = new();
        Pairing pairing = new();
        EncodedImages images = EncodeImages(folder, model, run, pairing);
        EncodedTexts texts = EncodeTexts(folder, model, pairing.Captions, run);
        (int imageCount, int textCount) = (images.Count, texts.Count);
        if (images.Embeddings is { } imageVectors && texts.Embeddings is { } textVectors && candidates is null)
        {
            float[] cosines = imageVectors.MatMul(textVectors, transposeRight: true).ToArray();
            return new StagedRetrieval(Evaluate(cosines), null, 0) { Examples = pairing.Examples(run, ("", ColumnOf(cosines))) };
        }

        int count = candidates ?? Math.Max(imageCount, textCount);
        MatchingScores scores = MatchingRetrieval.Score(model, images, texts, count, run.BatchSize, scored, run.Cancellation);
        RetrievalResult fine = RetrievalMetrics.Evaluate(scores.ImageToText, scores.TextToImage, imageCount, textCount, pairing.Pairs);
        Func<int, float[]> reranked = text => scores.TextToImage[(text * imageCount)..((text + 1) * imageCount)];
        return scores.Coarse is { } coarse
            ? new StagedRetrieval(Evaluate(coarse), fine, count) { Examples = pairing.Examples(run, ("coarse: ", ColumnOf(coarse)), ("fine: ", reranked)) }
            : new StagedRetrieval(null, fine, count) { Examples = pairing.Examples(run, ("", reranked)) };

        Func<int, float[]> ColumnOf(float[] imageToText) => text => [.. Enumerable.Range(0, imageCount).Select(image => imageToText[(image * textCount) + text])];

        RetrievalResult Evaluate(float[] imageToText)
        {
            float[] textToImage = new float[imageToText.Length];
            for (int i = 0; i < imageToText.Length; i++) textToImage[(i % textCount * imageCount) + (i / textCount)] = imageToText[i];
            return RetrievalMetrics.Evaluate(imageToText, textToImage, imageCount, textCount, pairing.Pairs);
        }
    }

    private static EncodedImages EncodeImages(ModelFolder folder, IMatchingModel model, EvaluationRun run, Pairing pairing)
    {
        Dictionary<UInt128, int> known = [];
        List<Tensor> states = [], embeddings = [];
        foreach ((int start, ImageTextSample[] samples) in run.Batches())
        {
            List<RgbImage> fresh = [];
            foreach ((int i, ImageTextSample sample) in samples.Index())
            {
                UInt128 hash = EmbeddedDataset.HashOf(sample.Image);
                if (!known.TryGetValue(hash, out int row))
                {
                    row = known[hash] = known.Count;
                    fresh.Add(sample.Image);
                }

                pairing.Add(row, sample.Caption, start + i);
            }

            if (fresh.Count == 0) continue;
            using TensorScope batch = new();
            EncodedImages encoded = model.EncodeImages(folder.ToTensor(fresh));
            states.Add(batch.Keep(encoded.States));
            if (encoded.Embeddings is { } vectors) embeddings.Add(batch.Keep(vectors));
        }

        return new EncodedImages(Join(states)!, Join(embeddings));
    }

    private static EncodedTexts EncodeTexts(ModelFolder folder, IMatchingModel model, IReadOnlyList<string> captions, EvaluationRun run)
    {
        TextBatch all = folder.ToTexts(captions);
        int length = all.TokenIds.Shape[1];
        List<Tensor> states = [], embeddings = [];
        for (int start = 0; start < captions.Count; start += run.BatchSize)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            using TensorScope batch = new();
            EncodedTexts encoded = model.EncodeTexts(folder.ToTexts([.. captions.Skip(start).Take(run.BatchSize)], length));
            if (encoded.States is { } hidden) states.Add(batch.Keep(hidden));
            if (encoded.Embeddings is { } vectors) embeddings.Add(batch.Keep(vectors));
        }

        return new EncodedTexts(all, Join(states), Join(embeddings));
    }

    /// <summary>The rows of all parts one below the other; null when there is none.</summary>
    private static Tensor? Join(List<Tensor> parts) => parts.Count == 0 ? null : Tensor.Concatenate(0, [.. parts]);

    /// <summary>Distinct captions, and which picture goes with which.</summary>
    private sealed class Pairing
    {
        private readonly Dictionary<string, int> _rows = new(StringComparer.Ordinal);
        private readonly List<string> _captions = [];
        private readonly List<(int Image, int Text)> _pairs = [];
        private readonly List<(int Sample, string Caption)> _sampleOf = [];

        public IReadOnlyList<string> Captions => _captions.Count > 0 ? _captions : throw new ToolException("Retrieval needs captions, and the data has none.");

        public IReadOnlyCollection<(int Image, int Text)> Pairs => _pairs;

        public void Add(int image, string text, int sample)
        {
            string caption = text.Trim();
            if (image == _sampleOf.Count) _sampleOf.Add((sample, caption));
            if (caption.Length == 0) return;
            if (!_rows.TryGetValue(caption, out int row))
            {
                row = _rows[caption] = _captions.Count;
                _captions.Add(caption);
            }

            _pairs.Add((image, row));
        }

        /// <summary>The first captions with what each ranking finds for them; <c>ScoresOf</c> gives the score of every picture for a caption.</summary>
        public TaskExample[] Examples(EvaluationRun run, params (string Name, Func<int, float[]> ScoresOf)[] rankings)
            => [.. from text in Enumerable.Range(0, Math.Min(run.Examples, _captions.Count)) from ranking in rankings from example in Row(run.Dataset, text, ranking.Name, ranking.ScoresOf(text)) select example];

        private IEnumerable<TaskExample> Row(IImageTextDataset dataset, int text, string name, float[] scores)
        {
            HashSet<int> right = [.. _pairs.Where(pair => pair.Text == text).Select(pair => pair.Image)];
            int[] order = [.. Enumerable.Range(0, scores.Length).OrderByDescending(image => scores[image]).ThenBy(right.Contains)];
            int place = 1 + Array.FindIndex(order, right.Contains);
            yield return new TaskExample(PictureOf(right.Min()), _captions[text], string.Empty, string.Create(CultureInfo.InvariantCulture, $"{name}found as number {place}"), place == 1);
            foreach ((int i, int image) in order.Take(ExampleColumns - 1).Index())
                yield return new TaskExample(PictureOf(image), string.Empty, string.Empty, string.Create(CultureInfo.InvariantCulture, $"{i + 1}. {_sampleOf[image].Caption}"), right.Contains(image));

            // Fewer pictures than columns: the row is filled, so that the next begins at the left.
            for (int i = order.Length; i < ExampleColumns - 1; i++) yield return new TaskExample(new RgbImage(1, 1, [255, 255, 255]), string.Empty, string.Empty, "-", false);

            RgbImage PictureOf(int image) => dataset.Get(_sampleOf[image].Sample).Image;
        }
    }
}
