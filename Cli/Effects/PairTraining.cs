using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>What the experiments with pictures and texts have in common: the size of the model, and how it is measured.</summary>
internal static class PairTraining
{
    /// <summary>Candidates that the coarse search hands to the matching head.</summary>
    public const int Candidates = 16;

    private const int CandidatesOfFiles = 64;

    /// <summary>What is done otherwise with pictures of files.</summary>
    public static string OnFiles => $"Pictures of files are few and varied: each time that one is shown in training it is cropped (0.6 to 1 of the area) and mirrored unless its caption says left or right; recall counts among the ten best instead of the best, and the {CandidatesOfFiles} best by cosine are re-ranked.";

    /// <summary>ALBEF for this data: 32 pixels in patches of 8, width 64, 2 image layers, 2 text layers and 2 fusion layers.</summary>
    public static AlbefConfig Config(EffectData data) => AlbefConfig.Tiny with
    {
        Vision = AlbefConfig.Tiny.Vision with { ImageSize = data.ImageSize },
        Text = AlbefConfig.Tiny.Text with { VocabularySize = data.Tokenizer.VocabularySize, PaddingId = data.Tokenizer.PadId },
    };

    /// <summary>
    /// Recall in percent, mean of both directions, on the validation split: <c>itc R@1</c> by cosine, <c>itm R@1</c> by the matching score of all pairs,
    /// <c>re-ranked R@1</c> by the matching score of the best candidates by cosine; for pictures of files also among the ten best, <c>itc R@10</c> and so on.
    /// </summary>
    public static Dictionary<string, double> Retrieval(IMatchingModel model, EffectData data, Device device)
    {
        using TensorScope scope = new();
        EffectSplit split = data.Validation;
        int[] all = [.. Enumerable.Range(0, split.Count)];
        EncodedImages images = model.EncodeImages(data.Images(split, all, device));
        EncodedTexts texts = model.EncodeTexts(data.Texts(split.Captions, device));
        MatchingScores every = MatchingRetrieval.Score(model, images, texts, split.Count, 256);
        MatchingScores fine = MatchingRetrieval.Score(model, images, texts, Math.Min(split.Count, data.World is null ? CandidatesOfFiles : Candidates), 256);
        float[] coarse = every.Coarse ?? throw new InvalidOperationException("The model has no embeddings.");
        float[] transposed = new float[coarse.Length];
        for (int i = 0; i < split.Count; i++) for (int j = 0; j < split.Count; j++) transposed[(j * split.Count) + i] = coarse[(i * split.Count) + j];
        (int, int)[] pairs = [.. from i in all from j in all where split.ImageIds[i] == split.ImageIds[j] select (i, j)];
        Dictionary<string, double> measures = new(StringComparer.Ordinal);
        foreach ((string name, float[] imageToText, float[] textToImage) in new[] { ("itc", coarse, transposed), ("itm", every.ImageToText, every.TextToImage), ("re-ranked", fine.ImageToText, fine.TextToImage) })
        {
            RetrievalResult result = RetrievalMetrics.Evaluate(imageToText, textToImage, split.Count, split.Count, pairs);
            measures[name + " R@1"] = 50 * (result.ImageToText.R1 + result.TextToImage.R1);
            if (data.World is null) measures[name + " R@10"] = 50 * (result.ImageToText.R10 + result.TextToImage.R10);
        }

        return measures;
    }

    /// <summary>How often, in percent, the true caption scores above the same caption with one word exchanged for a false one.</summary>
    public static double OneWordAccuracy(IMatchingModel model, EffectData data, Device device)
    {
        SceneDataset scenes = (SceneDataset)data.Validation.Source;
        List<(int Image, string True, string False)> trials = [];
        for (int i = 0; i < scenes.Count; i++)
        {
            string caption = data.Validation.Captions[i];
            if (SceneDistractor.Draw(caption, scenes.SceneAt(i), data.World!, (ulong)i) is { } distractor) trials.Add((i, caption, distractor.Text));
        }

        using TensorScope scope = new();
        EncodedImages images = model.EncodeImages(data.Images(data.Validation, [.. trials.Select(trial => trial.Image)], device));
        float[] right = model.Match(images, model.EncodeTexts(data.Texts([.. trials.Select(trial => trial.True)], device))).ToArray();
        float[] wrong = model.Match(images, model.EncodeTexts(data.Texts([.. trials.Select(trial => trial.False)], device))).ToArray();
        return 100.0 * right.Zip(wrong).Count(pair => pair.First > pair.Second) / trials.Count;
    }
}
