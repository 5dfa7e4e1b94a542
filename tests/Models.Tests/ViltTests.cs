using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>ViLT beyond its references: padding, pictures of different sizes, heads without a reference, folders.</summary>
public sealed class ViltTests
{
    private const int Patch = 5;

    private static readonly ViltConfig Config = new()
    {
        VocabularySize = 53,
        MaxPositions = 10,
        ImageSize = 20,
        PatchSize = Patch,
        Width = 20,
        Layers = 2,
        Heads = 4,
        HiddenWidth = 36,
        InitializerRange = 0.2f,
    };

    /// <summary>
    /// A text among longer ones and a picture in a larger frame give what they give alone: padding, whatever it holds, changes nothing, and positions
    /// belong to the picture and not to the frame.
    /// </summary>
    [Fact]
    public void PaddingOfTextAndPictureChangesNothing()
    {
        using TensorScope scope = new();
        using ViltForQuestionAnswering model = ViltForQuestionAnswering.FromPretrained(Goldens.Folder("vilt_question_answering"));
        int[][] texts = [[1, 7, 9, 30, 2], [1, 12, 2], [1, 4, 5, 6, 8, 9, 40, 2]];
        (int Height, int Width)[] sizes = [(20, 20), (15, 30), (10, 5)];
        float[][] pictures = [.. sizes.Select((size, i) => Random(3 * size.Height * size.Width, seed: i))];
        (TextBatch text, ImageBatch images) = Batch(texts, pictures, sizes, length: 9, height: 20, width: 35);
        float[] together = model.Forward(text, images).ToArray();
        for (int i = 0; i < texts.Length; i++)
        {
            Tensor alone = Tensor.FromArray(pictures[i], [1, 3, sizes[i].Height, sizes[i].Width]);
            float[] expected = model.Forward(new TextBatch(IndexTensor.FromArray(texts[i], [1, texts[i].Length])), new ImageBatch(alone)).ToArray();
            for (int k = 0; k < expected.Length; k++) Assert.Equal(expected[k], together[(i * expected.Length) + k], 1e-5f);
        }
    }

    [Fact]
    public void APictureChangesTheAnswer()
    {
        using TensorScope scope = new();
        using ViltForQuestionAnswering model = ViltForQuestionAnswering.FromPretrained(Goldens.Folder("vilt_question_answering"));
        TextBatch text = new(IndexTensor.FromArray([1, 7, 9, 2, 1, 7, 9, 2], [2, 4]));
        float[] scores = model.Forward(text, new ImageBatch(Tensor.FromArray(Random(2 * 3 * 20 * 20, seed: 1), [2, 3, 20, 20]))).ToArray();
        Assert.True(scores[..7].Zip(scores[7..]).Max(pair => Math.Abs(pair.First - pair.Second)) > 1e-3f);
        IAnswerClassifier classifier = model;
        Assert.Equal(7, classifier.Answers.Count);
        Assert.Equal(scores, classifier.AnswerLogits(Tensor.FromArray(Random(2 * 3 * 20 * 20, seed: 1), [2, 3, 20, 20]), text).ToArray());
    }

