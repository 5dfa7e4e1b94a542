using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>BLIP's pre-training: what encoder and decoder share, each loss against its formula, momentum encoders and queues.</summary>
public sealed class BlipPretrainingTests
{
    private static readonly BlipConfig Config = BlipConfig.Tiny with
    {
        Vision = BlipConfig.Tiny.Vision with { Width = 16, HiddenWidth = 32, ImageSize = 16 },
        Text = BlipConfig.Tiny.Text with { Width = 16, HiddenWidth = 32, VocabularySize = 40, DecodeId = 38, EncodeId = 39, MaxPositions = 8 },
        ProjectionSize = 8,
    };

    [Fact]
    public void EncoderAndDecoderShareAllButTheSelfAttentions()
    {
        using BlipForPreTraining model = new(Config);
        Dictionary<string, Parameter> encoder = model.TextEncoder.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter);
        Dictionary<string, Parameter> decoder = model.TextDecoder.Network.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter);
        Assert.Equal(encoder.Keys.Order(StringComparer.Ordinal), decoder.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, Parameter parameter) in encoder)
        {
            // The original ties what has no "/attention" in its path: a cross-attention has "/crossattention".
            bool isOwn = name.Contains(".attention.", StringComparison.Ordinal);
            Assert.True(isOwn != ReferenceEquals(parameter, decoder[name]), name);
        }

        Assert.Equal(2 * 10, encoder.Keys.Count(name => name.Contains(".attention.", StringComparison.Ordinal)));
        Assert.Contains("encoder.layer.1.crossattention.self.key.weight", encoder.Keys);

        // One network in three modes: the views have these very parameters, and the whole has each once.
        HashSet<Parameter> all = [.. model.NamedParameters().Select(named => named.Parameter)];
        Assert.Equal(all.Count, model.NamedParameters().Count());
        Assert.All(model.Retrieval.NamedParameters().Concat(model.Captioning.NamedParameters()), named => Assert.Contains(named.Parameter, all));
        long decoderOwn = decoder.Where(named => named.Key.Contains(".attention.", StringComparison.Ordinal)).Sum(named => (long)named.Value.Shape.Length);
        long head = model.TextDecoder.ParameterCount() - model.TextDecoder.Network.ParameterCount();
        Assert.Equal(model.Retrieval.ParameterCount() + decoderOwn + head + 1, model.ParameterCount());
    }

    [Fact]
    public void ItsViewsAreWrittenAsTheClassesOfTransformers()
    {
        using BlipForPreTraining model = Create();
        using TemporaryFolder whole = new(), captioning = new(), retrieval = new(), answering = new();
        model.SavePretrained(whole.Path);
        model.Captioning.SavePretrained(captioning.Path);
        model.Retrieval.SavePretrained(retrieval.Path);
        using (BlipQuestionAnswering answers = BlipQuestionAnswering.From(model)) answers.SavePretrained(answering.Path);
        using BlipForPreTraining again = Assert.IsType<BlipForPreTraining>(Architectures.Load(whole.Path));
        using BlipCaptioning captioner = Assert.IsType<BlipCaptioning>(Architectures.Load(captioning.Path));
        using BlipRetrieval retriever = Assert.IsType<BlipRetrieval>(Architectures.Load(retrieval.Path));
        using BlipQuestionAnswering answerer = Assert.IsType<BlipQuestionAnswering>(Architectures.Load(answering.Path));
        using TensorScope scope = new();
        PairBatch batch = Batch(2);
        float[] logits = model.Captioning.Forward(batch.Images, batch.Text).ToArray();
        Assert.Equal(logits, again.Captioning.Forward(batch.Images, batch.Text).ToArray());
        Assert.Equal(logits, captioner.Forward(batch.Images, batch.Text).ToArray());
        Assert.Equal(model.Temperature.Value.Item(), again.Temperature.Value.Item());
        Tensor tokens = model.VisionEncoder.Forward(batch.Images);
        float[] match = model.Retrieval.PredictMatch(model.Retrieval.Ground(tokens, batch.Text)).ToArray();
        Assert.Equal(match, retriever.PredictMatch(retriever.Ground(tokens, batch.Text)).ToArray());
        Assert.Equal(model.Retrieval.Ground(tokens, batch.Text).ToArray(), answerer.Ask(batch.Images, batch.Text).ToArray());
        Assert.Equal(model.TextDecoder.Forward(batch.Text, tokens).ToArray(), answerer.AnswerLogits(batch.Text, tokens, null).ToArray());

        // The parts have parted.
        Assert.NotSame(answerer.TextEncoder.WordEmbeddings.Weight, answerer.TextDecoder.Network.WordEmbeddings.Weight);
    }

    [Fact]
    public void EachLossIsItsFormula()
    {
        using BlipForPreTraining model = Create();
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 5, Momentum = 0.5, Alpha = 0.4f }, seed: 3);
        using Trainer trainer = new(objective, new Sgd(ParameterGroup.SplitByDecay(model.NamedParameters(), 0), 0.5), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0.5), ClipNorm = null });

        // A first step, so that momentum encoders and online ones differ, and the queue holds one old caption of picture 7.
        trainer.TrainStep(objective, Batch(2, 7, 3));
        PairBatch batch = Batch(2, 7, 8);
        Assert.Equal([7, 3, -1, -1, -1], objective.ImageQueue!.Ids.ToArray());
        Assert.Equal([7, 3, -1, -1, -1], objective.TextQueue!.Ids.ToArray());
        float[] imageQueue = objective.ImageQueue.Features.ToArray()[..16], textQueue = objective.TextQueue.Features.ToArray()[..16];

        float itc, itm, lm;
        using (Tape tape = Tape.Record())
        {
            LossParts parts = objective.Loss(batch);
            Dictionary<string, float> values = parts.ToDictionary(part => part.Name, part => part.Value.Item());
            (itc, itm, lm) = (values["itc"], values["itm"], values["lm"]);
            Assert.Equal(itc + itm + lm, parts.Total.Item(), 1e-4f);
        }

        using TensorScope scope = new();
        BlipRetrieval online = model.Retrieval, momentum = objective.MomentumModel;
        float[] image = online.EncodeImage(batch.Images).ToArray(), text = online.EncodeText(batch.Text).ToArray();
        float[] imageMomentum = momentum.EncodeImage(batch.Images).ToArray(), textMomentum = momentum.EncodeText(batch.Text).ToArray();
        Assert.NotEqual(image, imageMomentum);
        int[] ids = [7, 8], columnIds = [7, 8, 7, 3];
        double temperature = model.Temperature.Value.Item();
        double expected =
            (BlipReference.ContrastiveLoss(image, imageMomentum, [.. textMomentum, .. textQueue], ids, columnIds, 8, temperature, 0.4)
            + BlipReference.ContrastiveLoss(text, textMomentum, [.. imageMomentum, .. imageQueue], ids, columnIds, 8, temperature, 0.4)) / 2;
        Assert.Equal(expected, itc, 1e-4);

        // Of two pairs each has one wrong partner: the other.
        double matching = 0;
        foreach ((int picture, int caption) in new[] { (0, 0), (1, 1), (1, 0), (0, 1), (0, 1), (1, 0) })
        {
            Tensor tokens = online.VisionEncoder.Forward(batch.Images.Slice(picture, 1));
            double[] logs = BlipReference.LogSoftmax(online.PredictMatch(online.Ground(tokens, Row(batch.Text, caption))).ToArray());
            matching -= logs[picture == caption ? 1 : 0] / 6;
        }

        Assert.Equal(matching, itm, 1e-5);

        int[] decoded = batch.Text.TokenIds.ToArray();
        (decoded[0], decoded[6]) = (38, 38);
        float[] logits = model.Captioning.Forward(batch.Images, batch.Text with { TokenIds = IndexTensor.FromArray(decoded, [2, 6]) }).ToArray();
        Assert.Equal(BlipReference.LanguageLoss(logits, decoded, rows: 2, vocabulary: 40, padding: 0, smoothing: 0.1), lm, 1e-5);
    }

    /// <summary>
    /// At a temperature this low the likeliest wrong partner is certain: for a text the image whose momentum feature is nearest to it, for an image the
    /// text, of other pictures only. The two directions choose differently here, and the loss and its gradients are those of exactly these pairs.
    /// </summary>
    [Fact]
    public void EachTextIsMatchedWithTheImageNearestToItAndEachImageWithTheNearestText()
    {
        const int Pairs = 5;
        int[] ids = [4, 9, 4, 6, 7];
        using BlipForPreTraining model = Create();
        Scatter(model, 10);
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 8, Momentum = 0.5 });
        Scatter(model, 500);
        model.Temperature.Assign([1e-5f], Device.Cpu);
        PairBatch batch = Batch(Pairs, ids);
        float matching;
        using (Tape tape = Tape.Record())
        {
            Tensor itm = objective.Loss(batch).Single(part => part.Name == "itm").Value;
            matching = itm.Item();
            tape.Backward(itm);
        }

        Dictionary<string, float[]> gradients = model.NamedParameters().Where(named => named.Parameter.Gradient is not null).ToDictionary(named => named.Name, named => named.Parameter.Gradient!.ToArray());
        model.ClearGradients();
        using TensorScope scope = new();
        BlipRetrieval retrieval = model.Retrieval, momentum = objective.MomentumModel;
        int[] images = Nearest(retrieval.EncodeText(batch.Text), momentum.EncodeImage(batch.Images)), texts = Nearest(retrieval.EncodeImage(batch.Images), momentum.EncodeText(batch.Text));
        Assert.NotEqual(images, texts);
        using (Tape tape = Tape.Record())
        {
            List<(int Image, int Text, int Label)> pairs = [];
            for (int i = 0; i < Pairs; i++) pairs.AddRange([(i, i, 1), (images[i], i, 0), (i, texts[i], 0)]);
            Tensor sum = Tensor.Zeros([], Device.Cpu);
            foreach ((int image, int text, int label) in pairs)
            {
                Tensor grounded = retrieval.Ground(retrieval.VisionEncoder.Forward(batch.Images.Slice(image, 1)), Row(batch.Text, text));
                sum += retrieval.PredictMatch(grounded).CrossEntropy(IndexTensor.FromArray([label], [1]));
            }

            Tensor mean = sum * (1f / pairs.Count);
            Assert.Equal(mean.Item(), matching, 1e-5f);
            tape.Backward(mean);
        }

        Assert.NotEmpty(gradients);
        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            float[]? expected = parameter.Gradient?.ToArray();
            Assert.Equal(expected is null, !gradients.TryGetValue(name, out float[]? actual));
            if (expected is null) continue;
            float largest = Math.Max(1e-3f, expected.Max(Math.Abs));
            Assert.All(expected.Zip(actual!), pair => Assert.Equal(pair.First, pair.Second, 1e-4f * largest));
        }

        int[] Nearest(Tensor rows, Tensor columns)
        {
            float[] cosines = rows.MatMul(columns, transposeRight: true).ToArray();
            return [.. Enumerable.Range(0, Pairs).Select(row =>
            {
                int[] order = [.. Enumerable.Range(0, Pairs).Where(column => ids[column] != ids[row]).OrderByDescending(column => cosines[(row * Pairs) + column])];
                Assert.True(cosines[(row * Pairs) + order[0]] - cosines[(row * Pairs) + order[1]] > 2e-4f, $"row {row} is undecided");
                return order[0];
            })];
        }
    }

    [Fact]
    public void CaptionsOfOnePictureAreNoNegativesOfEachOther()
    {
        using BlipForPreTraining model = Create();
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 0, Alpha = 0 });
        using Tape tape = Tape.Record();
        PairBatch batch = Batch(3, 4, 4, 4);
        LossParts parts = objective.Loss(batch);
        Dictionary<string, float> values = parts.ToDictionary(part => part.Name, part => part.Value.Item());
        BlipRetrieval retrieval = model.Retrieval;

        // No wrong partner is left: only the pairs themselves are matched, and the contrast is between equals.
        double expected = Enumerable.Range(0, 3).Average(i => -BlipReference.LogSoftmax(retrieval.PredictMatch(retrieval.Ground(retrieval.VisionEncoder.Forward(batch.Images.Slice(i, 1)), Row(batch.Text, i))).ToArray())[1]);
        Assert.Equal(expected, values["itm"], 1e-5);
        float[] image = retrieval.EncodeImage(batch.Images).ToArray(), text = retrieval.EncodeText(batch.Text).ToArray();
        double contrast = (BlipReference.ContrastiveLoss(image, image, text, [4, 4, 4], [4, 4, 4], 8, 0.07, 0) + BlipReference.ContrastiveLoss(text, text, image, [4, 4, 4], [4, 4, 4], 8, 0.07, 0)) / 2;
        Assert.Equal(contrast, values["itc"], 1e-4);
        tape.Backward(parts.Total);
    }

    [Theory]
    [InlineData(0.9f, 0.5f)]
    [InlineData(1e-5f, 0.001f)]
    [InlineData(0.2f, 0.2f)]
    public void AfterAnUpdateTheTemperatureIsInItsBounds(float updated, float expected)
    {
        using BlipForPreTraining model = Create();
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 0 });
        model.Temperature.Assign([updated], model.Temperature.Value.Device);
        objective.AfterUpdate(1);
        Assert.Same(model.Temperature, objective.Temperature.Parameter);
        Assert.Equal(expected, model.Temperature.Value.Item());
    }

    [Fact]
    public void AnEqualTextOfAnotherPictureIsNoWrongPartner()
    {
        using BlipForPreTraining model = Create();
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 0, Alpha = 0 });
        using TensorScope scope = new();
        PairBatch batch = Batch(2, 1, 2);
        TextBatch one = Row(batch.Text, 0);
        int[] ids = one.TokenIds.ToArray(), mask = one.Mask!.ToArray();
        batch = batch with { Text = new TextBatch(IndexTensor.FromArray([.. ids, .. ids], [2, ids.Length]), IndexTensor.FromArray([.. mask, .. mask], [2, ids.Length])) };
        BlipRetrieval retrieval = model.Retrieval;
        double expected = Enumerable.Range(0, 2).Average(i => -BlipReference.LogSoftmax(retrieval.PredictMatch(retrieval.Ground(retrieval.VisionEncoder.Forward(batch.Images.Slice(i, 1)), one)).ToArray())[1]);
        Assert.Equal(expected, objective.Loss(batch).Single(part => part.Name == "itm").Value.Item(), 1e-5);
    }

    [Fact]
    public void TheMomentumEncodersFollowWithoutAGradientAndTheQueuesHoldWhatTheySaid()
    {
        using BlipForPreTraining model = Create();
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 6, Momentum = 0.9 });
        using Trainer trainer = new(objective, new AdamW(ParameterGroup.SplitByDecay(model.NamedParameters(), 0), 1e-2), new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-2) });
        Parameter online = Named(model.Retrieval, "text_encoder.encoder.layer.0.output.dense.weight"), copy = Named(objective.MomentumModel, "text_encoder.encoder.layer.0.output.dense.weight");
        float[] expected = copy.Value.ToArray();
        Assert.Equal(online.Value.ToArray(), expected);
        for (int step = 0; step < 3; step++)
        {
            float[] before = online.Value.ToArray();
            PairBatch batch = Batch(2, (2 * step) + 1, (2 * step) + 2);
            trainer.TrainStep(objective, batch);

            // The update comes first in a step: it reads the weights that the step before has left.
            for (int i = 0; i < expected.Length; i++) expected[i] = (0.9f * expected[i]) + (0.1f * before[i]);
            Assert.All(expected.Zip(copy.Value.ToArray()), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));
            using TensorScope scope = new();
            Assert.Equal(objective.MomentumModel.EncodeImage(batch.Images).ToArray(), objective.ImageQueue!.Features.Slice(2 * step, 2).ToArray());
            Assert.Equal(objective.MomentumModel.EncodeText(batch.Text).ToArray(), objective.TextQueue!.Features.Slice(2 * step, 2).ToArray());
        }

        Assert.Equal([1, 2, 3, 4, 5, 6], objective.TextQueue!.Ids.ToArray());
        Assert.All(objective.MomentumModel.NamedParameters().Where(named => named.Parameter.IsInitialized), named =>
        {
            Assert.False(named.Parameter.IsTrainable);
            Assert.Null(named.Parameter.Gradient);
        });

        // Every parameter of the model is trained by one of the losses, even those of the decoder alone.
        Assert.All(model.NamedParameters(), named => Assert.True(named.Parameter.Gradient is not null, named.Name));
        Assert.Contains(model.NamedParameters(), named => named.Name == "text_decoder.bert.encoder.layer.1.attention.self.value.weight" && named.Parameter.Gradient!.ToArray().Any(value => value != 0));
    }

    [Fact]
    public void ANewModelStartsAtChance()
    {
        using BlipForPreTraining model = new(BlipConfig.Tiny, initialTemperature: 0.5f);
        model.Initialize(Device.Cpu, 1);
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 240 });
        Dictionary<string, float> Step()
        {
            using Tape tape = Tape.Record();
            Dictionary<string, float> parts = objective.Loss(BatchOf(16, 32)).ToDictionary(part => part.Name, part => part.Value.Item());
            objective.AfterBackward();
            return parts;
        }

        // With each batch that enters the queue there are more candidates, until it is full.
        for (int step = 0; step < 18; step++)
        {
            double candidates = Math.Log(16 * Math.Min(16, 1 + step));
            Assert.Equal(candidates, objective.ChanceLevels(16)[0].Loss, 1e-4);
            Dictionary<string, float> parts = Step();
            Assert.Equal(candidates, parts["itc"], 0.1);
            Assert.Equal(Math.Log(2), parts["itm"], 0.05);
            Assert.Equal(Math.Log(258), parts["lm"], 0.1);
        }

        // A head that knows the prior, one match to two others, is at the entropy of it.
        Named(model.Retrieval, "itm_head.bias").Assign([MathF.Log(2), 0], Device.Cpu);
        Assert.Equal(0.6365, Step()["itm"], 0.03);
    }

    [Fact]
    public void AnInterruptedTrainingGoesOnBitByBit()
    {
        float[][] Train(int stop)
        {
            using TemporaryFolder folder = new();
            Session first = new();
            for (int step = 0; step < stop; step++) first.Step(step);
            first.Trainer.Save(folder.Path);
            first.Dispose();
            Session second = new();
            second.Trainer.Load(folder.Path, Device.Cpu);
            for (int step = stop; step < 6; step++) second.Step(step);
            float[][] result = [.. second.Model.NamedParameters().Select(named => named.Parameter.Value.ToArray()), second.Objective.TextQueue!.Features.ToArray()];
            second.Dispose();
            return result;
        }

        Assert.Equal(Train(6), Train(2));
    }

    /// <summary>Of two pairs each is the other's wrong partner, so that nothing is left to the draw.</summary>
    [Theory]
    [InlineData("opencl")]
    [InlineData("cuda")]
    public void AGpuTrainsAsTheCpuDoes(string device)
    {
        Assert.SkipUnless(GpuParityTests.IsThere(device), $"There is no {device} device here.");
        using Device gpu = new(GpuParityTests.Create(device));
        float[] expected = Losses(Device.Cpu), actual = Losses(gpu);
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 2e-3f));

        static float[] Losses(Device where)
        {
            using BlipForPreTraining model = new(Config);
            model.Initialize(where, 1);
            using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 5, Momentum = 0.9 });
            using Trainer trainer = new(objective, new AdamW(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.05), 1e-3), new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-3) });
            return [.. Enumerable.Range(0, 3).SelectMany(step =>
            {
                using TensorScope scope = new();
                return trainer.TrainStep(objective, On(Batch(2, step, step + 10), where)).Parts.Select(part => part.Value).ToArray();
            })];
        }

        static PairBatch On(PairBatch batch, Device where) => new(
            Tensor.FromArray(batch.Images.ToArray(), batch.Images.Shape, where),
            new TextBatch(IdsOn(batch.Text.TokenIds, where), IdsOn(batch.Text.Mask!, where)),
            IdsOn(batch.ImageIds, where));

        static IndexTensor IdsOn(IndexTensor ids, Device where) => IndexTensor.FromArray(ids.ToArray(), ids.Shape, where);
    }

    [Fact]
    public void WrongBatchesAndConfigsAreNamed()
    {
        using BlipForPreTraining model = Create();
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 3 });
        Assert.Contains("at least two pairs", Assert.Throws<ShapeException>(() => objective.Loss(Batch(1))).Message, StringComparison.Ordinal);
        Assert.Contains("queues of 3", Assert.Throws<ShapeException>(() => objective.Loss(Batch(4))).Message, StringComparison.Ordinal);
        Assert.Contains("as many texts", Assert.Throws<ShapeException>(() => objective.Loss(Batch(2) with { ImageIds = IndexTensor.FromArray([1], [1]) })).Message, StringComparison.Ordinal);
        Assert.Contains("EncodeId", Assert.Throws<ArgumentException>(() => new BlipForPreTraining(Config with { Text = Config.Text with { EncodeId = null } })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new BlipForPreTraining(Config with { Text = Config.Text with { EncodeId = 38 } }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlipPretraining(model, new BlipPretrainingOptions { Alpha = 1.5f }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlipPretraining(model, new BlipPretrainingOptions { QueueSize = -1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlipPretraining(model, new BlipPretrainingOptions { LanguageWeight = -1 }));
        Assert.Throws<ArgumentException>(() => new BlipPretraining(model, new BlipPretrainingOptions { ContrastiveWeight = 0, MatchingWeight = 0, LanguageWeight = 0 }));
        Assert.Contains("Random", Assert.Throws<ArgumentException>(() => new BlipPretraining(model, new BlipPretrainingOptions { ContrastiveWeight = 0 })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ALossOfNoWeightIsNotComputed()
    {
        using BlipForPreTraining model = Create();
        string[] Parts(float contrast, float matching, float language)
        {
            using BlipPretraining objective = new(model, new BlipPretrainingOptions
            {
                QueueSize = 4,
                ContrastiveWeight = contrast,
                MatchingWeight = matching,
                LanguageWeight = language,
                Negatives = contrast > 0 ? NegativeStrategy.Hard : NegativeStrategy.Random,
            });
            using Trainer trainer = new(objective, new AdamW(ParameterGroup.SplitByDecay(model.NamedParameters(), 0), 1e-3), new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-3) });
            string[] parts = [.. trainer.TrainStep(objective, Batch(3)).Parts.Select(part => part.Name)];
            Assert.Equal(parts, objective.ChanceLevels(3).Select(level => level.Part).Distinct());
            Assert.Equal(contrast > 0 ? 3 : (int?)null, objective.TextQueue?.Filled);
            return parts;
        }

        float[] decoder = Named(model, "text_decoder.bert.encoder.layer.0.attention.self.query.weight").Value.ToArray();
        Assert.Equal(["itc", "itm"], Parts(1, 1, 0));
        Assert.Equal(["itc"], Parts(1, 0, 0));
        Assert.Equal(["itm"], Parts(0, 1, 0));
        Assert.Equal(decoder, Named(model, "text_decoder.bert.encoder.layer.0.attention.self.query.weight").Value.ToArray());
        Assert.Equal(["lm"], Parts(0, 0, 1));
        Assert.NotEqual(decoder, Named(model, "text_decoder.bert.encoder.layer.0.attention.self.query.weight").Value.ToArray());
        Assert.Equal(["itc", "itm", "lm"], Parts(1, 1, 1));
    }

    [Fact]
    public void TheShareOfTheSoftTargetsGrowsOverTheFirstEpochs()
    {
        // Before the ramp has begun the teacher has no share, so that its weight makes no difference.
        float[] Contrast(float alpha, int stepsPerEpoch)
        {
            using BlipForPreTraining model = Create();
            using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 4, Alpha = alpha, AlphaEpochs = 2 }) { StepsPerEpoch = stepsPerEpoch };
            using Trainer trainer = new(objective, new Sgd(ParameterGroup.SplitByDecay(model.NamedParameters(), 0), 0), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0) });
            return [.. Enumerable.Range(0, 3).Select(step => trainer.TrainStep(objective, Batch(3)).Parts.Single(part => part.Name == "itc").Value)];
        }

        float[] hard = Contrast(0, 1), soft = Contrast(0.4f, 1);
        Assert.Equal(hard[0], soft[0]);
        float half = soft[1] - hard[1], full = soft[2] - hard[2];
        Assert.NotEqual(0f, half);

        // Two epochs of one step: the second step has half of α, the third all of it.
        Assert.Equal(Contrast(0.2f, 0)[1], soft[1], 1e-5f);
        Assert.Equal(Contrast(0.4f, 0)[2], soft[2], 1e-5f);
        Assert.NotEqual(hard[0], Contrast(0.4f, 0)[0]);
        Assert.NotEqual(0f, full);
    }

    private static BlipForPreTraining Create()
    {
        BlipForPreTraining model = new(Config);
        model.Initialize(Device.Cpu, 1);
        return model;
    }

    /// <summary>Values at which features are far from each other.</summary>
    private static void Scatter(Module model, ulong seed)
    {
        using TensorScope scope = new();
        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            float[] values = Tensor.RandomNormal(parameter.Shape, 0, 0.5f, new Generator(seed++), Device.Cpu).ToArray();
            bool isNorm = name.Contains("orm", StringComparison.Ordinal) && name.EndsWith("weight", StringComparison.Ordinal);
            if (name != "temp") parameter.Assign([.. values.Select(value => isNorm ? 1 + value : value)], Device.Cpu);
        }
    }

    private static Parameter Named(Module module, string name) => module.NamedParameters().Single(named => named.Name == name).Parameter;

    /// <summary>Random images, and texts of 3 to 6 tokens behind [CLS] 2, ending with [SEP] 3; ids 0, 1, ... unless given.</summary>
    private static PairBatch Batch(int pairs, params int[] ids) => BatchOf(pairs, 16, ids);

    private static PairBatch BatchOf(int pairs, int size, params int[] ids)
    {
        int[] tokens = new int[pairs * 6], mask = new int[tokens.Length];
        for (int row = 0; row < pairs; row++)
        {
            int length = 3 + ((row + (ids.Length > 0 ? ids[0] : 0)) % 4);
            for (int t = 0; t < length; t++)
            {
                tokens[(row * 6) + t] = t == 0 ? 2 : t == length - 1 ? 3 : 4 + (((7 * row) + (5 * t) + (ids.Length > row ? ids[row] : 0)) % 30);
                mask[(row * 6) + t] = 1;
            }
        }

        Tensor images = Tensor.RandomNormal([pairs, 3, size, size], 0, 1, new Generator(11 + (ids.Length > 0 ? (ulong)ids[0] : 0)), Device.Cpu);
        return new PairBatch(
            images,
            new TextBatch(IndexTensor.FromArray(tokens, [pairs, 6]), IndexTensor.FromArray(mask, [pairs, 6])),
            IndexTensor.FromArray(ids.Length > 0 ? ids : [.. Enumerable.Range(0, pairs)], [pairs]));
    }

    private static TextBatch Row(TextBatch text, int row)
        => new(IndexTensor.FromArray(text.TokenIds.ToArray().AsSpan(row * 6, 6), [1, 6]), IndexTensor.FromArray(text.Mask!.ToArray().AsSpan(row * 6, 6), [1, 6]));

    private sealed class Session : IDisposable
    {
        public Session()
        {
            Model = new BlipForPreTraining(Config with { Text = Config.Text with { DropoutRate = 0.1f } });
            Model.Initialize(Device.Cpu, 1);
            Model.Train();
            Objective = new BlipPretraining(Model, new BlipPretrainingOptions { QueueSize = 9, Momentum = 0.9 }) { StepsPerEpoch = 2 };
            Trainer = new Trainer(Objective, new AdamW(ParameterGroup.SplitByDecay(Model.NamedParameters(), 0.05), 1e-2), new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-2), Seed = 5 });
        }

        public BlipForPreTraining Model { get; }

        public BlipPretraining Objective { get; }

        public Trainer Trainer { get; }

        public void Step(int step) => Trainer.TrainStep(Objective, Batch(4, step, 10, 20, 20));

        public void Dispose()
        {
            Trainer.Dispose();
            Objective.Dispose();
            Model.Dispose();
        }
    }
}
