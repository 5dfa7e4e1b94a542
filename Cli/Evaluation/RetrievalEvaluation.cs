using MiniVlp.Autograd;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Retrieval in two stages.</summary>
/// <param name="Coarse">By the cosine of embeddings; null for a model that has none.</param>
/// <param name="Fine">With the best candidates of each query put in order by the matching score; null when that was not asked for.</param>
/// <param name="Candidates">How many candidates.</param>
public sealed record StagedRetrieval(RetrievalResult? Coarse, RetrievalResult? Fine, int Candidates);

/// <summary>Retrieval on a data set: all distinct pictures against all distinct captions.</summary>
public static class RetrievalEvaluation
{
    /// <summary>Encodes the captions and ranks.</summary>
    /// <exception cref="ToolException">No sample has a caption.</exception>
    public static RetrievalResult Run(DualEncoderFolder model, EmbeddedDataset data, CancellationToken cancellation = default)
    {
        Pairing pairing = new();
        foreach (EmbeddedSample sample in data.Samples) pairing.Add(sample.ImageIndex, sample.Caption);
        float[] texts = model.EncodeTexts(pairing.Captions, cancellation: cancellation);
        return RetrievalMetrics.Evaluate(data.ImageVectors, texts, data.Size, pairing.Pairs);
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
            return new StagedRetrieval(Evaluate(cosines), null, 0);
        }

        int count = candidates ?? Math.Max(imageCount, textCount);
        MatchingScores scores = MatchingRetrieval.Score(model, images, texts, count, run.BatchSize, scored, run.Cancellation);
        RetrievalResult fine = RetrievalMetrics.Evaluate(scores.ImageToText, scores.TextToImage, imageCount, textCount, pairing.Pairs);
        return new StagedRetrieval(scores.Coarse is { } coarse ? Evaluate(coarse) : null, fine, count);

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
        foreach ((_, ImageTextSample[] samples) in run.Batches())
        {
            List<RgbImage> fresh = [];
            foreach (ImageTextSample sample in samples)
            {
                UInt128 hash = EmbeddedDataset.HashOf(sample.Image);
                if (!known.TryGetValue(hash, out int row))
                {
                    row = known[hash] = known.Count;
                    fresh.Add(sample.Image);
                }

                pairing.Add(row, sample.Caption);
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

        public IReadOnlyList<string> Captions => _captions.Count > 0 ? _captions : throw new ToolException("Retrieval needs captions, and the data has none.");

        public IReadOnlyCollection<(int Image, int Text)> Pairs => _pairs;

        public void Add(int image, string text)
        {
            string caption = text.Trim();
            if (caption.Length == 0) return;
            if (!_rows.TryGetValue(caption, out int row))
            {
                row = _rows[caption] = _captions.Count;
                _captions.Add(caption);
            }

            _pairs.Add((image, row));
        }
    }
}
