using MiniVlp.Autograd;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>A tiny ALBEF, pre-trained on scenes once, and what can be done with it: retrieval, grounding, questions, statements.</summary>
[Trait("Kind", "Training")]
public sealed class AlbefSceneTests(AlbefSceneTests.Pretrained pretrained, ITestOutputHelper output) : IClassFixture<AlbefSceneTests.Pretrained>
{
    private const int Size = 32, Gallery = 100;

    [Fact]
    public void TheLossesFall()
    {
        (float _, float contrast) = FirstAndLast("itc");
        (float _, float matching) = FirstAndLast("itm");
        (float firstWords, float words) = FirstAndLast("mlm");
        double chance = Math.Log(Pretrained.Batch + Pretrained.Queue);
        Assert.True(contrast < 0.7 * chance, $"itc {contrast} among {Pretrained.Batch + Pretrained.Queue} candidates, by chance {chance}");
        Assert.True(matching < 0.6f, $"itm {matching}; 0.6365 is what it has when it knows only that one pair in three is right");
        Assert.True(words < 0.5f * firstWords, $"mlm from {firstWords} to {words}");

        (float First, float Last) FirstAndLast(string name)
        {
            float[] values = [.. pretrained.Steps.Select(step => step.Parts.Single(part => part.Name == name).Value)];
            output.WriteLine($"{name}: {values[..20].Average():F3} to {values[^20..].Average():F3}");
            return (values[..20].Average(), values[^20..].Average());
        }
    }

    [Fact]
    public void TwoStagesFindUnseenScenesFarMoreOftenThanChance()
    {
        using TensorScope scope = new();
        SceneDataset unseen = new(pretrained.Scenes.Options with { Split = SceneSplit.Validation, Count = Gallery, UniqueCaptions = true });
        int[] all = [.. Enumerable.Range(0, Gallery)];
        EncodedImages images = pretrained.Model.EncodeImages(pretrained.Images(unseen, all));
        EncodedTexts texts = pretrained.Model.EncodeTexts(pretrained.Text([.. all.Select(unseen.GetCaption)]));
        MatchingScores scores = MatchingRetrieval.Score(pretrained.Model, images, texts, candidates: 10);
        int coarse = all.Count(i => all.MaxBy(j => scores.Coarse![(i * Gallery) + j]) == i), fine = all.Count(i => all.MaxBy(j => scores.ImageToText[(i * Gallery) + j]) == i);
        int fineImages = all.Count(i => all.MaxBy(j => scores.TextToImage[(i * Gallery) + j]) == i);
        output.WriteLine($"R@1 of {Gallery}: image to text {coarse} coarse, {fine} re-ranked; text to image {fineImages} re-ranked");
        Assert.True(fine >= 15 && fineImages >= 15, $"{fine} and {fineImages} of {Gallery}; fifteen times chance is 15");
        Assert.True(fine >= coarse - 10, $"re-ranking found {fine}, the coarse search alone {coarse}");
    }

    [Fact]
    public void GradCamPointsAtTheObject()
    {
        using TensorScope scope = new();
        SceneDataset single = new(pretrained.Scenes.Options with { World = SceneOptions.Demo.SingleObjects(), Split = SceneSplit.Validation, Count = Gallery });
        int[] all = [.. Enumerable.Range(0, Gallery)];
        float[] map = AlbefGrounding.HeatMap(pretrained.Model, pretrained.Images(single, all), pretrained.Text([.. all.Select(single.GetCaption)]), pretrained.Model.Config.Text.Layers - 1).ToArray();
        int side = Size / pretrained.Model.Config.Vision.PatchSize, cells = side * side, hits = 0;
        double chance = 0;
        foreach (int i in all)
        {
            SceneBox box = single.SceneAt(i).Objects[0].Box;
            bool Inside(int cell)
            {
                double x = ((cell % side) + 0.5) / side, y = ((cell / side) + 0.5) / side;
                return x >= box.Left && x <= box.Right && y >= box.Top && y <= box.Bottom;
            }

            if (Inside(Enumerable.Range(0, cells).MaxBy(cell => map[(i * cells) + cell]))) hits++;
            chance += Enumerable.Range(0, cells).Count(Inside) / (double)cells;
        }

        output.WriteLine($"pointing game: {hits} of {Gallery}, chance {chance:F1}");
        Assert.True(hits > 2 * chance, $"{hits} hits, by chance {chance}");
    }

