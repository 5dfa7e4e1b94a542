using MiniVlp.Cli.Datasets;
using MiniVlp.Data;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>
/// A data set in memory, small enough for hundreds of short trainings: pixels, captions, tokens, and which captions belong to one picture.
/// </summary>
public sealed class EffectData
{
    /// <summary>The name of scenes.</summary>
    public const string ScenesName = "scenes";

    private const int ContextLength = 24, MostPieces = 1000;
    private const double SmallestCrop = 0.6;
    private const ulong NoiseSeed = 1;

    private readonly int _pixelsPerImage;
    private readonly Dictionary<string, int> _captionIds = new(StringComparer.Ordinal);

    private EffectData(string name, EffectSplit train, EffectSplit validation, TextTokenizer tokenizer, int imageSize, SceneOptions? world)
    {
        (Name, Train, Validation, Tokenizer, ImageSize, World) = (name, train, validation, tokenizer, imageSize, world);
        _pixelsPerImage = 3 * imageSize * imageSize;
    }

    /// <summary>As tables print it.</summary>
    public string Name { get; }

    /// <summary>What is trained on.</summary>
    public EffectSplit Train { get; }

    /// <summary>What is measured on; it shares nothing with <see cref="Train"/>.</summary>
    public EffectSplit Validation { get; }

    /// <summary>Word pieces of the training captions.</summary>
    public TextTokenizer Tokenizer { get; }

    /// <summary>Side of the pictures.</summary>
    public int ImageSize { get; }

    /// <summary>Tokens that every text is padded to.</summary>
    public int TextLength { get; private init; }

    /// <summary>The world that scenes are from; null for data of files.</summary>
    public SceneOptions? World { get; }

    /// <summary>What is done to a training picture each time that it is shown with its caption; null for scenes, which are plentiful and whose captions name places.</summary>
    private ImageAugmentation? Augmentation { get; init; }

    /// <summary>What is known of every picture, to measure features by; empty where nothing is.</summary>
    public IReadOnlyList<EffectLabels> Labels { get; private init; } = [];

    /// <summary>Scenes; every caption of the validation split fits one picture alone.</summary>
    /// <param name="trainCount">Training pairs.</param>
    /// <param name="validationCount">Pairs to measure on.</param>
    /// <param name="world">What there is in them; null for the demo's world.</param>
    public static EffectData Scenes(int trainCount, int validationCount, SceneOptions? world = null)
    {
        const int ImageSize = 32;
        world ??= SceneOptions.Demo;
        SceneDataset train = new(new SceneDatasetOptions { World = world, Count = trainCount, ImageSize = ImageSize });
        SceneDataset validation = new(new SceneDatasetOptions { World = world, Split = SceneSplit.Validation, Count = validationCount, ImageSize = ImageSize, UniqueCaptions = true });
        return Create(ScenesName, train, validation, ImageSize, world);
    }

    /// <summary>
    /// Scenes with one object of the full world, labelled by its shape and its colour: what features that were learnt without captions are measured on.
    /// </summary>
    /// <param name="trainCount">Pictures to train on.</param>
    /// <param name="validationCount">Pictures to measure on.</param>
    public static EffectData SingleObjects(int trainCount, int validationCount)
    {
        const int ImageSize = 32;
        SceneOptions world = new SceneOptions().SingleObjects();
        SceneDataset train = new(new SceneDatasetOptions { World = world, Count = trainCount, ImageSize = ImageSize });
        SceneDataset validation = new(new SceneDatasetOptions { World = world, Split = SceneSplit.Validation, Count = validationCount, ImageSize = ImageSize });
        EffectData data = Create(ScenesName, train, validation, ImageSize, world);
        return data.WithLabels([.. new[] { SceneZeroShotTask.Shape(world), SceneZeroShotTask.Color(world) }.Select(task => new EffectLabels(
            task.ClassNames.Length, [.. Enumerable.Range(0, trainCount).Select(i => task.LabelOf(train.SceneAt(i)))], [.. Enumerable.Range(0, validationCount).Select(i => task.LabelOf(validation.SceneAt(i)))]))]);
    }

