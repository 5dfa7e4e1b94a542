using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>A classification of pictures to probe features with: pictures to learn from, others to measure on.</summary>
/// <param name="Name">What is classified.</param>
/// <param name="ClassNames">The classes.</param>
/// <param name="Train">Features [n, width] to learn from.</param>
/// <param name="TrainLabels">Their classes.</param>
/// <param name="Test">Features to measure on, which nothing is fitted to or chosen by.</param>
/// <param name="TestLabels">Their classes.</param>
public sealed record ProbeTask(string Name, IReadOnlyList<string> ClassNames, Tensor Train, IReadOnlyList<int> TrainLabels, Tensor Test, IReadOnlyList<int> TestLabels)
{
    /// <summary>Share of the test pictures that are of the class most frequent among those to learn from: what a probe reaches that looks at nothing.</summary>
    public double MajorityAccuracy
    {
        get
        {
            int majority = TrainLabels.GroupBy(label => label).OrderByDescending(group => group.Count()).ThenBy(group => group.Key).First().Key;
            return (double)TestLabels.Count(label => label == majority) / TestLabels.Count;
        }
    }

    /// <summary>Colour and shape of single objects of the built-in world.</summary>
    /// <param name="model">Makes the features.</param>
    /// <param name="train">Which world, split and number of scenes to learn from.</param>
    /// <param name="test">The same to measure on.</param>
    /// <param name="batchSize">Pictures that go through the model at once.</param>
    /// <param name="cancellation">Checked between batches.</param>
    public static IReadOnlyList<ProbeTask> OfScenes(ImageEncoderFolder model, SceneDatasetOptions train, SceneDatasetOptions test, int batchSize = 64, CancellationToken cancellation = default)
    {
        SceneOptions single = train.World.SingleObjects();
        SceneRenderer renderer = new(model.ImageSize);
        (Scene[] Scenes, Tensor Features) Encode(SceneDatasetOptions options)
        {
            Scene[] scenes = [.. new SceneWorld(single).Take(options.Split, options.Count)];
            return (scenes, model.Encode(scenes.Length, i => renderer.Render(scenes[i]), batchSize, cancellation: cancellation));
        }

        (Scene[] fit, Tensor fitFeatures) = Encode(train);
        (Scene[] held, Tensor heldFeatures) = Encode(test);
        return
        [
            .. new[] { SceneZeroShotTask.Color(single), SceneZeroShotTask.Shape(single) }
                .Select(task => new ProbeTask(task.Name, task.ClassNames, fitFeatures, [.. fit.Select(task.LabelOf)], heldFeatures, [.. held.Select(task.LabelOf)])),
        ];
    }

    /// <summary>Labelled pictures: the classes are the distinct labels of those to learn from.</summary>
    /// <param name="model">Makes the features.</param>
    /// <param name="train">Pictures to learn from.</param>
    /// <param name="test">Pictures to measure on.</param>
    /// <param name="labelField">Field of the data that holds the label; the caption when null.</param>
    /// <param name="batchSize">Pictures that go through the model at once.</param>
    /// <param name="cancellation">Checked between batches.</param>
    /// <exception cref="ToolException">There are fewer than two classes, or a picture to measure on has a label that none to learn from has.</exception>
    public static ProbeTask OfPictures(ImageEncoderFolder model, IImageTextDataset train, IImageTextDataset test, string? labelField, int batchSize = 64, CancellationToken cancellation = default)
    {
        (Tensor fit, string[] fitLabels) = Encode(train);
        (Tensor held, string[] heldLabels) = Encode(test);
        string[] names = [.. fitLabels.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        if (names.Length < 2) throw new ToolException($"{train.Name}: a probe needs at least two classes, found {names.Length}.");
        if (heldLabels.Except(names, StringComparer.Ordinal).FirstOrDefault() is { } unknown) throw new ToolException($"{test.Name}: no picture of {train.Name} has the label '{unknown}'.");
        return new ProbeTask(labelField ?? "caption", names, fit, Numbers(fitLabels), held, Numbers(heldLabels));

        int[] Numbers(string[] labels) => [.. labels.Select(label => Array.IndexOf(names, label))];

        (Tensor, string[]) Encode(IImageTextDataset data)
        {
            string[] labels = new string[data.Count];
            Tensor features = model.Encode(data.Count, ReadPicture, batchSize, cancellation: cancellation);
            return (features, labels);

            RgbImage ReadPicture(int i)
            {
                ImageTextSample sample = data.Get(i);
                labels[i] = SampleLabels.TextOf(new EmbeddedSample(sample.Key, sample.Caption, i, sample.Metadata), labelField);
                return sample.Image;
            }
        }
    }
}