    [Fact]
    public void QuestionsAreAnswered()
    {
        using AlbefQuestionAnswering model = AlbefQuestionAnswering.From(pretrained.Model);
        string[] answers = [.. SceneOptions.Demo.Colors.Select(color => color.ToString().ToLowerInvariant())];
        SceneDataset scenes = new(pretrained.Scenes.Options with { World = SceneOptions.Demo.SingleObjects() });
        using Trainer trainer = Pretrained.TrainerOf(model, 150);
        for (int step = 0; step < 150; step++)
        {
            int[] rows = [.. Enumerable.Range(32 * step, 32)];
            SceneQuestion[] asked = [.. rows.Select(row => SceneQuestion.Ask(scenes.SceneAt(row), SceneOptions.Demo, SceneQuestionKind.Color, (ulong)row)!)];
            trainer.TrainStep(() => model.Loss(pretrained.Images(scenes, rows), pretrained.Text([.. asked.Select(question => question.Text)]), pretrained.Text([.. asked.Select(question => question.Answer)])));
        }

        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Gallery });
        int[] all = [.. Enumerable.Range(0, Gallery)];
        SceneQuestion[] questions = [.. all.Select(row => SceneQuestion.Ask(unseen.SceneAt(row), SceneOptions.Demo, SceneQuestionKind.Color, (ulong)row)!)];
        using TensorScope scope = new();
        IReadOnlyList<int>[] ids = [.. answers.Select(answer => pretrained.Tokenizer.Encode(answer)[1..])];
        IReadOnlyList<RankedAnswer>[] ranked = model.RankAnswers(pretrained.Images(unseen, all), pretrained.Text([.. questions.Select(question => question.Text)]), pretrained.Tokenizer.StartId, ids);
        int right = all.Count(i => answers[ranked[i][0].Answer] == questions[i].Answer), majority = questions.GroupBy(question => question.Answer).Max(group => group.Count());
        output.WriteLine($"colours: {right} of {Gallery}, the commonest answer alone {majority}");
        Assert.True(right >= 2 * majority, $"{right} of {Gallery} right, the commonest answer alone gives {majority}");
    }

    [Fact]
    public void StatementsAreJudged()
    {
        using AlbefEntailment model = AlbefEntailment.From(pretrained.Model, classes: 2);
        SceneDataset scenes = new(pretrained.Scenes.Options with { World = SceneOptions.Demo.SingleObjects() });
        using Trainer trainer = Pretrained.TrainerOf(model, 150);
        for (int step = 0; step < 150; step++)
        {
            int[] rows = [.. Enumerable.Range(32 * step, 32)];
            trainer.TrainStep(() => model.Loss(pretrained.Images(scenes, rows), pretrained.Text([.. rows.Select(row => Statement(scenes, row))]), IndexTensor.FromArray([.. rows.Select(row => Holds(scenes, row))], [rows.Length], pretrained.Device)));
        }

        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Gallery });
        int[] all = [.. Enumerable.Range(0, Gallery)];
        using TensorScope scope = new();
        int[] judged = model.Forward(pretrained.Images(unseen, all), pretrained.Text([.. all.Select(row => Statement(unseen, row))])).ArgMaxLastAxis().ToArray();
        int right = all.Count(i => judged[i] == Holds(unseen, i));
        output.WriteLine($"statements: {right} of {Gallery}");
        Assert.True(right >= 65, $"{right} of {Gallery} right; guessing gives 50");

        // Every second statement is that of the next scene, which seldom holds in this one.
        string Statement(SceneDataset source, int row) => source.GetCaption((row + (row % 2)) % source.Count);

        int Holds(SceneDataset source, int row) => SceneGrammar.Parse(Statement(source, row)).HoldsIn(source.SceneAt(row)) ? 1 : 0;
    }

    /// <summary>A masked word is read from the picture: with another scene's picture it is guessed worse.</summary>
    [Fact]
    public void MaskedWordsAreSeen()
    {
        SceneDataset unseen = new(pretrained.Scenes.Options with { Split = SceneSplit.Validation, Count = Gallery });
        int[] all = [.. Enumerable.Range(0, Gallery)];
        using AlbefPretraining objective = new(pretrained.Model, pretrained.Options with { Contrast = false, Negatives = NegativeStrategy.Random, Alpha = 0 });
        float own = Guess(all), other = Guess([.. all.Select(i => (i + 1) % Gallery)]);
        output.WriteLine($"mlm: {own:F3} with the picture, {other:F3} with another");
        Assert.True(other > own + 0.3f, $"{own} with the picture, {other} with another");

        float Guess(int[] pictures)
        {
            using TensorScope scope = new();
            Generator outer = Generator.Current;
            Generator.Current = new Generator(5);
            try
            {
                PairBatch batch = new(pretrained.Images(unseen, pictures), pretrained.Text([.. all.Select(unseen.GetCaption)]), IndexTensor.FromArray(all, [Gallery], pretrained.Device));
                return objective.Loss(batch).Single(part => part.Name == "mlm").Value.Item();
            }
            finally
            {
                Generator.Current = outer;
            }
        }
    }

    /// <summary>
    /// Two pictures, a sentence that describes one of them, and whether that is the first: the model must know which is which. That it reads both is what its
    /// formula is held to elsewhere.
    /// </summary>
    [Fact]
    public void PairsOfPicturesAreJudged()
    {
        using AlbefImagePairs model = AlbefImagePairs.From(pretrained.Model);
        SceneDataset scenes = new(pretrained.Scenes.Options with { World = SceneOptions.Demo.SingleObjects() });
        using Trainer trainer = Pretrained.TrainerOf(model, 200, 3e-4);
        for (int step = 0; step < 200; step++)
        {
            int[] rows = [.. Enumerable.Range(32 * step, 32)];
            trainer.TrainStep(() => model.Loss(pretrained.Images(scenes, rows), pretrained.Images(scenes, [.. rows.Select(Second)]), Sentences(scenes, rows), Labels(rows)));
        }

        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Gallery });
        int[] all = [.. Enumerable.Range(0, Gallery)];
        using TensorScope scope = new();
        int[] judged = model.Forward(pretrained.Images(unseen, all), pretrained.Images(unseen, [.. all.Select(Second)]), Sentences(unseen, all)).ArgMaxLastAxis().ToArray();
        int right = all.Zip(judged).Count(pair => pair.Second == IsOfFirst(pair.First));
        output.WriteLine($"pairs: {right} of {Gallery}");
        Assert.True(right >= 75, $"{right} of {Gallery} right; guessing gives 50");

        static int Second(int row) => row + 1;

        static int IsOfFirst(int row) => row / 2 % 2;

        TextBatch Sentences(SceneDataset source, int[] rows) => pretrained.Text([.. rows.Select(row => source.GetCaption((IsOfFirst(row) == 1 ? row : Second(row)) % source.Count))]);

        IndexTensor Labels(int[] rows) => IndexTensor.FromArray([.. rows.Select(IsOfFirst)], [rows.Length], pretrained.Device);
    }

    /// <summary>The pre-training that all tests share.</summary>
    public sealed class Pretrained : IDisposable
    {
        public const int Batch = 48, Queue = 480;

        private const int StepCount = 650;

        private readonly ImagePreprocessor _preprocessor = ImagePreprocessor.Clip(Size);

        public Pretrained()
        {
            Scenes = new SceneDataset(new SceneDatasetOptions { World = SceneOptions.Demo, Count = 16384, ImageSize = Size });
            Tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(SceneGrammar.AllWords.Concat(Enumerable.Range(0, 500).Select(Scenes.GetCaption)), 300));
            Model = new Albef(AlbefConfig.Tiny with { Text = AlbefConfig.Tiny.Text with { VocabularySize = Tokenizer.VocabularySize, PaddingId = Tokenizer.PadId } });
            Model.Initialize(Device, seed: 1);
            Options = new AlbefPretrainingOptions
            {
                Masking = new TokenMasking { MaskId = Tokenizer.MaskId!.Value, VocabularySize = Tokenizer.VocabularySize, SpecialIds = [Tokenizer.PadId, Tokenizer.StartId] },
                QueueCapacity = Queue,
                QueueWarmUp = 150,
                Momentum = 0.99,
            };
            using AlbefPretraining objective = new(Model, Options) { StepsPerEpoch = Scenes.Count / Batch };
            using Trainer trainer = new(objective, OptimizerOf(Model), Plan(StepCount));
            for (int step = 0; step < StepCount; step++)
            {
                using TensorScope scope = new();
                int[] rows = [.. Enumerable.Range(step * Batch, Batch).Select(i => i % Scenes.Count)];
                Steps.Add(trainer.TrainStep(objective, new PairBatch(Images(Scenes, rows), Text([.. rows.Select(Scenes.GetCaption)]), IndexTensor.FromArray(rows, [Batch], Device))));
            }
        }

        public Device Device { get; } = Device.CreateCpu();

        public SceneDataset Scenes { get; }

        public TextTokenizer Tokenizer { get; }

        public Albef Model { get; }

        public AlbefPretrainingOptions Options { get; }

        public List<StepResult> Steps { get; } = [];

        public static Trainer TrainerOf(Module model, int steps, double rate = 2e-3) => new(model, OptimizerOf(model), Plan(steps, rate));

        public Tensor Images(SceneDataset source, int[] rows)
            => Tensor.FromArray([.. rows.SelectMany(row => _preprocessor.Process(source.Get(row % source.Count).Image))], [rows.Length, 3, Size, Size], Device);

        public TextBatch Text(string[] texts)
        {
            int length = texts.Max(text => Tokenizer.Encode(text).Length);
            (int[] ids, int[] mask) = Tokenizer.EncodeBatch(texts, length);
            return new TextBatch(IndexTensor.FromArray(ids, [texts.Length, length], Device), IndexTensor.FromArray(mask, [texts.Length, length], Device));
        }

        public void Dispose()
        {
            Model.Dispose();
            Device.Dispose();
        }

        // A learning rate that suits matrices of a tiny model would throw the temperature, a number of 0.07, from bound to bound.
        private static AdamW OptimizerOf(Module model) => new(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.02, name => name == "temp" ? 0.1 : 1), 2e-3);

        private static TrainerOptions Plan(int steps, double rate = 2e-3) => new() { Schedule = LearningRateSchedule.Cosine(rate, warmUp: 20, total: steps) };
    }
}
