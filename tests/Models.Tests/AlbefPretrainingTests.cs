using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>ALBEF's three losses against formulas in double precision, its momentum model, its queues.</summary>
public sealed class AlbefPretrainingTests
{
    private static readonly int[] Apart = [4, 5, 6], Together = [7, 7, 9];

    /// <summary>The second step of a training whose queues wrap: values of all losses, and one element of each parameter's gradient by differences.</summary>
    [Theory]
    [InlineData(0f, false, NegativeStrategy.Hard)]
    [InlineData(0.4f, false, NegativeStrategy.Hard)]
    [InlineData(0.4f, true, NegativeStrategy.Hard)]
    [InlineData(0.25f, true, NegativeStrategy.Random)]
    public void LossesAndGradientsEqualDoublePrecision(float alpha, bool sharesPictures, NegativeStrategy strategy)
    {
        using AlbefSamples samples = new();
        AlbefPretrainingOptions options = new() { Masking = AlbefSamples.Masking, Alpha = alpha, QueueCapacity = 4, Momentum = 0.8, Negatives = strategy };
        using AlbefPretraining objective = new(samples.Model, options, seed: 3);
        int[] ids = sharesPictures ? Together : Apart;
        using (Tape tape = Tape.Record())
        {
            tape.Backward(objective.Loss(samples.Pairs(ids[0], ids[2], 8)).Total);
            objective.AfterBackward();
        }

        samples.Scatter(samples.Model, 900);
        samples.Model.ClearGradients();
        Past past = new(objective);
        Generator outer = Generator.Current;
        Generator.Current = new Generator(77);
        try
        {
            using Tape tape = Tape.Record();
            PairBatch batch = samples.Pairs(ids);
            LossParts parts = objective.Loss(batch);
            float[] values = [.. parts.Select(part => part.Value.Item())];
            Assert.Equal(["itc", "itm", "mlm"], parts.Select(part => part.Name));
            tape.Backward(parts.Total);

            AlbefReference online = new(samples.Model, AlbefSamples.Config), teacher = new(objective.MomentumModel, AlbefSamples.Config);
            Reference reference = new(online, teacher, past, ids, alpha);
            reference.Choose(options, batch, samples.Device);
            double[] expected = reference.Losses();
            for (int i = 0; i < 3; i++) Assert.Equal(expected[i], values[i], 2e-5 * Math.Max(1, expected[i]));
            online.AssertGradients(samples.Model, () => reference.Losses().Sum());
            Assert.All(objective.MomentumModel.NamedParameters(), named => Assert.True(named.Parameter.Gradient is null && !named.Parameter.Value.NeedsGradient, named.Name));
        }
        finally
        {
            Generator.Current = outer;
        }
    }

