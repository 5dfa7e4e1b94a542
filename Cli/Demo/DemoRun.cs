using System.Diagnostics;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Training;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Demo;

/// <summary>Trains a small CLIP on the built-in scenes and looks at it from all sides.</summary>
/// <param name="options">How large.</param>
/// <param name="device">Where.</param>
/// <param name="folder">Where the model and the logs go.</param>
public sealed class DemoRun(DemoOptions options, Device device, string folder)
{
    private const int TextQueryCount = 6, PicturesPerText = 6, PictureQueryCount = 6, TextsPerPicture = 3, AttentionCount = 8;

    /// <summary>Scenes are shown larger than the model sees them.</summary>
    private const int ShownSize = 160;

    // The vocabulary of the scenes is small; this many captions hold all of it.
    private const int VocabularyCaptions = 4096, VocabularySize = 400;

    private readonly Stopwatch _watch = Stopwatch.StartNew();

    /// <summary>Trains, evaluates and gathers what the report shows; null when stopped before the end of training.</summary>
    /// <param name="train">Runs the training under some display.</param>
    /// <param name="cancellation">Stops.</param>
    public DemoResult? Run(Func<Func<ITrainingObserver, TrainingSummary>, TrainingSummary> train, CancellationToken cancellation)
    {
        int size = options.Model.ImageSize;
        SceneDataset trainingSet = new(new SceneDatasetOptions { World = options.World, Count = options.TrainingScenes, ImageSize = size });
        SceneDataset gallery = new(new SceneDatasetOptions { World = options.World, Split = SceneSplit.Validation, Count = options.GalleryScenes, ImageSize = size, UniqueCaptions = true });
        SceneDataset words = new(new SceneDatasetOptions { World = options.World, Count = VocabularyCaptions, ImageSize = size });
        using DualEncoderFolder model = NewModel.Create(options.Model, NewModel.BuildTokenizer(words, VocabularySize), device, options.Seed);
        using TrainingRun training = new(new ClipRecipe(), ClipRecipe.Around(model), trainingSet, TrainingOptions(), new RecipeSettings { BatchSize = options.BatchSize }, folder);
        TrainingSummary summary = train(observer => training.Run(observer, cancellation));
        if (!summary.IsComplete) return null;

        EmbeddedDataset pictures = EmbeddedDataset.Encode(model, gallery, cancellation: cancellation);
        string[] captions = [.. pictures.Samples.Select(sample => sample.Caption)];
        float[] texts = model.EncodeTexts(captions, cancellation: cancellation);
        return new DemoResult
        {
            Training = summary,
            History = training.History,
            BatchSize = options.BatchSize,
            Parameters = model.Model.ParameterCount(),
            Device = device.ToString(),
            Retrieval = RetrievalEvaluation.Run(model, pictures, cancellation: cancellation).Coarse!,
            ZeroShot = SceneZeroShot.Run(model, options.World, SceneSplit.Validation, options.ZeroShotScenes, cancellation),
            TextQueries = FindPictures(gallery, pictures, captions, texts),
            PictureQueries = FindTexts(gallery, pictures, captions, texts),
            Attention = LookAt(model, gallery),
            Elapsed = _watch.Elapsed,
        };
    }

    private TrainingOptions TrainingOptions() => new()
    {
        BatchSize = options.BatchSize,
        LearningRate = options.LearningRate,
        Steps = options.Steps,
        Minutes = options.Minutes,
        Seed = options.Seed,
        SaveEvery = TimeSpan.MaxValue,
    };

    private static List<TextQuery> FindPictures(SceneDataset gallery, EmbeddedDataset pictures, string[] captions, float[] texts)
    {
        SceneRenderer renderer = new(ShownSize);
        List<TextQuery> queries = [];
        foreach (int query in Spread(captions.Length, TextQueryCount))
        {
            IEnumerable<FoundPicture> found = Nearest(texts.AsSpan(query * pictures.Size, pictures.Size), pictures.ImageVectors, pictures.Size, PicturesPerText)
                .Select(hit => new FoundPicture(renderer.Render(gallery.SceneAt(hit.Row)), captions[hit.Row], hit.Score, hit.Row == query));
            queries.Add(new TextQuery(captions[query], [.. found]));
        }

        return queries;
    }

    private static List<PictureQuery> FindTexts(SceneDataset gallery, EmbeddedDataset pictures, string[] captions, float[] texts)
    {
        SceneRenderer renderer = new(ShownSize);
        List<PictureQuery> queries = [];
        foreach (int query in Spread(captions.Length, PictureQueryCount))
        {
            int shifted = (query + (captions.Length / (2 * PictureQueryCount))) % captions.Length;    // others than the text queries
            FoundText[] ranked =
            [
                .. Nearest(pictures.ImageVectors.AsSpan(shifted * pictures.Size, pictures.Size), texts, pictures.Size, captions.Length)
                    .Select((hit, place) => new FoundText(place + 1, captions[hit.Row], hit.Score, hit.Row == shifted)),
            ];
            queries.Add(new PictureQuery(renderer.Render(gallery.SceneAt(shifted)), [.. ranked.Where(text => text.Rank <= TextsPerPicture || text.IsRight)]));
        }

        return queries;
    }

    private static List<AttentionPicture> LookAt(DualEncoderFolder model, SceneDataset gallery)
    {
        int[] rows = [.. Spread(gallery.Count, AttentionCount).Select(row => (row + 3) % gallery.Count)];
        RgbImage[] images = [.. rows.Select(row => gallery.Get(row).Image)];
        using TensorScope scope = new();
        Tensor attention = ((Clip)model.Model).VisionEncoder.ClassAttention(model.ToTensor(images));
        int heads = attention.Shape[1], patches = attention.Shape[2], side = (int)Math.Sqrt(patches);
        float[] weights = attention.ToArray();

        SceneRenderer renderer = new(ShownSize);
        List<AttentionPicture> result = [];
        for (int i = 0; i < rows.Length; i++)
        {
            float[] map = AttentionMap.MeanOverHeads(weights.AsSpan(i * heads * patches, heads * patches), heads);
            RgbImage large = renderer.Render(gallery.SceneAt(rows[i]));
            result.Add(new AttentionPicture(gallery.GetCaption(rows[i]), large, AttentionMap.Overlay(large, map, side, side)));
        }

        return result;
    }

    private static IEnumerable<int> Spread(int count, int wanted) => Enumerable.Range(0, Math.Min(wanted, count)).Select(i => (int)((long)i * count / Math.Min(wanted, count)));

    private static IEnumerable<(int Row, float Score)> Nearest(ReadOnlySpan<float> query, float[] vectors, int size, int count)
    {
        (int Row, float Score)[] scored = new (int, float)[vectors.Length / size];
        for (int row = 0; row < scored.Length; row++)
            scored[row] = (row, System.Numerics.Tensors.TensorPrimitives.Dot(query, vectors.AsSpan(row * size, size)));
        return scored.OrderByDescending(hit => hit.Score).Take(count);
    }
}
