using MiniVlp.Autograd;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Masked autoencoders: which patches are seen, what the loss counts, and what the encoder costs.</summary>
public sealed class MaeTests
{
    /// <summary>16 patches of 4 pixels, the smallest that has a middle.</summary>
    private static readonly MaeConfig Small = new()
    {
        Encoder = new VisionTransformerConfig { ImageSize = 16, PatchSize = 4, Width = 12, Layers = 2, Heads = 3, HiddenWidth = 24, NormEpsilon = 1e-6f },
        DecoderWidth = 8,
        DecoderLayers = 1,
        DecoderHeads = 2,
        DecoderHiddenWidth = 16,
    };

    [Fact]
    public void ThePositionsAreThoseOfTheReference()
    {
        string folder = Goldens.Folder("vit_mae_pretraining");
        using Mae model = new(MaeConfig.FromJson(ConfigJson.Read(folder)));
        model.Initialize(Device.Cpu, seed: 3);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "model.safetensors"));
        foreach (string name in (string[])["vit.embeddings.position_embeddings", "decoder.decoder_pos_embed"])
        {
            float[] actual = model.NamedParameters().Single(named => named.Name == name).Parameter.Value.ToArray(), expected = new float[actual.Length];
            file.ReadFloat32(name, expected);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-6f);
        }
    }

    [Fact]
    public void ThePatchesWithTheSmallestNoiseAreSeenAndEqualNoiseKeepsItsOrder()
    {
        float[] noise = [0.5f, 0.1f, 0.5f, 0.1f, 0.9f, 0.5f, /* all equal */ 2, 2, 2, 2, 2, 2];
        VisiblePatches patches = VisiblePatches.FromNoise(noise, [2, 6], kept: 3);
        Assert.Equal([1, 3, 0, 0, 1, 2], patches.Visible.ToArray());
        Assert.Equal([2, 0, 3, 1, 5, 4, 0, 1, 2, 3, 4, 5], patches.Restore.ToArray());
        Assert.Equal([0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1], patches.Removed.ToArray());
        Assert.Equal((3, 6), (patches.KeptCount, patches.PatchCount));
    }

    [Fact]
    public void AMaskKeepsTheOrderOfTheImage()
    {
        VisiblePatches patches = VisiblePatches.FromMask([1, 0, 1, 0, 0, 0, 1, 1], [2, 4]);
        Assert.Equal([1, 3, 0, 1], patches.Visible.ToArray());
        Assert.Equal([2, 0, 3, 1, 0, 1, 2, 3], patches.Restore.ToArray());
        Assert.Equal([1, 0, 1, 0, 0, 0, 1, 1], patches.Removed.ToArray());
    }

    [Fact]
    public void WrongNoiseAndWrongOrdersAreRefused()
    {
        Assert.Throws<ShapeException>(() => VisiblePatches.FromNoise([1, 2, 3], [2, 2], 1));
        Assert.Throws<ShapeException>(() => VisiblePatches.FromNoise([1, 2], [2], 1));
        Assert.Contains("NaN", Assert.Throws<ArgumentException>(() => VisiblePatches.FromNoise([1, float.NaN], [1, 2], 1)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => VisiblePatches.FromNoise([1, 2], [1, 2], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => VisiblePatches.FromNoise([1, 2], [1, 2], 3));
        Assert.Throws<ShapeException>(() => VisiblePatches.FromMask([1, 0, 0], [2, 2]));
        Assert.Contains("number 1 keeps 2", Assert.Throws<ArgumentException>(() => VisiblePatches.FromMask([1, 0, 0, 0], [2, 2])).Message, StringComparison.Ordinal);
        Assert.Contains("at least one", Assert.Throws<ArgumentException>(() => VisiblePatches.FromMask([1, 1], [1, 2])).Message, StringComparison.Ordinal);
        Assert.Contains("once", Assert.Throws<ArgumentException>(() => VisiblePatches.FromOrder([1, 1], [1, 2], 1)).Message, StringComparison.Ordinal);
        Assert.Contains("once", Assert.Throws<ArgumentException>(() => VisiblePatches.FromOrder([0, 2], [1, 2], 1)).Message, StringComparison.Ordinal);
        using Mae model = Create(Small);
        Assert.Contains("[batch, 16]", Assert.Throws<ShapeException>(() => model.SelectPatches(Tensor.Zeros([1, 15]))).Message, StringComparison.Ordinal);
    }

    /// <summary>Each patch is removed as often as any other, within five deviations of a binomial, and every image keeps the same number.</summary>
    [Fact]
    public void EveryPatchIsRemovedEquallyOften()
    {
        const int Batch = 4000;
        using Mae model = new(Small);
        VisiblePatches patches = Draw(model, Batch, seed: 5);
        float[] removed = patches.Removed.ToArray();
        int[] visible = patches.Visible.ToArray();
        for (int patch = 0; patch < 16; patch++)
        {
            int column = patch;
            int count = Enumerable.Range(0, Batch).Count(i => removed[(i * 16) + column] == 1);
            Assert.Equal(0.75, (double)count / Batch, 5 * Math.Sqrt(0.75 * 0.25 / Batch));
            int first = Enumerable.Range(0, Batch).Count(i => visible[i * 4] == column);
            Assert.Equal(1 / 16.0, (double)first / Batch, 5 * Math.Sqrt(15 / 256.0 / Batch));
        }

        for (int i = 0; i < Batch; i++) Assert.Equal(12, removed.AsSpan(i * 16, 16).ToArray().Sum());
    }

    /// <summary>Blocks and grids remove as many patches of every image; a grid keeps one of each two by two, the same everywhere.</summary>
    [Theory]
    [InlineData(PatchPattern.Blockwise, 0.75, 4)]
    [InlineData(PatchPattern.Blockwise, 0.5, 8)]
    [InlineData(PatchPattern.Grid, 0.75, 4)]
    [InlineData(PatchPattern.Grid, 0.9375, 1)]
    public void OtherPatternsRemoveEquallyMany(PatchPattern pattern, double ratio, int kept)
    {
        using Mae model = Create(Small with { MaskPattern = pattern, MaskRatio = ratio });
        VisiblePatches patches = Draw(model, 50, seed: 1);
        Assert.Equal(kept, patches.KeptCount);
        float[] removed = patches.Removed.ToArray();
        Assert.True(Enumerable.Range(0, 16).All(patch => pattern == PatchPattern.Blockwise || Enumerable.Range(0, 50).Any(i => removed[(i * 16) + patch] == 0)), "some patch is never seen");
        for (int i = 0; i < 50; i++)
        {
            float[] row = removed[(i * 16)..((i + 1) * 16)];
            Assert.Equal(16 - kept, row.Sum());
            if (pattern == PatchPattern.Grid && kept == 4) Assert.All([(0, 0), (0, 2), (2, 0), (2, 2)], square => Assert.Equal(3, Square(row, square.Item1, square.Item2)));
        }

        Assert.True(float.IsFinite(model.Loss(Images(2, 3)).Item()));

        static float Square(float[] row, int y, int x) => row[(y * 4) + x] + row[(y * 4) + x + 1] + row[((y + 1) * 4) + x] + row[((y + 1) * 4) + x + 1];
    }

    [Fact]
    public void AConfigRemembersItsPatternAndAGridMustFit()
    {
        using Mae model = new(Small with { MaskPattern = PatchPattern.Grid, MaskRatio = 0.5 });
        Assert.Contains("grid", Assert.Throws<InvalidOperationException>(() => Draw(model, 1, seed: 1)).Message, StringComparison.Ordinal);
        Assert.Equal(model.Config, MaeConfig.FromJson(ConfigJson.Parse(model.ToConfigJson().ToJsonString())));
        Assert.False(Small.ToJson().ContainsKey("mask_pattern"));
        Assert.Contains("Blockwise", Assert.Throws<ModelFormatException>(() => MaeConfig.FromJson(ConfigJson.Parse("""{ "mask_pattern": "1" }"""))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheSameGeneratorDrawsTheSamePatches()
    {
        using Mae model = new(Small);
        Assert.Equal(Draw(model, 8, seed: 1).Restore.ToArray(), Draw(model, 8, seed: 1).Restore.ToArray());
        Assert.NotEqual(Draw(model, 8, seed: 1).Restore.ToArray(), Draw(model, 8, seed: 2).Restore.ToArray());
    }

    /// <summary>The loss as a double loop over removed patches, for pixels normalised and not.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void TheLossIsTheMeanOverRemovedPatches(bool normalizes)
    {
        const int Batch = 3, Length = 48;
        using Mae model = new(Small with { NormalizesPixels = normalizes });
        float[] pixels = Numbers(Batch * 3 * 16 * 16, 1), predicted = Numbers(Batch * 16 * Length, 2);
        VisiblePatches patches = Draw(model, Batch, seed: 3);
        float[] removed = patches.Removed.ToArray();
        double sum = 0, count = 0;
        for (int b = 0; b < Batch; b++)
        {
            for (int n = 0; n < 16; n++)
            {
                if (removed[(b * 16) + n] == 0) continue;
                double[] x = new double[Length];
                for (int i = 0; i < Length; i++)
                {
                    // Row in the patch, column in the patch, channel: the channel runs fastest.
                    int channel = i % 3, column = (n % 4 * 4) + (i / 3 % 4), row = (n / 4 * 4) + (i / 12);
                    x[i] = pixels[(((b * 3) + channel) * 256) + (row * 16) + column];
                }

                double mean = x.Average(), variance = x.Sum(value => (value - mean) * (value - mean)) / (Length - 1);
                sum += x.Select((value, i) =>
                {
                    double target = normalizes ? (value - mean) / Math.Sqrt(variance + 1e-6) : value;
                    return Math.Pow(predicted[(((b * 16) + n) * Length) + i] - target, 2);
                }).Average();
                count++;
            }
        }

        Tensor loss = model.Loss(Tensor.FromArray(pixels, [Batch, 3, 16, 16]), Tensor.FromArray(predicted, [Batch, 16, Length]), patches);
        Assert.Equal(36, count);
        Assert.Equal(sum / count, loss.Item(), 1e-5 * sum / count);
    }

    [Fact]
    public void ThePredictionOfASeenPatchHasNoGradientAtAll()
    {
        using Mae model = new(Small);
        VisiblePatches patches = Draw(model, 2, seed: 4);
        using Tape tape = Tape.Record();
        Tensor predictions = Tensor.FromArray(Numbers(2 * 16 * 48, 5), [2, 16, 48]);
        predictions.NeedsGradient = true;
        tape.Backward(model.Loss(Images(2, 6), predictions, patches));
        float[] gradient = predictions.Gradient!.ToArray(), removed = patches.Removed.ToArray();
        for (int i = 0; i < gradient.Length; i++) Assert.Equal(removed[i / 48] == 1, gradient[i] != 0);
    }

    /// <summary>The encoder's cost is its tokens: what was removed is not there, in the embedding and in every block.</summary>
    [Theory]
    [InlineData(0.0, 16)]
    [InlineData(0.25, 12)]
    [InlineData(0.75, 4)]
    [InlineData(0.8, 3)]
    [InlineData(0.9375, 1)]
    public void TheEncoderSeesOnlyTheKeptPatches(double ratio, int kept)
    {
        using Mae model = Create(Small with { MaskRatio = ratio });
        VisiblePatches patches = Draw(model, 2, seed: 7);
        List<Tensor> states = [];
        Tensor tokens = model.Encode(Images(2, 8), patches, states);
        Assert.Equal(3, states.Count);
        Assert.All(states.Append(tokens), state => Assert.Equal([2, 1 + kept, 12], state.Shape.ToArray()));
        Assert.Equal([2, 16, 48], model.Decode(tokens, patches).Shape.ToArray());
    }

    [Fact]
    public void SeeingAllPatchesInOrderIsTheWholeVisionTransformer()
    {
        using Mae model = Create(Small with { MaskRatio = 0 });
        Tensor images = Images(2, 9);
        VisiblePatches all = VisiblePatches.FromOrder([.. Enumerable.Range(0, 32).Select(i => i % 16)], [2, 16], 16);
        AssertClose(model.Backbone.Forward(images).ToArray(), model.Encode(images, all).ToArray());
    }

    /// <summary>Attention has no order of its own: shuffling the seen patches shuffles the tokens, and what is decoded stays.</summary>
    [Fact]
    public void TheOrderOfTheSeenPatchesDoesNotMatter()
    {
        using Mae model = Create(Small);
        Tensor images = Images(1, 10);
        int[] order = [9, 2, 14, 5, .. Enumerable.Range(0, 16).Where(i => i is not (9 or 2 or 14 or 5))];
        int[] other = [5, 14, 9, 2, .. order[4..].Reverse()];
        float[] Predict(int[] row)
        {
            VisiblePatches patches = VisiblePatches.FromOrder(row, [1, 16], 4);
            return model.Decode(model.Encode(images, patches), patches).ToArray();
        }

        AssertClose(Predict(order), Predict(other));
    }

    /// <summary>Pixels of removed patches cannot leak into the prediction.</summary>
    [Fact]
    public void RemovedPixelsAreNotSeen()
    {
        using Mae model = Create(Small);
        VisiblePatches patches = VisiblePatches.FromOrder([.. Enumerable.Range(0, 16)], [1, 16], 4);    // the upper row is seen
        float[] pixels = Numbers(3 * 256, 11), changed = [.. pixels.Select((value, i) => i % 256 < 64 ? value : 99f)];
        float[] Predict(float[] image) => model.Decode(model.Encode(Tensor.FromArray(image, [1, 3, 16, 16]), patches), patches).ToArray();
        Assert.Equal(Predict(pixels), Predict(changed));
        changed[0] += 1;
        Assert.NotEqual(Predict(pixels), Predict(changed));
    }

    [Fact]
    public void RatiosThatLeaveNothingAreRefused()
    {
        foreach (double ratio in (double[])[1, 0.95, -0.1, double.NaN])
            Assert.Contains("mask_ratio", Assert.Throws<ArgumentException>(() => new Mae(Small with { MaskRatio = ratio })).Message, StringComparison.Ordinal);
        using Mae all = Create(Small with { MaskRatio = 0 });
        Assert.Contains("all 16 are seen", Assert.Throws<InvalidOperationException>(() => all.Loss(Images(1, 1))).Message, StringComparison.Ordinal);
        using Mae one = Create(Small with { MaskRatio = 0.9375 });
        Assert.True(float.IsFinite(one.Loss(Images(1, 1)).Item()));
    }

    [Theory]
    [InlineData("mask_ratio", "1.0", "mask_ratio")]
    [InlineData("mask_ratio", "0.97", "visible")]
    [InlineData("hidden_size", "22", "hidden_size")]
    [InlineData("decoder_hidden_size", "14", "multiple of 4")]
    [InlineData("decoder_num_attention_heads", "5", "decoder_num_attention_heads")]
    public void NamesTheWrongFieldOfAConfig(string field, string value, string expected)
    {
        using TemporaryFolder folder = Goldens.Copy("vit_mae_pretraining");
        System.Text.Json.Nodes.JsonObject config = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config[field] = System.Text.Json.Nodes.JsonNode.Parse(value);
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        ModelFormatException exception = Assert.Throws<ModelFormatException>(() => Mae.FromPretrained(folder.Path));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ImagesOfAnotherSizeAreRefused()
    {
        using Mae model = Create(Small);
        Assert.Contains("[batch, 3, 16, 16]", Assert.Throws<ShapeException>(() => model.Loss(Tensor.Zeros([1, 3, 20, 20]))).Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => model.Encode(Images(2, 1), Draw(model, 3, seed: 1)));
        Assert.Throws<ShapeException>(() => model.Decode(Tensor.Zeros([1, 4, 12]), Draw(model, 1, seed: 1)));
    }

    [Fact]
    public void TheEncoderIsAVisionTransformerOfItsOwn()
    {
        using Mae mae = Mae.FromPretrained(Goldens.Folder("vit_mae_pretraining"));
        using VisionTransformer vit = VisionTransformer.FromPretrained(Goldens.Folder("vit_mae_pretraining"));
        using Tensor images = Tensor.FromArray(Numbers(2 * 3 * 400, 12), [2, 3, 20, 20]);
        float[] expected = mae.Backbone.Forward(images).ToArray();
        Assert.Equal(expected, vit.Forward(images).ToArray());
        Assert.Equal(mae.ImageFeatures(images).ToArray(), vit.ImageFeatures(images).ToArray());

        using VisionTransformerClassifier classifier = new(mae.Config.Encoder, ["a", "b"]);
        classifier.Initialize(Device.Cpu, seed: 1);
        mae.CopyEncoderTo(classifier.Backbone);
        Assert.Equal(expected, classifier.Backbone.Forward(images).ToArray());
        using (Tape tape = Tape.Record()) tape.Backward(classifier.Loss(images, IndexTensor.FromArray([0, 1], [2])));
        Assert.Contains(classifier.Backbone.NamedParameters(), named => named.Name.Contains("position", StringComparison.Ordinal) && named.Parameter.Gradient is not null);
        using VisionTransformer withPooler = new(mae.Config.Encoder);
        Assert.Contains("pooler", Assert.Throws<ArgumentException>(() => mae.CopyEncoderTo(withPooler)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheFixedPositionsStayFixedAlsoWhenAllIsThawed()
    {
        using Mae model = Create(Small);
        model.SetTrainable(true);
        using Tape tape = Tape.Record();
        Generator.Current = new Generator(1);
        tape.Backward(model.Loss(Images(2, 13)));
        string[] without = [.. model.NamedParameters().Where(named => named.Parameter.Gradient is null).Select(named => named.Name)];
        Assert.Equal(["vit.embeddings.position_embeddings", "decoder.decoder_pos_embed"], without);
    }

    /// <summary>Predictions that equal the targets give the picture back; what was seen comes back to the bit, whatever is predicted.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AReconstructionFromTheTargetsIsThePicture(bool normalizes)
    {
        using Mae model = Create(Small with { NormalizesPixels = normalizes });
        Tensor images = Images(2, 14);
        float[] pixels = images.ToArray();
        VisiblePatches patches = VisiblePatches.FromOrder([.. Enumerable.Range(0, 32).Select(i => i % 16)], [2, 16], 4);    // the upper row is seen
        MaeReconstruction perfect = model.Reconstruct(images, patches, model.Targets(images));
        AssertClose(pixels, perfect.Predicted.ToArray());
        AssertClose(pixels, perfect.Completed.ToArray());
        float[] masked = perfect.Masked.ToArray(), completed = model.Reconstruct(images, patches).Completed.ToArray();
        for (int i = 0; i < pixels.Length; i++)
        {
            bool isSeen = i % 256 < 64;
            Assert.Equal(isSeen ? pixels[i] : 0, masked[i]);
            Assert.Equal(isSeen, completed[i] == pixels[i]);
        }
    }

    private static Mae Create(MaeConfig config)
    {
        Mae model = new(config);
        model.Initialize(Device.Cpu, seed: 1);
        return model;
    }

    private static VisiblePatches Draw(Mae model, int batch, ulong seed)
    {
        Generator outer = Generator.Current;
        Generator.Current = new Generator(seed);
        VisiblePatches patches = model.DrawPatches(batch, Device.Cpu);
        Generator.Current = outer;
        return patches;
    }

    private static Tensor Images(int count, int seed) => Tensor.FromArray(Numbers(count * 3 * 256, seed), [count, 3, 16, 16]);

    private static float[] Numbers(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextSingle()) - 1)];
    }

    private static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-5f);
    }
}
