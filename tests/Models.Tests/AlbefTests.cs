using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>The parts of ALBEF: sizes, who asks whom, retrieval in two stages, grounding, folders.</summary>
public sealed class AlbefTests
{
    [Fact]
    public void KnowsThePublishedSizes()
    {
        using Albef model = new(AlbefConfig.Base);
        Assert.Equal(85_844_736, model.VisionEncoder.ParameterCount()); // 85.8 M in the paper
        Assert.Equal(123_697_722, model.TextEncoder.ParameterCount()); // 123.7 M in the paper
    }

    [Fact]
    public void ForwardEqualsDoublePrecision()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        AlbefReference reference = new(samples.Model, AlbefSamples.Config);
        Tensor image = samples.Model.EncodeImage(samples.Images), text = samples.Model.EncodeText(samples.Text);
        Tensor fused = samples.Model.Fuse(text, samples.Text.Mask, image);
        Tensor logits = samples.Model.MatchingLogits(fused), words = samples.Model.PredictTokens(fused);
        for (int row = 0; row < AlbefSamples.Batch; row++)
        {
            bool[] mask = AlbefSamples.MaskOf(row);
            double[][] states = reference.Image(AlbefSamples.PixelsOf(row)), own = reference.Text(AlbefSamples.Ids.AsSpan(row * AlbefSamples.Tokens, AlbefSamples.Tokens), mask);
            double[][] expected = reference.Fuse(own, mask, states);
            int tokens = mask.Count(isToken => isToken);
            AssertClose([.. states.SelectMany(values => values)], image.Slice(row, 1).ToArray());
            AssertClose([.. own.Take(tokens).SelectMany(values => values)], text.Slice(row, 1).ToArray().AsSpan(0, tokens * 8));
            AssertClose([.. expected.Take(tokens).SelectMany(values => values)], fused.Slice(row, 1).ToArray().AsSpan(0, tokens * 8));
            AssertClose(reference.Match(expected), logits.Slice(row, 1).ToArray());
            AssertClose([.. expected.Take(tokens).SelectMany(reference.Predict)], words.Slice(row, 1).ToArray().AsSpan(0, tokens * AlbefSamples.Words));
        }
    }

    /// <summary>Keys and values are a set: their order means nothing. Queries keep theirs.</summary>
    [Fact]
    public void TheTextAsksAndTheImageAnswers()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        Albef model = samples.Model;
        Tensor image = model.EncodeImage(samples.Images), text = model.EncodeText(samples.Text);
        Tensor fused = model.Fuse(text, samples.Text.Mask, image);
        Assert.Equal([AlbefSamples.Batch, AlbefSamples.Tokens, 8], fused.Shape);
        int[] reversed = [.. Enumerable.Range(0, AlbefSamples.Batch).SelectMany(_ => new[] { 4, 3, 2, 1, 0 })];
        Tensor shuffled = image.GatherTokens(IndexTensor.FromArray(reversed, [AlbefSamples.Batch, 5], samples.Device));
        AssertClose([.. fused.ToArray().Select(value => (double)value)], model.Fuse(text, samples.Text.Mask, shuffled).ToArray());

        // One patch less, and every token of the text that asked for it says something else.
        Tensor less = model.Fuse(text, samples.Text.Mask, image.Narrow(1, 0, 4));
        Assert.All(fused.ToArray().Zip(less.ToArray()).Take(8), pair => Assert.NotEqual(pair.First, pair.Second));
    }

    [Fact]
    public void ThePictureReachesTheTextThroughTheCrossAttentionAlone()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        Albef model = samples.Model;
        float[] changed = [.. AlbefSamples.Pixels];
        for (int i = 0; i < 4; i++) changed[i] += 1f;
        Tensor other = Tensor.FromArray(changed, samples.Images.Shape, samples.Device), text = model.EncodeText(samples.Text);

        float[] Fused(Tensor images) => model.Fuse(text, samples.Text.Mask, model.EncodeImage(images)).Slice(0, 1).ToArray();

        Assert.NotEqual(Fused(samples.Images), Fused(other));
        foreach ((string name, Parameter parameter) in model.NamedParameters())
            if (name.Contains("crossattention.output.dense", StringComparison.Ordinal)) parameter.Assign(new float[parameter.Shape.Length], samples.Device);
        Assert.Equal(Fused(samples.Images), Fused(other));
    }

    [Fact]
    public void TheTemperatureStaysInItsBounds()
    {
        using AlbefSamples samples = new();
        foreach ((float value, float expected) in new[] { (0.07f, 0.07f), (0.7f, 0.5f), (1e-5f, 0.001f), (-3f, 0.001f) })
        {
            samples.Model.Temperature.Assign([value], samples.Device);
            samples.Model.ClampTemperature();
            Assert.Equal(expected, samples.Model.Temperature.Value.Item());
        }
    }

    [Fact]
    public void AFolderGivesTheModelBack()
    {
        using AlbefSamples samples = new();
        using TemporaryFolder folder = new();
        using TensorScope scope = new();
        samples.Model.SavePretrained(folder.Path);
        using Albef read = Assert.IsType<Albef>(Architectures.Load(folder.Path, samples.Device));
        Assert.Equal(AlbefSamples.Config with { Text = AlbefSamples.Config.Text with { ContextWidth = 12 } }, read.Config);
        Assert.Equal(Scores(samples.Model), Scores(read));

        float[] Scores(Albef model) => model.Match(model.EncodeImages(samples.Images), model.EncodeTexts(samples.Text)).ToArray();
    }

    [Theory]
    [InlineData("\"model_type\": \"albef\"", "\"model_type\": \"clip\"", "model_type")]
    [InlineData("\"fusion_layer\": 1", "\"fusion_layer\": 3", "fusion_layer")]
    [InlineData("\"fusion_layer\": 1,", "", "fusion_layer")]
    [InlineData("\"encoder_width\": 12", "\"encoder_width\": 13", "encoder_width")]
    [InlineData("\"projection_dim\": 4", "\"projection_dim\": 0", "projection_dim")]
    public void AWrongConfigNamesTheField(string right, string wrong, string field)
    {
        string json = AlbefSamples.Config.ToJson().ToJsonString(new() { WriteIndented = true });
        Assert.Contains(right, json, StringComparison.Ordinal);
        ModelFormatException exception = Assert.Throws<ModelFormatException>(() => AlbefConfig.FromJson(ConfigJson.Parse(json.Replace(right, wrong, StringComparison.Ordinal))));
        Assert.Contains(field, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATextNetworkWithoutFusionIsRefused()
        => Assert.Contains("FusionLayer", Assert.Throws<ArgumentException>(() => new Albef(AlbefSamples.Config with { Text = AlbefSamples.Config.Text with { FusionLayer = null } })).Message, StringComparison.Ordinal);

    [Fact]
    public void ReRankingOrdersTheCandidatesAndLeavesTheRestBelow()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        Albef model = samples.Model;
        EncodedImages images = model.EncodeImages(samples.Images);
        EncodedTexts texts = model.EncodeTexts(samples.Text);
        float[,] match = new float[3, 3];
        for (int image = 0; image < 3; image++)
        {
            EncodedImages same = model.EncodeImages(Tensor.Concatenate(0, [.. Enumerable.Repeat(samples.Images.Slice(image, 1), 3)]));
            foreach ((int text, float score) in model.Match(same, texts).ToArray().Index()) match[image, text] = score;
        }

        MatchingScores all = MatchingRetrieval.Score(model, images, texts, candidates: 5, pairsAtOnce: 4), two = MatchingRetrieval.Score(model, images, texts, candidates: 2);
        for (int image = 0; image < 3; image++)
        {
            float[] coarse = all.Coarse![(image * 3)..((image * 3) + 3)];
            int[] best = [.. Enumerable.Range(0, 3).OrderByDescending(text => coarse[text])];
            for (int text = 0; text < 3; text++)
            {
                Assert.Equal(match[image, text], all.ImageToText[(image * 3) + text], 1e-5f);
                Assert.Equal(match[image, text], all.TextToImage[(text * 3) + image], 1e-5f);
            }

            float[] line = two.ImageToText[(image * 3)..((image * 3) + 3)];
            Assert.Equal(match[image, best[0]], line[best[0]], 1e-5f);
            Assert.Equal(match[image, best[1]], line[best[1]], 1e-5f);
            Assert.True(line[best[2]] < Math.Min(line[best[0]], line[best[1]]));
        }
    }

    /// <summary>The derivative of the score by each number of the attention's map, by differences in double precision.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void TheHeatMapEqualsDifferencesByTheAttentionMap(int layer)
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        float[] actual = AlbefGrounding.HeatMap(samples.Model, samples.Images, samples.Text, layer).ToArray();
        AlbefReference reference = new(samples.Model, AlbefSamples.Config);
        for (int row = 0; row < AlbefSamples.Batch; row++)
        {
            bool[] mask = AlbefSamples.MaskOf(row);
            double[][] image = reference.Image(AlbefSamples.PixelsOf(row)), text = reference.Text(AlbefSamples.Ids.AsSpan(row * AlbefSamples.Tokens, AlbefSamples.Tokens), mask);
            int tokens = mask.Count(isToken => isToken);
            double[] expected = new double[4];
            for (int head = 0; head < 2; head++)
                for (int token = 0; token < tokens; token++)
                    for (int patch = 0; patch < 4; patch++)
                    {
                        double value = 0, step = 1e-5;
                        double Score(double change)
                        {
                            reference.MapHook = (layer, (at, map) =>
                            {
                                if (at != head) return;
                                value = map[token][patch + 1];
                                map[token][patch + 1] += change;
                            }
                            );
                            return reference.Match(reference.Fuse(text, mask, image))[1];
                        }

                        double gradient = (Score(step) - Score(-step)) / (2 * step);
                        Score(0);
                        expected[patch] += Math.Max(0, gradient) * value / 2 / tokens;
                    }

            AssertClose(expected, actual.AsSpan(row * 4, 4), 1e-4);
        }

        Assert.Contains(actual, value => value > 0);
        Assert.All(samples.Model.NamedParameters(), named => Assert.True(named.Parameter.IsTrainable && named.Parameter.Gradient is null, named.Name));
    }

    [Fact]
    public void ALayerWithoutCrossAttentionHasNoHeatMap()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        Assert.Throws<ArgumentOutOfRangeException>(() => AlbefGrounding.HeatMap(samples.Model, samples.Images, samples.Text, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => AlbefGrounding.HeatMap(samples.Model, samples.Images, samples.Text, 3));
    }

    internal static void AssertClose(ReadOnlySpan<double> expected, ReadOnlySpan<float> actual, double tolerance = 2e-5)
    {
        Assert.Equal(expected.Length, actual.Length);
        double scale = 1e-3;
        foreach (double value in expected) scale = Math.Max(scale, Math.Abs(value));
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * scale, $"{i}: expected {expected[i]}, found {actual[i]}");
    }
}