    /// <summary>Pictures of files.</summary>
    /// <param name="name">As tables print it.</param>
    /// <param name="train">What is trained on.</param>
    /// <param name="validation">What is measured on.</param>
    /// <param name="labelField">Field of the metadata that holds the class of a picture; null for no labels.</param>
    /// <param name="imageSize">Side in pixels that the pictures are resized to.</param>
    /// <exception cref="ToolException">A picture has no such field.</exception>
    public static EffectData Files(string name, IImageTextDataset train, IImageTextDataset validation, string? labelField = null, int imageSize = 32)
    {
        EffectData data = Create(name, train, validation, imageSize, null);
        if (labelField is null) return data;
        string[] names = [.. Enumerable.Range(0, train.Count).Select(index => LabelOf(train, index)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        return data.WithLabels(new EffectLabels(names.Length, LabelsOf(train), LabelsOf(validation)));

        int[] LabelsOf(IImageTextDataset dataset) => [.. Enumerable.Range(0, dataset.Count).Select(index => Array.IndexOf(names, LabelOf(dataset, index)))];

        string LabelOf(IImageTextDataset dataset, int index)
        {
            ImageTextSample sample = dataset.Get(index);
            return sample.Metadata is { } fields && fields.TryGetProperty(labelField, out System.Text.Json.JsonElement value) && value.ValueKind == System.Text.Json.JsonValueKind.String
                ? value.GetString()!
                : throw new ToolException($"--label {labelField}: {sample.Key} has no such field of text.");
        }
    }

    /// <summary>
    /// The same data with a share of wrong training captions: scenes get the noise of <see cref="SceneDatasetOptions.NoiseKinds"/>, other
    /// pictures the caption of another picture.
    /// </summary>
    /// <param name="rate">Share of captions, 0 to 1.</param>
    public EffectData WithNoise(double rate)
    {
        if (rate == 0) return this;
        string[] captions = [.. Train.Captions];
        SceneDataset? noisy = Train.Source is SceneDataset scenes ? new SceneDataset(scenes.Options with { NoiseRate = rate }) : null;
        for (int i = 0; i < captions.Length; i++)
        {
            SampleRandom random = SampleRandom.For(NoiseSeed, 0, i);
            if (noisy is not null) captions[i] = noisy.GetCaption(i);
            else if (random.Chance(rate)) captions[i] = Train.Captions[random.Next(captions.Length)];
        }

        return new EffectData(Name, Train.WithCaptions(captions), Validation, Tokenizer, ImageSize, World) { TextLength = TextLength, Augmentation = Augmentation };
    }

    /// <summary>Pictures on a device, [count, 3, size, size].</summary>
    public Tensor Images(EffectSplit split, ReadOnlySpan<int> indices, Device device)
    {
        float[] pixels = new float[indices.Length * _pixelsPerImage];
        for (int i = 0; i < indices.Length; i++) split.Pixels.AsSpan(indices[i] * _pixelsPerImage, _pixelsPerImage).CopyTo(pixels.AsSpan(i * _pixelsPerImage));
        return Tensor.FromArray(pixels, [indices.Length, 3, ImageSize, ImageSize], device);
    }

    /// <summary>Two augmented views of pictures on a device.</summary>
    /// <param name="split">Of which split.</param>
    /// <param name="indices">Which pictures.</param>
    /// <param name="augmentation">Makes the views.</param>
    /// <param name="seed">Of the views.</param>
    /// <param name="step">The same picture has other views at another step.</param>
    /// <param name="device">Where.</param>
    public ImageViews Views(EffectSplit split, int[] indices, ContrastiveAugmentation augmentation, ulong seed, int step, Device device)
    {
        ImagePreprocessor preprocessor = ImagePreprocessor.Clip(ImageSize);
        float[] first = new float[indices.Length * _pixelsPerImage], second = new float[first.Length];
        Parallel.For(0, indices.Length, i =>
        {
            (RgbImage one, RgbImage other) = augmentation.Views(split.Pictures[indices[i]], seed, step, indices[i]);
            preprocessor.Normalize(one, first.AsSpan(i * _pixelsPerImage, _pixelsPerImage));
            preprocessor.Normalize(other, second.AsSpan(i * _pixelsPerImage, _pixelsPerImage));
        });
        Shape shape = [indices.Length, 3, ImageSize, ImageSize];
        return new ImageViews(Tensor.FromArray(first, shape, device), Tensor.FromArray(second, shape, device), IndexTensor.FromArray(indices, [indices.Length], device));
    }

    /// <summary>Texts on a device, padded to <see cref="TextLength"/>.</summary>
    public TextBatch Texts(IReadOnlyList<string> texts, Device device)
    {
        (int[] ids, int[] mask) = Tokenizer.EncodeBatch(texts, TextLength);
        Shape shape = [texts.Count, TextLength];
        return new TextBatch(IndexTensor.FromArray(ids, shape, device), IndexTensor.FromArray(mask, shape, device));
    }

    /// <summary>Training pictures with their captions and ids on a device; pictures of files are cropped and mirrored anew.</summary>
    /// <param name="indices">Which pictures.</param>
    /// <param name="seed">Of the crops.</param>
    /// <param name="step">The same picture is cropped otherwise at another step.</param>
    /// <param name="device">Where.</param>
    public PairBatch TrainingPairs(int[] indices, int seed, int step, Device device) => TrainingPairs(indices, [.. indices.Select(index => Train.Captions[index])], seed, step, device);

    /// <summary>The same with other captions than the pictures' own; pairs with equal captions have equal ids, in every batch.</summary>
    /// <param name="indices">Which pictures.</param>
    /// <param name="captions">One for each.</param>
    /// <param name="seed">Of the crops.</param>
    /// <param name="step">The same picture is cropped otherwise at another step.</param>
    /// <param name="device">Where.</param>
    public PairBatch TrainingPairs(int[] indices, string[] captions, int seed, int step, Device device)
    {
        int[] ids = new int[indices.Length];
        for (int i = 0; i < ids.Length; i++)
            if (!_captionIds.TryGetValue(captions[i], out ids[i])) _captionIds.Add(captions[i], ids[i] = _captionIds.Count);

        return new PairBatch(TrainingImages(indices, captions, seed, step, device), Texts(captions, device), IndexTensor.FromArray(ids, [ids.Length], device));
    }

    private Tensor TrainingImages(int[] indices, string[] captions, int seed, int step, Device device)
    {
        if (Augmentation is null) return Images(Train, indices, device);
        ImagePreprocessor preprocessor = ImagePreprocessor.Clip(ImageSize);
        float[] pixels = new float[indices.Length * _pixelsPerImage];
        for (int i = 0; i < indices.Length; i++)
        {
            (RgbImage image, _) = Augmentation.Apply(Train.Pictures[indices[i]], captions[i], (ulong)seed, step, indices[i]);
            preprocessor.Normalize(image, pixels.AsSpan(i * _pixelsPerImage, _pixelsPerImage));
        }

        return Tensor.FromArray(pixels, [indices.Length, 3, ImageSize, ImageSize], device);
    }

    private EffectData WithLabels(params IReadOnlyList<EffectLabels> labels) => new(Name, Train, Validation, Tokenizer, ImageSize, World) { TextLength = TextLength, Augmentation = Augmentation, Labels = labels };

    private static EffectData Create(string name, IImageTextDataset train, IImageTextDataset validation, int imageSize, SceneOptions? world)
    {
        ImagePreprocessor preprocessor = ImagePreprocessor.Clip(imageSize);
        EffectSplit learned = EffectSplit.Load(train, preprocessor, imageSize), held = EffectSplit.Load(validation, preprocessor, imageSize);
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(learned.Captions, MostPieces), BlipTextConfig.AddedTokens);
        int longest = Math.Max(learned.Captions.Max(text => tokenizer.Encode(text, ContextLength).Length), held.Captions.Max(text => tokenizer.Encode(text, ContextLength).Length));
        return new EffectData(name, learned, held, tokenizer, imageSize, world)
        {
            TextLength = ImageTextBatchBuilder.PaddedLength(longest, ContextLength),
            Augmentation = world is null ? new ImageAugmentation(new RandomResizedCrop(imageSize) { Scale = (SmallestCrop, 1) }, new HorizontalFlip()) : null,
        };
    }
}

/// <summary>A way to sort all pictures into classes.</summary>
/// <param name="ClassCount">Number of classes.</param>
/// <param name="Train">The class of each training picture.</param>
/// <param name="Validation">The class of each picture that is measured on; -1 for a class that no training picture has.</param>
public sealed record EffectLabels(int ClassCount, IReadOnlyList<int> Train, IReadOnlyList<int> Validation);

/// <summary>Pictures and captions of one split.</summary>
/// <param name="Source">Where they came from.</param>
/// <param name="Pictures">Resized.</param>
/// <param name="Pixels">[count, 3, size, size], normalised.</param>
/// <param name="Captions">One for each picture.</param>
/// <param name="ImageIds">Equal where captions are equal: such pairs are no negatives of each other.</param>
public sealed record EffectSplit(IImageTextDataset Source, IReadOnlyList<RgbImage> Pictures, float[] Pixels, IReadOnlyList<string> Captions, IReadOnlyList<int> ImageIds)
{
    /// <summary>Number of pairs.</summary>
    public int Count => Captions.Count;

