using MiniVlp.Data.Scenes;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>What the experiments with pictures and texts have in common: the size of the model, and how it is measured.</summary>
internal static class PairTraining
{
    /// <summary>Candidates that the coarse search hands to the matching head.</summary>
    public const int Candidates = 16;

    /// <summary>ALBEF for this data: 32 pixels in patches of 8, width 64, 2 image layers, 2 text layers and 2 fusion layers.</summary>
    public static AlbefConfig Config(EffectData data) => AlbefConfig.Tiny with
    {
        Vision = AlbefConfig.Tiny.Vision with { ImageSize = data.ImageSize },
        Text = AlbefConfig.Tiny.Text with { VocabularySize = data.Tokenizer.VocabularySize, PaddingId = data.Tokenizer.PadId },
    };

    /// <summary>
    /// Recall in percent, mean of both directions, on the validation split: <c>itc R@1</c> by cosine, <c>itm R@1</c> by the matching score of all pairs,
    /// <c>re-ranked R@1</c> by the matching score of the best candidates by cosine.
    /// </summary>
    public static Dictionary<string, double> Retrieval(IMatchingModel model, EffectData data, Device device)
    {
        using TensorScope scope = new();
        EffectSplit split = data.Validation;
        int[] all = [.. Enumerable.Range(0, split.Count)];
        EncodedImages images = model.EncodeImages(data.Images(split, all, device));
        EncodedTexts texts = model.EncodeTexts(data.Texts(split.Captions, device));
        MatchingScores every = MatchingRetrieval.Score(model, images, texts, split.Count, 256), fine = MatchingRetrieval.Score(model, images, texts, Candidates, 256);
        float[] coarse = every.Coarse ?? throw new InvalidOperationException("The model has no embeddings.");
        float[] transposed = new float[coarse.Length];
        for (int i = 0; i < split.Count; i++) for (int j = 0; j < split.Count; j++) transposed[(j * split.Count) + i] = coarse[(i * split.Count) + j];
        return new Dictionary<string, double>(StringComparer.Ordinal)
        {
            ["itc R@1"] = 50 * (RecallAtOne(coarse, split.ImageIds) + RecallAtOne(transposed, split.ImageIds)),
            ["itm R@1"] = 50 * (RecallAtOne(every.ImageToText, split.ImageIds) + RecallAtOne(every.TextToImage, split.ImageIds)),
            ["re-ranked R@1"] = 50 * (RecallAtOne(fine.ImageToText, split.ImageIds) + RecallAtOne(fine.TextToImage, split.ImageIds)),
        };
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

    /// <summary>Share of rows whose best column is right: a column with the id of the row. A tie counts for as much as guessing among the best would give.</summary>
    public static double RecallAtOne(ReadOnlySpan<float> scores, IReadOnlyList<int> ids)
    {
        int count = ids.Count;
        double right = 0;
        for (int row = 0; row < count; row++)
        {
            ReadOnlySpan<float> line = scores.Slice(row * count, count);
            float best = float.NegativeInfinity;
            foreach (float score in line) best = Math.Max(best, score);
            int ties = 0, rightTies = 0;
            for (int column = 0; column < count; column++)
            {
                if (line[column] != best) continue;
                ties++;
                if (ids[column] == ids[row]) rightTies++;
            }

            if (ties > 0) right += (double)rightTies / ties;
        }

        return right / count;
    }
}
