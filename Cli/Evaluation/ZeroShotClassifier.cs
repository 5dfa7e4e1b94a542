using System.Numerics.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>What zero-shot classification gave.</summary>
/// <param name="Name">What was classified.</param>
/// <param name="Count">Number of pictures.</param>
/// <param name="Accuracy">Share of pictures whose class scores highest.</param>
/// <param name="Accuracy5">Share of pictures whose class is among the five highest.</param>
/// <param name="Chance">Accuracy of guessing, 1 / classes.</param>
/// <param name="ClassNames">The classes.</param>
/// <param name="Confusion">[true class][predicted class], number of pictures.</param>
public sealed record ZeroShotResult(string Name, int Count, double Accuracy, double Accuracy5, double Chance, IReadOnlyList<string> ClassNames, int[][] Confusion);

/// <summary>
/// A classifier made of words: a class is the mean of the unit vectors of its prompts, a picture belongs to the nearest one
/// (arXiv:2103.00020, section 3.1.4).
/// </summary>
public sealed class ZeroShotClassifier
{
    /// <summary>Prompt templates that serve most pictures; <c>{}</c> is the class name.</summary>
    public static IReadOnlyList<string> DefaultTemplates { get; } = ["{}", "a {}", "a photo of a {}", "a picture of a {}", "a drawing of a {}"];

    private readonly IReadOnlyList<string> _classNames;
    private readonly float[] _classes;
    private readonly int _size;

    /// <summary>Encodes the prompts.</summary>
    /// <param name="model">Encodes the prompts.</param>
    /// <param name="classNames">The classes.</param>
    /// <param name="prompts">For each class its prompts, at least one.</param>
    /// <param name="cancellation">Checked between batches.</param>
    public ZeroShotClassifier(DualEncoderFolder model, IReadOnlyList<string> classNames, IReadOnlyList<IReadOnlyList<string>> prompts, CancellationToken cancellation = default)
        : this(classNames, [.. prompts.Select(some => some.Count)], model.EncodeTexts([.. prompts.SelectMany(some => some)], cancellation: cancellation), model.EmbeddingSize)
    {
    }

    /// <summary>A classifier of vectors.</summary>
    /// <param name="classNames">The classes.</param>
    /// <param name="promptCounts">For each class how many prompts it has, at least one.</param>
    /// <param name="prompts">Unit vectors of all prompts, row by row, those of the first class first.</param>
    /// <param name="size">Length of a vector.</param>
    /// <exception cref="ArgumentException">A class has no prompt, or the numbers do not fit together.</exception>
    public ZeroShotClassifier(IReadOnlyList<string> classNames, IReadOnlyList<int> promptCounts, float[] prompts, int size)
    {
        int all = promptCounts.Sum();
        if (promptCounts.Count != classNames.Count || promptCounts.Any(count => count < 1) || prompts.Length != all * size)
            throw new ArgumentException($"ZeroShotClassifier: {classNames.Count} classes need as many counts of at least one prompt, found {string.Join(", ", promptCounts)}, and {all} prompts of {size} values, found {prompts.Length} values.", nameof(prompts));
        (_classNames, _size) = (classNames, size);
        _classes = new float[classNames.Count * size];
        int row = 0;
        for (int c = 0; c < classNames.Count; c++)
        {
            Span<float> mean = _classes.AsSpan(c * size, size);
            for (int p = 0; p < promptCounts[c]; p++, row++) TensorPrimitives.Add(mean, prompts.AsSpan(row * size, size), mean);
            float norm = TensorPrimitives.Norm(mean);
            if (norm > 0) TensorPrimitives.Divide(mean, norm, mean);
        }
    }

    /// <summary>Puts class names into templates.</summary>
    public static IReadOnlyList<IReadOnlyList<string>> Fill(IEnumerable<string> classNames, IReadOnlyList<string> templates)
        => [.. classNames.Select(name => (IReadOnlyList<string>)[.. templates.Select(template => template.Replace("{}", name, StringComparison.Ordinal))])];

    /// <summary>Classifies pictures and counts.</summary>
    /// <param name="name">What is classified, for the result.</param>
    /// <param name="images">Unit vectors, row by row.</param>
    /// <param name="labels">Right class of each.</param>
    public ZeroShotResult Evaluate(string name, ReadOnlySpan<float> images, IReadOnlyList<int> labels)
    {
        int classes = _classNames.Count, right = 0, right5 = 0;
        int[][] confusion = new int[classes][];
        for (int c = 0; c < classes; c++) confusion[c] = new int[classes];
        float[] scores = new float[classes];
        for (int i = 0; i < labels.Count; i++)
        {
            for (int c = 0; c < classes; c++) scores[c] = TensorPrimitives.Dot(images.Slice(i * _size, _size), _classes.AsSpan(c * _size, _size));
            int better = 0, label = labels[i];
            for (int c = 0; c < classes; c++)
                if (c != label && !(scores[c] < scores[label])) better++;    // a tie is no answer
            right += better == 0 ? 1 : 0;
            right5 += better < 5 ? 1 : 0;
            confusion[label][better == 0 ? label : BestOther(scores, label)]++;
        }

        int count = Math.Max(1, labels.Count);
        return new ZeroShotResult(name, labels.Count, (double)right / count, (double)right5 / count, 1.0 / classes, _classNames, confusion);
    }

    private static int BestOther(float[] scores, int label)
    {
        int best = label == 0 ? 1 : 0;
        for (int c = 0; c < scores.Length; c++)
            if (c != label && scores[c] > scores[best]) best = c;
        return best;
    }
}