    internal static EffectSplit Load(IImageTextDataset dataset, ImagePreprocessor preprocessor, int imageSize)
    {
        int length = 3 * imageSize * imageSize;
        float[] pixels = new float[dataset.Count * length];
        string[] captions = new string[dataset.Count];
        RgbImage[] pictures = new RgbImage[dataset.Count];
        Parallel.For(0, dataset.Count, i =>
        {
            ImageTextSample sample = dataset.Get(i);
            pictures[i] = preprocessor.ResizeAndCrop(sample.Image);
            preprocessor.Normalize(pictures[i], pixels.AsSpan(i * length, length));
            captions[i] = sample.Caption;
        });
        return new EffectSplit(dataset, pictures, pixels, captions, IdsOf(captions));
    }

    internal EffectSplit WithCaptions(string[] captions) => this with { Captions = captions, ImageIds = IdsOf(captions) };

    private static int[] IdsOf(string[] captions)
    {
        Dictionary<string, int> first = new(StringComparer.Ordinal);
        return [.. captions.Select((caption, i) => first.TryAdd(caption, i) ? i : first[caption])];
    }
}

/// <summary>The order of the training data: a function of the seed alone, so that runs of equal seed see the same batches.</summary>
/// <param name="count">Number of samples.</param>
/// <param name="seed">The seed.</param>
public sealed class EffectOrder(int count, int seed)
{
    private readonly int[] _order = [.. Enumerable.Range(0, count)];
    private int _position = int.MaxValue / 2, _epoch;

    /// <summary>The samples of the next batch; what does not fill a batch at the end of an epoch is left out.</summary>
    public int[] Next(int batchSize)
    {
        if (_position + batchSize > _order.Length)
        {
            SampleRandom.For((ulong)seed, _epoch++, 0).Shuffle(_order.AsSpan());
            _position = 0;
        }

        int[] batch = _order[_position..(_position + batchSize)];
        _position += batchSize;
        return batch;
    }
}