    [Fact]
    public void TheMomentumModelIsTheMovingAverageOfEverything()
    {
        using AlbefSamples samples = new();
        using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 8, Momentum = 0.9 });
        double[][] expected = Values(samples.Model);
        for (int step = 0; step < 3; step++)
        {
            samples.Scatter(samples.Model, 100 * step);
            double[][] online = Values(samples.Model);
            for (int i = 0; i < expected.Length; i++)
                for (int j = 0; j < expected[i].Length; j++) expected[i][j] = (0.9 * expected[i][j]) + (0.1 * online[i][j]);
            using Tape tape = Tape.Record();
            tape.Backward(objective.Loss(samples.Pairs(Apart)).Total);
        }

        double[][] actual = Values(objective.MomentumModel);
        for (int i = 0; i < expected.Length; i++) AlbefTests.AssertClose(expected[i], [.. actual[i].Select(value => (float)value)]);
    }

    [Fact]
    public void TheQueuesTakeMomentumFeaturesAfterTheBackwardPassAndWrap()
    {
        using AlbefSamples samples = new();
        using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 5, Momentum = 0.5 });
        float[] atFirst = objective.ImageQueue!.Features.ToArray();
        for (int step = 0; step < 2; step++)
        {
            using Tape tape = Tape.Record();
            LossParts parts = objective.Loss(samples.Pairs([.. Apart.Select(id => id + (10 * step))]));
            Assert.Equal(3 * step, objective.ImageQueue.Position);
            tape.Backward(parts.Total);
            objective.AfterBackward();
        }

        using TensorScope scope = new();
        Assert.NotEqual(atFirst, objective.ImageQueue.Features.ToArray());
        Assert.Equal((1, 1), (objective.ImageQueue.Position, objective.TextQueue!.Position));
        Assert.Equal([16, 5, 6, 14, 15], objective.ImageQueue.Ids.ToArray());
        Assert.Equal([16, 5, 6, 14, 15], objective.TextQueue.Ids.ToArray());
        Albef teacher = objective.MomentumModel;
        float[] image = teacher.ProjectImage(teacher.EncodeImage(samples.Images)).ToArray(), text = teacher.ProjectText(teacher.EncodeText(samples.Text)).ToArray();
        Assert.Equal(image[8..], objective.ImageQueue.Features.Slice(0, 1).ToArray());
        Assert.Equal(image[..8], objective.ImageQueue.Features.Slice(3, 2).ToArray());
        Assert.Equal(text[8..], objective.TextQueue.Features.Slice(0, 1).ToArray());
    }

    /// <summary>Three captions of one picture: nothing is wrong with any of them, so all share the target and none can be a wrong partner.</summary>
    [Fact]
    public void CaptionsOfOnePictureAreNoNegatives()
    {
        using AlbefSamples samples = new();
        using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 0, Alpha = 0 });
        using TensorScope scope = new();
        float[] parts = [.. objective.Loss(samples.Pairs(3, 3, 3)).Select(part => part.Value.Item())];
        AlbefReference reference = new(samples.Model, AlbefSamples.Config);
        (double[][] images, double[][] texts) = Features(reference);
        double temperature = 0.2, contrast = 0, match = 0;
        for (int i = 0; i < 3; i++)
        {
            contrast -= AlbefReference.LogSoftmax([.. texts.Select(text => AlbefReference.Dot(images[i], text) / temperature)]).Average() / 6;
            contrast -= AlbefReference.LogSoftmax([.. images.Select(image => AlbefReference.Dot(image, texts[i]) / temperature)]).Average() / 6;
            bool[] mask = AlbefSamples.MaskOf(i);
            match -= AlbefReference.LogSoftmax(reference.Match(reference.Fuse(reference.Text(RowOf(AlbefSamples.Ids, i), mask), mask, reference.Image(AlbefSamples.PixelsOf(i)))))[1] / 3;
        }

        Assert.Equal(contrast, parts[0], 1e-5);
        Assert.Equal(match, parts[1], 1e-5);
    }

    /// <summary>One text for three pictures: it is right for each, so that none is a wrong partner; the original, which reads no ids, takes one.</summary>
    [Fact]
    public void AnEqualTextIsNoWrongPartner()
    {
        using AlbefSamples samples = new();
        using TensorScope scope = new();
        int[] row = [.. RowOf(AlbefSamples.Ids, 0)], mask = [.. AlbefSamples.MaskOf(0).Select(shown => shown ? 1 : 0)];
        PairBatch pairs = samples.Pairs(1, 2, 3), batch = pairs with
        {
            Text = new TextBatch(IndexTensor.FromArray([.. row, .. row, .. row], [3, row.Length], samples.Device), IndexTensor.FromArray([.. mask, .. mask, .. mask], [3, row.Length], samples.Device)),
        };
        AlbefReference reference = new(samples.Model, AlbefSamples.Config);
        double match = -Enumerable.Range(0, 3).Average(i => AlbefReference.LogSoftmax(reference.Match(reference.Fuse(reference.Text(row, AlbefSamples.MaskOf(0)), AlbefSamples.MaskOf(0), reference.Image(AlbefSamples.PixelsOf(i)))))[1]);
        Assert.Equal(match, Matching(new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 0, Alpha = 0 }), 1e-5);
        Assert.NotEqual(match, Matching(new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 0, Alpha = 0, ReadsImageIds = false }), 1e-3);

        double Matching(AlbefPretrainingOptions options)
        {
            using AlbefPretraining objective = new(samples.Model, options);
            return objective.Loss(batch).Single(part => part.Name == "itm").Value.Item();
        }
    }

    [Theory]
    [InlineData(0.9f, 0.5f)]
    [InlineData(1e-5f, 0.001f)]
    [InlineData(0.2f, 0.2f)]
    public void AfterAnUpdateTheTemperatureIsInItsBounds(float updated, float expected)
    {
        using AlbefSamples samples = new();
        using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 0 });
        samples.Model.Temperature.Assign([updated], samples.Device);
        objective.AfterUpdate(1);
        Assert.Same(samples.Model.Temperature, objective.Temperature.Parameter);
        Assert.Equal((expected, 0.001f, 0.5f), (samples.Model.Temperature.Value.Item(), objective.Temperature.Lowest, objective.Temperature.Highest));
    }

    [Fact]
    public void AlphaGrowsDuringTheFirstEpoch()
    {
        using AlbefSamples samples = new();
        float[] losses = [.. new[] { (0.4f, 0), (0.4f, 10), (0f, 0) }.Select(choice =>
        {
            using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 0, Alpha = choice.Item1 });
            objective.StepsPerEpoch = choice.Item2;
            using TensorScope scope = new();
            return objective.Loss(samples.Pairs(Apart)).First().Value.Item();
        })];
        Assert.NotEqual(losses[0], losses[2]);
        Assert.Equal(losses[1], losses[2]); // the first step of an epoch of ten: no distillation yet

        // Nothing is learnt or enqueued in between, so that the second of two steps has half of α, and the loss is linear in it.
        float[] half = SecondStep(0.4f, 2), fixedHalf = SecondStep(0.2f, 0);
        Assert.NotEqual(half[0], half[1]);
        Assert.Equal(fixedHalf[1], half[1], 1e-5f);

        float[] SecondStep(float alpha, int stepsPerEpoch)
        {
            using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 0, Alpha = alpha }) { StepsPerEpoch = stepsPerEpoch };
            using Trainer trainer = new(objective, new Sgd(ParameterGroup.SplitByDecay(samples.Model.NamedParameters(), 0), 0), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0) });
            return [.. Enumerable.Range(0, 2).Select(_ => trainer.TrainStep(objective, samples.Pairs(Apart)).Parts[0].Value)];
        }
    }

    [Fact]
    public void DuringTheWarmUpTheQueuesFillButDoNotCount()
    {
        using AlbefSamples samples = new();
        AlbefPretrainingOptions options = new() { Masking = AlbefSamples.Masking, QueueCapacity = 4, Alpha = 0 };
        float none = Second(options with { QueueCapacity = 0 }), warming = Second(options with { QueueWarmUp = 1 }), counting = Second(options);
        Assert.Equal(none, warming);
        Assert.True(counting > none, $"{counting} with more candidates, {none} without");

        // The second loss of the first step: by then the queues hold three features.
        float Second(AlbefPretrainingOptions chosen)
        {
            using AlbefPretraining objective = new(samples.Model, chosen);
            using Tape tape = Tape.Record();
            tape.Backward(objective.Loss(samples.Pairs(1, 2, 3)).Total);
            objective.AfterBackward();
            samples.Model.ClearGradients();
            using TensorScope scope = new();
            using IDisposable pause = Tape.NoGradient();
            Assert.Equal(chosen.QueueCapacity == 0 ? (int?)null : 3, objective.ImageQueue?.Filled);
            return objective.Loss(samples.Pairs(Apart)).First().Value.Item();
        }
    }

    [Fact]
    public void TheChanceLevelCountsTheCandidatesThatThereAre()
    {
        using AlbefSamples samples = new();
        using AlbefPretraining objective = new(samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 8, QueueWarmUp = 2 });
        using Trainer trainer = new(objective, new Sgd(ParameterGroup.SplitByDecay(samples.Model.NamedParameters(), 0), 0), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0) });
        List<double> candidates = [];
        for (int step = 0; step < 4; step++)
        {
            trainer.TrainStep(objective, samples.Pairs(Apart));
            candidates.Add(Math.Exp(objective.ChanceLevels(3)[0].Loss));
        }

        // Two steps of warm-up, then nine features in queues of eight.
        Assert.All(candidates.Zip([3.0, 3, 11, 11]), pair => Assert.Equal(pair.Second, pair.First, 1e-3));
    }

    [Fact]
    public void WithoutTheContrastiveLossTwoPartsRemain()
    {
        using AlbefSamples samples = new();
        AlbefPretrainingOptions options = new() { Masking = AlbefSamples.Masking, Contrast = false, Negatives = NegativeStrategy.Random };
        using AlbefPretraining objective = new(samples.Model, options);
        using Tape tape = Tape.Record();
        LossParts parts = objective.Loss(samples.Pairs(Apart));
        Assert.Equal(["itm", "mlm"], parts.Select(part => part.Name));
        tape.Backward(parts.Total);
        objective.AfterBackward();
        Assert.Null(objective.ImageQueue);
        Assert.Single(objective.State);
        Assert.Contains("Random", Assert.Throws<ArgumentException>(() => new AlbefPretraining(samples.Model, options with { Negatives = NegativeStrategy.Hard })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatCannotWorkIsSaid()
    {
        using AlbefSamples samples = new();
        AlbefPretrainingOptions options = new() { Masking = AlbefSamples.Masking, QueueCapacity = 4 };
        using AlbefPretraining objective = new(samples.Model, options);
        using TensorScope scope = new();
        PairBatch one = new(samples.Images.Slice(0, 1), new TextBatch(IndexTensor.FromArray(AlbefSamples.Ids.AsSpan(0, 5), [1, 5], samples.Device)), IndexTensor.FromArray([1], [1], samples.Device));
        Assert.Contains("two pairs", Assert.Throws<ShapeException>(() => objective.Loss(one)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new AlbefPretraining(samples.Model, options with { Alpha = 1.5f }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AlbefPretraining(samples.Model, options with { QueueCapacity = -1 }));
        Assert.Throws<ArgumentException>(() => new AlbefPretraining(samples.Model, options with { Masking = AlbefSamples.Masking with { VocabularySize = 30 } }));
    }

    [Fact]
    public void ResumingGivesTheSameBits()
    {
        using TemporaryFolder folder = new();
        using Run whole = new(), first = new(), second = new();
        whole.Train(0, 6);
        first.Train(0, 3);
        first.Trainer.Save(folder.Path);
        second.Train(0, 1);
        second.Trainer.Load(folder.Path, second.Samples.Device);
        second.Train(3, 3);
        Assert.Equal(Values(whole.Samples.Model), Values(second.Samples.Model));
        Assert.Equal(Values(whole.Objective.MomentumModel), Values(second.Objective.MomentumModel));
        Assert.Equal(whole.Objective.TextQueue!.Features.ToArray(), second.Objective.TextQueue!.Features.ToArray());
    }

    private static int[] RowOf(int[] ids, int row) => ids[(row * AlbefSamples.Tokens)..((row + 1) * AlbefSamples.Tokens)];

    private static double[][] Values(Module model) => [.. model.NamedParameters().Select(named => named.Parameter.Value.ToArray().Select(value => (double)value).ToArray())];

    private static (double[][] Images, double[][] Texts) Features(AlbefReference reference) => (
        [.. Enumerable.Range(0, AlbefSamples.Batch).Select(row => reference.Project(reference.Image(AlbefSamples.PixelsOf(row)), "vision_proj"))],
        [.. Enumerable.Range(0, AlbefSamples.Batch).Select(row => reference.Project(reference.Text(RowOf(AlbefSamples.Ids, row), AlbefSamples.MaskOf(row)), "text_proj"))]);

    /// <summary>What the queues held before a step.</summary>
    private sealed class Past(AlbefPretraining objective)
    {
        public double[][] Images { get; } = Rows(objective.ImageQueue!);

        public double[][] Texts { get; } = Rows(objective.TextQueue!);

        public int[] Ids { get; } = objective.ImageQueue!.Ids.ToArray()[..objective.ImageQueue.Filled];

        private static double[][] Rows(FeatureQueue queue) => [.. queue.Features.ToArray().Select(value => (double)value).Chunk(queue.Width).Take(queue.Filled)];
    }

    /// <summary>The losses of one step by their formulas, given what was drawn.</summary>
    private sealed class Reference(AlbefReference online, AlbefReference teacher, Past past, int[] ids, float alpha)
    {
        private readonly double _teacherTemperature = online.Values["temp"][0];
        private int[] _wrongImages = [], _wrongTexts = [], _maskedIds = [], _labels = [];

        public AlbefReference Online => online;

        /// <summary>Draws as the objective does: a wrong image for each text, a wrong text for each image, then the words.</summary>
        public void Choose(AlbefPretrainingOptions options, PairBatch batch, Device device)
        {
            Generator generator = new(77);
            HardNegativeSampler sampler = new() { Strategy = options.Negatives, Floor = 0 };
            (double[][] images, double[][] texts) = Features(online);
            (double[][] teacherImages, double[][] teacherTexts) = Features(teacher);
            _wrongImages = sampler.Sample(Similarities(texts, teacherImages), batch.ImageIds, null, generator).ToArray();
            _wrongTexts = sampler.Sample(Similarities(images, teacherTexts), batch.ImageIds, null, generator).ToArray();
            MaskedTokens masked = options.Masking.Apply(batch.Text.TokenIds, generator);
            (_maskedIds, _labels) = (masked.Ids.ToArray(), masked.Labels.ToArray());
            for (int i = 0; i < ids.Length; i++) Assert.False(ids[_wrongImages[i]] == ids[i] || ids[_wrongTexts[i]] == ids[i]);

            Tensor Similarities(double[][] rows, double[][] columns)
                => Tensor.FromArray([.. rows.SelectMany(row => columns.Select(column => (float)(AlbefReference.Dot(row, column) / _teacherTemperature)))], [rows.Length, columns.Length], device);
        }

        public double[] Losses()
        {
            (double[][] images, double[][] texts) = Features(online);
            (double[][] teacherImages, double[][] teacherTexts) = Features(teacher);
            double itc = (Contrast(images, teacherImages, [.. teacherTexts, .. past.Texts]) + Contrast(texts, teacherTexts, [.. teacherImages, .. past.Images])) / 2;
            return [itc, Matching(), Masked()];
        }

        private double Contrast(double[][] rows, double[][] teacherRows, double[][] columns)
        {
            int[] columnIds = [.. ids, .. past.Ids];
            double loss = 0;
            for (int i = 0; i < rows.Length; i++)
            {
                double[] log = AlbefReference.LogSoftmax([.. columns.Select(column => AlbefReference.Dot(rows[i], column) / online.Values["temp"][0])]);
                double[] soft = [.. AlbefReference.LogSoftmax([.. columns.Select(column => AlbefReference.Dot(teacherRows[i], column) / _teacherTemperature)]).Select(Math.Exp)];
                double positives = columnIds.Count(id => id == ids[i]);
                for (int j = 0; j < columns.Length; j++) loss -= ((alpha * soft[j]) + ((1 - alpha) * (columnIds[j] == ids[i] ? 1 / positives : 0))) * log[j];
            }

            return loss / rows.Length;
        }

        private double Matching()
        {
            double loss = 0;
            int count = ids.Length;
            for (int i = 0; i < count; i++) loss -= LogMatch(i, i)[1] + LogMatch(_wrongImages[i], i)[0] + LogMatch(i, _wrongTexts[i])[0];
            return loss / (3 * count);
        }

        private double[] LogMatch(int image, int text)
        {
            bool[] mask = AlbefSamples.MaskOf(text);
            return AlbefReference.LogSoftmax(online.Match(online.Fuse(online.Text(RowOf(AlbefSamples.Ids, text), mask), mask, online.Image(AlbefSamples.PixelsOf(image)))));
        }

        private double Masked()
        {
            double loss = 0;
            int count = 0;
            for (int row = 0; row < ids.Length; row++)
            {
                double[][] own = Fused(online, row), soft = Fused(teacher, row);
                foreach ((int token, int label) in RowOf(_labels, row).Index().Where(item => item.Item != TokenMasking.IgnoredLabel))
                {
                    double[] log = AlbefReference.LogSoftmax(online.Predict(own[token]));
                    double[] target = [.. AlbefReference.LogSoftmax(teacher.Predict(soft[token])).Select(Math.Exp)];
                    loss -= ((1 - alpha) * log[label]) + (alpha * AlbefReference.Dot(target, log));
                    count++;
                }
            }

            return loss / count;
        }

        private double[][] Fused(AlbefReference model, int row)
        {
            bool[] mask = AlbefSamples.MaskOf(row);
            return model.Fuse(model.Text(RowOf(_maskedIds, row), mask), mask, model.Image(AlbefSamples.PixelsOf(row)));
        }
    }

    private sealed class Run : IDisposable
    {
        public Run()
        {
            Objective = new AlbefPretraining(Samples.Model, new AlbefPretrainingOptions { Masking = AlbefSamples.Masking, QueueCapacity = 8, Momentum = 0.9 }) { StepsPerEpoch = 4 };
            Trainer = new Trainer(
                Objective,
                new AdamW(ParameterGroup.SplitByDecay(Samples.Model.NamedParameters(), 0.02), 1e-3),
                new TrainerOptions { Schedule = LearningRateSchedule.Cosine(1e-3, warmUp: 2, total: 10), Seed = 4 });
        }

        public AlbefSamples Samples { get; } = new();

        public AlbefPretraining Objective { get; }

        public Trainer Trainer { get; }

        public void Train(int start, int steps)
        {
            for (int step = start; step < start + steps; step++)
            {
                using TensorScope scope = new();
                Trainer.TrainStep(Objective, Samples.Pairs(step, 20 + step, 40 + step));
            }
        }

        public void Dispose()
        {
            Trainer.Dispose();
            Objective.Dispose();
            Samples.Dispose();
        }
    }
}
