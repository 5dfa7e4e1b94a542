using MiniVlp.Autograd;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>What is fine-tuned from a pre-trained ALBEF: question answering, entailment, two pictures at once.</summary>
public sealed class AlbefTaskTests
{
    private static readonly int[] Answers =
    [
        AlbefSamples.StartId, 4, AlbefSamples.EndId, AlbefSamples.PadId,
        AlbefSamples.StartId, 6, 7, AlbefSamples.EndId,
    ];

    [Fact]
    public void TheAnswerDecoderStartsAsTheFusionLayers()
    {
        using AlbefSamples samples = new();
        using AlbefQuestionAnswering model = AlbefQuestionAnswering.From(samples.Model);
        Dictionary<string, Parameter> source = samples.Model.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter, StringComparer.Ordinal);
        Dictionary<string, Parameter> target = model.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter, StringComparer.Ordinal);
        Assert.Equal(source["text_encoder.bert.encoder.layer.2.intermediate.dense.weight"].Value.ToArray(), target["text_decoder.bert.encoder.layer.1.intermediate.dense.weight"].Value.ToArray());
        Assert.Equal(source["text_encoder.bert.encoder.layer.1.crossattention.self.query.weight"].Value.ToArray(), target["text_decoder.bert.encoder.layer.0.crossattention.self.query.weight"].Value.ToArray());
        Assert.Equal(source["text_encoder.bert.encoder.layer.0.attention.self.query.weight"].Value.ToArray(), target["text_encoder.encoder.layer.0.attention.self.query.weight"].Value.ToArray());
        Assert.Equal(source["text_encoder.cls.predictions.bias"].Value.ToArray(), target["text_decoder.cls.predictions.bias"].Value.ToArray());

        // Image tokens are 12 wide and question states 8: these projections cannot start from the pre-trained ones.
        Assert.Equal([8, 8], target["text_decoder.bert.encoder.layer.0.crossattention.self.key.weight"].Shape);
    }

    [Fact]
    public void LikelihoodsAreThoseOfTheTokensAndSeeNoToken_AheadOrPadding()
    {
        using AlbefSamples samples = new();
        using AlbefQuestionAnswering model = AlbefQuestionAnswering.From(samples.Model);
        samples.Scatter(model, 40);
        using TensorScope scope = new();
        TextBatch answers = Text(samples, Answers, 4), questions = Rows(samples, 2);
        Tensor states = model.Ask(samples.Images.Slice(0, 2), questions);
        float[] likelihoods = model.LogLikelihoods(answers, states, questions.Mask).ToArray();
        float[] logits = model.AnswerLogits(answers, states, questions.Mask).ToArray();
        for (int row = 0; row < 2; row++)
        {
            double expected = 0;
            for (int t = 0; t < 3; t++)
            {
                int next = Answers[(row * 4) + t + 1];
                if (next == AlbefSamples.PadId) continue;
                double[] log = AlbefReference.LogSoftmax([.. logits.AsSpan(((row * 4) + t) * AlbefSamples.Words, AlbefSamples.Words).ToArray().Select(value => (double)value)]);
                expected += log[next];
            }

            Assert.Equal(expected, likelihoods[row], 1e-4);
        }

        // Another token at the end changes no logits in front of it, and less padding no likelihood.
        int[] changed = [.. Answers];
        changed[7] = 9;
        float[] others = model.AnswerLogits(Text(samples, changed, 4), states, questions.Mask).ToArray();
        Assert.Equal(logits[(4 * AlbefSamples.Words)..(7 * AlbefSamples.Words)], others[(4 * AlbefSamples.Words)..(7 * AlbefSamples.Words)]);
        Assert.NotEqual(logits[(7 * AlbefSamples.Words)..], others[(7 * AlbefSamples.Words)..]);
        float shorter = model.LogLikelihoods(Text(samples, Answers[..3], 3), states.Slice(0, 1), Rows(samples, 1).Mask).ToArray()[0];
        Assert.Equal(likelihoods[0], shorter, 1e-5f);
    }

    [Fact]
    public void RankingAsksEveryQuestionForEveryAnswer()
    {
        using AlbefSamples samples = new();
        using AlbefQuestionAnswering model = AlbefQuestionAnswering.From(samples.Model);
        using TensorScope scope = new();
        TextBatch questions = samples.Text;
        float[] ranks = Ranks(samples, model);
        Tensor states = model.Ask(samples.Images, questions);
        for (int question = 0; question < 3; question++)
            for (int answer = 0; answer < 2; answer++)
            {
                TextBatch one = Text(samples, Answers[(answer * 4)..((answer + 1) * 4)], 4);
                IndexTensor mask = IndexTensor.FromArray(AlbefSamples.Mask.AsSpan(question * 5, 5), [1, 5], samples.Device);
                Assert.Equal(model.LogLikelihoods(one, states.Slice(question, 1), mask).ToArray()[0], ranks[(question * 2) + answer], 1e-5f);
            }
    }

    [Fact]
    public void TheLossWeighsSeveralAnswersOfAQuestion()
    {
        using AlbefSamples samples = new();
        using AlbefQuestionAnswering model = AlbefQuestionAnswering.From(samples.Model);
        using Tape tape = Tape.Record();
        TextBatch questions = samples.Text, answers = Text(samples, Answers, 4);
        Tensor loss = model.Loss(samples.Images, questions, answers, [2, 2], [0.25f, 0.75f]);
        float value = loss.Item();
        tape.Backward(loss);
        float[] ranks = Ranks(samples, model);
        Assert.Equal(-((0.25f * ranks[4]) + (0.75f * ranks[5])) / 3, value, 1e-5f);
        Assert.All(model.NamedParameters().Where(named => named.Parameter.Gradient is null), named => Assert.Fail(named.Name));
        Assert.Throws<ShapeException>(() => model.Loss(samples.Images, questions, answers));
        Assert.Throws<ShapeException>(() => model.Loss(samples.Images, questions, answers, [0, 1], [1f]));
    }

    [Fact]
    public void EntailmentStartsFromThePretrainedFusion()
    {
        using AlbefSamples samples = new();
        using AlbefEntailment model = AlbefEntailment.From(samples.Model, seed: 3);
        using TensorScope scope = new();
        Tensor fused = samples.Model.Fuse(samples.Model.EncodeText(samples.Text), samples.Text.Mask, samples.Model.EncodeImage(samples.Images));
        Dictionary<string, Parameter> named = model.NamedParameters().ToDictionary(pair => pair.Name, pair => pair.Parameter, StringComparer.Ordinal);
        Tensor hidden = fused.Token(0).Linear(named["cls_head.0.weight"], named["cls_head.0.bias"].Value).Relu();
        Assert.Equal(hidden.Linear(named["cls_head.2.weight"], named["cls_head.2.bias"].Value).ToArray(), model.Forward(samples.Images, samples.Text).ToArray());
        Assert.Equal([3, 3], model.Forward(samples.Images, samples.Text).Shape);
    }

    /// <summary>Exchanging or repeating a picture changes the result, and both blocks of a layer start from that layer of the pre-trained model.</summary>
    [Fact]
    public void ThePairEncoderLooksAtBothPictures()
    {
        using AlbefSamples samples = new();
        using AlbefImagePairs model = AlbefImagePairs.From(samples.Model);
        using TensorScope scope = new();
        Tensor other = Tensor.FromArray(AlbefSamples.Noise(AlbefSamples.Pixels.Length, 77), samples.Images.Shape, samples.Device);
        float[] straight = model.Forward(samples.Images, other, samples.Text).ToArray();
        Assert.NotEqual(straight, model.Forward(other, samples.Images, samples.Text).ToArray());
        Assert.NotEqual(straight, model.Forward(samples.Images, samples.Images, samples.Text).ToArray());
        Assert.NotEqual(straight, model.Forward(other, other, samples.Text).ToArray());

        Dictionary<string, Parameter> named = model.NamedParameters().ToDictionary(pair => pair.Name, pair => pair.Parameter, StringComparer.Ordinal);
        Assert.Equal(5, model.TextEncoder.Config.Layers);
        Assert.Contains("text_encoder.encoder.layer.1.crossattention.self.key.weight", named);
        Assert.DoesNotContain("text_encoder.encoder.layer.2.crossattention.self.key.weight", named);
        Assert.Contains("text_encoder.encoder.layer.2.crossattention.self.query.weight", named);
        Assert.Equal(
            samples.Model.NamedParameters().Single(pair => pair.Name == "text_encoder.bert.encoder.layer.2.output.dense.weight").Parameter.Value.ToArray(),
            named["text_encoder.encoder.layer.4.output.dense.weight"].Value.ToArray());
    }

    [Fact]
    public void EntailmentEqualsDoublePrecision()
    {
        using AlbefSamples samples = new();
        using AlbefEntailment model = AlbefEntailment.From(samples.Model);
        samples.Scatter(model, 60);
        AlbefReference reference = new(model, AlbefSamples.Config, "text_encoder.");
        Check(
            model,
            reference,
            [2, 0, 1],
            () => model.Forward(samples.Images, samples.Text),
            labels => model.Loss(samples.Images, samples.Text, labels),
            (row, text, mask) => reference.Fuse(text, mask, reference.Image(AlbefSamples.PixelsOf(row))));
    }

    [Fact]
    public void ThePairEncoderEqualsDoublePrecision()
    {
        using AlbefSamples samples = new();
        using AlbefImagePairs model = AlbefImagePairs.From(samples.Model);
        samples.Scatter(model, 60);
        AlbefConfig doubled = AlbefSamples.Config with { Text = AlbefSamples.Config.Text with { Layers = 5 } };
        AlbefReference reference = new(model, doubled, "text_encoder.");

        // Layers 1 and 3 are for the first picture, 2 and 4 for the second, with the keys and values of the layer in front.
        foreach (int layer in (int[])[1, 3])
            foreach (string part in (string[])["key.weight", "key.bias", "value.weight", "value.bias"])
                reference.Values.Add($"text_encoder.encoder.layer.{layer + 1}.crossattention.self.{part}", reference.Values[$"text_encoder.encoder.layer.{layer}.crossattention.self.{part}"]);
        float[] others = AlbefSamples.Noise(AlbefSamples.Pixels.Length, 77);
        Tensor second = Tensor.CreatePersistent(others, samples.Images.Shape, samples.Device);
        int length = others.Length / AlbefSamples.Batch;
        Check(
            model,
            reference,
            [1, 0, 1],
            () => model.Forward(samples.Images, second, samples.Text),
            labels => model.Loss(samples.Images, second, samples.Text, labels),
            (row, text, mask) => reference.Fuse(text, mask, reference.Image(AlbefSamples.PixelsOf(row)), reference.Image(others.AsSpan(row * length, length))));
        second.Dispose();
    }

    [Fact]
    public void EveryTaskModelComesBackFromItsFolder()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        Check(AlbefEntailment.From(samples.Model, 4, 5), model => model.Forward(samples.Images, samples.Text));
        Check(AlbefImagePairs.From(samples.Model, 2, 5), model => model.Forward(samples.Images, samples.Images * 0.5f, samples.Text));
        Check(AlbefQuestionAnswering.From(samples.Model), model => model.LogLikelihoods(Text(samples, [.. Answers, .. Answers[..4]], 4), model.Ask(samples.Images, samples.Text), samples.Text.Mask));

        void Check<T>(T model, Func<T, Tensor> run)
            where T : PretrainedModel
        {
            using TemporaryFolder folder = new();
            model.SavePretrained(folder.Path);
            using T read = Assert.IsType<T>(Architectures.Load(folder.Path, samples.Device));
            Assert.Equal(run(model).ToArray(), run(read).ToArray());
            model.Dispose();
        }
    }

    /// <summary>Logits, loss and gradients of a classifier against formulas.</summary>
    /// <param name="model">The classifier.</param>
    /// <param name="reference">Its parameters in double precision.</param>
    /// <param name="labels">Of the batch.</param>
    /// <param name="forward">Its logits.</param>
    /// <param name="loss">Its loss.</param>
    /// <param name="fuse">The fused states of a row by the reference, given the encoded text and its mask.</param>
    private static void Check(AlbefClassifier model, AlbefReference reference, int[] labels, Func<Tensor> forward, Func<IndexTensor, Tensor> loss, Func<int, double[][], bool[], double[][]> fuse)
    {
        using Tape tape = Tape.Record();
        float[] logits = forward().ToArray();
        Assert.Equal(AlbefSamples.Batch * model.Classes, logits.Length);
        for (int row = 0; row < AlbefSamples.Batch; row++) AlbefTests.AssertClose(Logits(row), logits.AsSpan(row * model.Classes, model.Classes).ToArray());
        Tensor value = loss(IndexTensor.FromArray(labels, [labels.Length], model.VisionEncoder.NamedParameters().First().Parameter.Value.Device));
        Assert.Equal(Loss(), value.Item(), 2e-5);
        tape.Backward(value);
        reference.AssertGradients(model, Loss);

        double[] Logits(int row)
        {
            bool[] mask = AlbefSamples.MaskOf(row);
            return reference.Classify(fuse(row, reference.Text(AlbefSamples.Ids.AsSpan(row * AlbefSamples.Tokens, AlbefSamples.Tokens), mask), mask));
        }

        double Loss() => Enumerable.Range(0, labels.Length).Average(row => -AlbefReference.LogSoftmax(Logits(row))[labels[row]]);
    }

    /// <summary>[questions, answers].</summary>
    private static float[] Ranks(AlbefSamples samples, AlbefQuestionAnswering model)
    {
        IReadOnlyList<RankedAnswer>[] ranked = model.RankAnswers(samples.Images, samples.Text, AlbefSamples.StartId, [Answers[1..3], Answers[5..]]);
        return [.. ranked.SelectMany(answers => answers.OrderBy(answer => answer.Answer).Select(answer => answer.LogLikelihood))];
    }

    private static TextBatch Text(AlbefSamples samples, int[] ids, int tokens) => new(
        IndexTensor.FromArray(ids, [ids.Length / tokens, tokens], samples.Device),
        IndexTensor.FromArray([.. ids.Select(id => id == AlbefSamples.PadId ? 0 : 1)], [ids.Length / tokens, tokens], samples.Device));

    private static TextBatch Rows(AlbefSamples samples, int count) => Text(samples, AlbefSamples.Ids[..(count * AlbefSamples.Tokens)], AlbefSamples.Tokens);
}