    /// <summary>There is no reference for several pictures: it must be what the bare model pools from each, under modality 1, 2, ..., behind the classifier.</summary>
    [Fact]
    public void ClassifiesSeveralPicturesAsTheBareModelPoolsThem()
    {
        using TensorScope scope = new();
        using TemporaryFolder folder = new();
        using ViltForImagesAndTextClassification model = new(Config with { NumImages = 2, ModalityTypes = 3 }, ["no", "yes", "unclear"]);
        model.Initialize(Device.Cpu, seed: 3);
        model.SavePretrained(folder.Path);
        using ViltForImagesAndTextClassification loaded = (ViltForImagesAndTextClassification)Architectures.Load(folder.Path);
        using Vilt bare = Vilt.FromPretrained(folder.Path);
        TextBatch text = new(IndexTensor.FromArray([1, 7, 9, 2, 1, 8, 2, 0], [2, 4]), IndexTensor.FromArray([1, 1, 1, 1, 1, 1, 1, 0], [2, 4]));
        ImageBatch[] images = [.. Enumerable.Range(0, 2).Select(i => new ImageBatch(Tensor.FromArray(Random(2 * 3 * 20 * 20, seed: i), [2, 3, 20, 20])))];
        Dictionary<string, Tensor> named = loaded.NamedParameters().ToDictionary(parameter => parameter.Name, parameter => parameter.Parameter.Value);
        Tensor pooled = Tensor.Concatenate(1, [.. images.Select((image, i) => bare.Pool(bare.Forward(text, image, i + 1)))]);
        Tensor hidden = pooled.Linear(named["classifier.0.weight"], named["classifier.0.bias"]).LayerNorm(named["classifier.1.weight"], named["classifier.1.bias"]).Gelu();
        float[] expected = hidden.Linear(named["classifier.3.weight"], named["classifier.3.bias"]).ToArray(), actual = loaded.Forward(text, images).ToArray();
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-6f);
        Assert.Equal<Shape>([40, 40], named["classifier.0.weight"].Shape);
        Assert.Equal<Shape>([3, 40], named["classifier.3.weight"].Shape);
        Assert.NotEqual(actual, loaded.Forward(text, [images[1], images[0]]).ToArray());
        Assert.Throws<ArgumentException>(() => loaded.Forward(text, [images[0]]));
        Assert.Throws<ArgumentException>(() => new ViltForImagesAndTextClassification(Config with { NumImages = 2 }, ["no", "yes"]));
    }

    [Fact]
    public void LabelsEveryWord()
    {
        using TensorScope scope = new();
        using TemporaryFolder folder = new();
        using ViltForTokenClassification model = new(Config, ["other", "colour"]);
        model.Initialize(Device.Cpu, seed: 3);
        model.SavePretrained(folder.Path);
        using ViltForTokenClassification loaded = (ViltForTokenClassification)Architectures.Load(folder.Path);
        Assert.DoesNotContain(loaded.NamedParameters(), named => named.Name.Contains("pooler", StringComparison.Ordinal));
        Assert.Equal(["other", "colour"], loaded.Labels);
        TextBatch text = new(IndexTensor.FromArray([1, 7, 9, 2], [1, 4]));
        ImageBatch image = new(Tensor.FromArray(Random(3 * 20 * 20, seed: 0), [1, 3, 20, 20]));
        Assert.Equal<Shape>([1, 4, 2], loaded.Forward(text, image).Shape);
        Assert.Equal(model.Forward(text, image).ToArray(), loaded.Forward(text, image).ToArray());
        using Vilt bare = Vilt.FromPretrained(folder.Path);
        Assert.Throws<InvalidOperationException>(() => bare.Pool(bare.Forward(text, image)));
    }

    /// <summary>A decoder of its own, and the bias where older versions of transformers keep it.</summary>
    [Fact]
    public void ReadsAnUntiedDecoderAndTheOldPlaceOfItsBias()
    {
        using TensorScope scope = new();
        using TemporaryFolder folder = new();
        using ViltForMaskedLM model = new(Config);
        model.Initialize(Device.Cpu, seed: 5);
        Parameter bias = model.NamedParameters().Single(named => named.Name == "mlm_score.decoder.bias").Parameter;
        bias.Assign(Random(53, seed: 9), Device.Cpu);
        model.SavePretrained(folder.Path);
        StateDict.Save(folder.File("model.safetensors"), model.NamedParameters().Select(named => (named.Name.Replace("decoder.bias", "bias", StringComparison.Ordinal), named.Parameter.Value)));
        using ViltForMaskedLM loaded = ViltForMaskedLM.FromPretrained(folder.Path);
        TextBatch text = new(IndexTensor.FromArray([1, 7, 9, 2], [1, 4]));
        ImageBatch image = new(Tensor.FromArray(Random(3 * 20 * 20, seed: 0), [1, 3, 20, 20]));
        Assert.Equal(model.PredictTokens(model.Backbone.Forward(text, image)).ToArray(), loaded.PredictTokens(loaded.Backbone.Forward(text, image)).ToArray());
        using SafetensorsFile file = SafetensorsFile.Open(folder.File("model.safetensors"));
        Assert.Contains("mlm_score.decoder.weight", file.Entries.Keys);
        Assert.Contains("mlm_score.bias", file.Entries.Keys);
    }

    /// <summary>At most so many patches: evenly spaced ones outside of training, and in training drawn anew from the generator's stream.</summary>
    [Fact]
    public void KeepsAtMostSoManyPatches()
    {
        using TensorScope scope = new();
        using Vilt model = new(Config with { MaxImageLength = 7 });
        model.Initialize(Device.Cpu, seed: 5);
        TextBatch text = new(IndexTensor.FromArray([1, 2, 1, 2], [2, 2]));
        (_, ImageBatch images) = Batch([[1, 2], [1, 2]], [Random(3 * 20 * 20, 0), Random(3 * 5 * 15, 1)], [(20, 20), (5, 15)], length: 2, height: 20, width: 20);
        ViltStates states = model.Forward(text, images);
        Assert.Equal<Shape>([2, 7, 20], states.Patches.Shape);
        Assert.Equal([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0], states.PatchMask!.ToArray());
        Assert.Equal(states.Tokens.ToArray(), model.Forward(text, images).Tokens.ToArray());

        model.Train();
        Generator outer = Generator.Current;
        Generator.Current = new Generator(4);
        float[] first = model.Forward(text, images).Tokens.ToArray(), second = model.Forward(text, images).Tokens.ToArray();
        Generator.Current = new Generator(4);
        float[] again = model.Forward(text, images).Tokens.ToArray();
        Generator.Current = outer;
        Assert.Equal(first, again);
        Assert.NotEqual(first, second);

        // The smaller picture loses nothing: what is drawn concerns the other one.
        int half = first.Length / 2;
        Assert.Equal(first[half..], second[half..]);
    }

    [Fact]
    public void NamesWhatDoesNotFit()
    {
        using TensorScope scope = new();
        using Vilt model = new(Config);
        model.Initialize(Device.Cpu);
        TextBatch text = new(IndexTensor.FromArray([1, 2], [1, 2]));
        ImageBatch image = new(Tensor.Zeros([1, 3, 10, 10]));
        Assert.Contains("10 tokens", Message(new TextBatch(IndexTensor.FromArray(new int[11], [1, 11])), image), StringComparison.Ordinal);
        Assert.Contains("multiples of 5", Message(text, new ImageBatch(Tensor.Zeros([1, 3, 12, 10]))), StringComparison.Ordinal);
        Assert.Contains("one picture for each text", Message(text, new ImageBatch(Tensor.Zeros([2, 3, 10, 10]))), StringComparison.Ordinal);
        Assert.Contains("pixel mask", Message(text, image with { Mask = IndexTensor.FromArray(new int[50], [1, 5, 10]) }), StringComparison.Ordinal);
        Assert.Contains("text's mask", Message(text with { Mask = IndexTensor.FromArray([1], [1, 1]) }, image), StringComparison.Ordinal);
        Assert.Contains("empty", Assert.Throws<ArgumentException>(() => model.Forward(text, image with { Mask = IndexTensor.FromArray(new int[100], [1, 10, 10]) })).Message, StringComparison.Ordinal);
        int[] stairs = [.. Enumerable.Range(0, 100).Select(i => i / 10 < 5 || i % 10 < 5 ? 1 : 0)];
        Assert.Contains("rectangle", Assert.Throws<ArgumentException>(() => model.Forward(text, image with { Mask = IndexTensor.FromArray(stairs, [1, 10, 10]) })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Forward(text, image, imageType: 2));

        string Message(TextBatch texts, ImageBatch images) => Assert.Throws<ShapeException>(() => model.Forward(texts, images)).Message;
    }

    [Theory]
    [InlineData("image_size", "19", "patch_size")]
    [InlineData("hidden_size", "21", "num_attention_heads")]
    [InlineData("modality_type_vocab_size", "1", "modality_type_vocab_size")]
    [InlineData("max_image_length", "0", "max_image_length")]
    [InlineData("pad_token_id", "53", "vocab_size")]
    [InlineData("num_images", "\"two\"", "num_images")]
    [InlineData("tie_word_embeddings", "3", "tie_word_embeddings")]
    public void NamesTheWrongFieldOfAConfig(string field, string value, string expected)
    {
        using TemporaryFolder folder = Goldens.Copy("vilt_masked_lm");
        JsonObject config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config[field] = JsonNode.Parse(value);
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        ModelFormatException exception = Assert.Throws<ModelFormatException>(() => Architectures.Load(folder.Path));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Contains("config.json", exception.Message, StringComparison.Ordinal);
    }

    /// <summary>The paper counts blocks and patch projection: 87.4 M.</summary>
    [Fact]
    public void KnowsThePublishedSize()
    {
        using Vilt model = new(ViltConfig.Base32);
        long counted = model.NamedParameters()
            .Where(named => named.Name.StartsWith("encoder.", StringComparison.Ordinal) || named.Name.Contains("patch_embeddings", StringComparison.Ordinal))
            .Sum(named => (long)named.Parameter.Shape.Length);
        Assert.Equal(87.4, counted / 1e6, 0.05);
        Assert.Equal(111.6, model.ParameterCount() / 1e6, 0.05);
    }

    /// <summary>Adding a head to a trained transformer leaves the transformer as it is.</summary>
    [Fact]
    public void ANewHeadKeepsTheTransformer()
    {
        using Vilt trained = Vilt.FromPretrained(Goldens.Folder("vilt_masked_lm"));
        float[][] before = [.. trained.NamedParameters().Select(named => named.Parameter.Value.ToArray())];
        using ViltForQuestionAnswering model = new(trained, ["red", "blue"]);
        Assert.False(model.NamedParameters().Single(named => named.Name == "classifier.3.weight").Parameter.IsInitialized);
        model.InitializeMissing(Device.Cpu, seed: 1);
        Assert.Equal(before, trained.NamedParameters().Select(named => named.Parameter.Value.ToArray()));
        Assert.All(model.NamedParameters(), named => Assert.True(named.Parameter.IsInitialized, named.Name));
        Assert.Equal([1, 10], model.ParameterGroups().Select(group => group.LearningRateMultiplier).Distinct().Order());
        Assert.All(model.ParameterGroups().Where(group => group.LearningRateMultiplier == 10).SelectMany(group => group.Parameters), named => Assert.StartsWith("classifier.", named.Name, StringComparison.Ordinal));
    }

    /// <summary>Cross-entropy over candidates: equal scores cost ln(candidates).</summary>
    [Fact]
    public void RankingEqualCandidatesCostsTheirLogarithm()
    {
        using TensorScope scope = new();
        using ViltForImageAndTextRetrieval model = ViltForImageAndTextRetrieval.FromPretrained(Goldens.Folder("vilt_retrieval"));
        TextBatch text = new(IndexTensor.FromArray([1, 9, 2, 1, 9, 2, 1, 9, 2, 1, 9, 2], [4, 3]));
        Tensor pixels = Tensor.FromArray([.. Enumerable.Repeat(Random(3 * 20 * 20, seed: 1), 4).SelectMany(picture => picture)], [4, 3, 20, 20]);
        Assert.Equal(Math.Log(4), model.Loss(text, new ImageBatch(pixels), candidates: 4).Item(), 1e-5);
        Assert.Throws<ArgumentException>(() => model.Loss(text, new ImageBatch(pixels), candidates: 3));
    }

    private static float[] Random(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextSingle()) - 1)];
    }

    /// <summary>Texts padded with id 0 and pictures in a frame of noise, with the masks that say so.</summary>
    private static (TextBatch Text, ImageBatch Images) Batch(int[][] texts, float[][] pictures, (int Height, int Width)[] sizes, int length, int height, int width)
    {
        int batch = texts.Length;
        int[] ids = new int[batch * length], mask = new int[ids.Length], frame = new int[batch * height * width];
        float[] pixels = Random(batch * 3 * height * width, seed: 77);
        for (int i = 0; i < batch; i++)
        {
            texts[i].CopyTo(ids, i * length);
            Array.Fill(mask, 1, i * length, texts[i].Length);
            (int h, int w) = sizes[i];
            for (int row = 0; row < h; row++)
            {
                Array.Fill(frame, 1, (((i * height) + row) * width), w);
                for (int c = 0; c < 3; c++) pictures[i].AsSpan((((c * h) + row) * w), w).CopyTo(pixels.AsSpan((((((i * 3) + c) * height) + row) * width), w));
            }
        }

        return (
            new TextBatch(IndexTensor.FromArray(ids, [batch, length]), IndexTensor.FromArray(mask, [batch, length])),
            new ImageBatch(Tensor.FromArray(pixels, [batch, 3, height, width]), IndexTensor.FromArray(frame, [batch, height, width])));
    }
}
