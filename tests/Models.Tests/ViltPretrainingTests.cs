using MiniVlp.Autograd;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>ViLT's pre-training: each part of the loss against its definition, then what it learns of the built-in scenes.</summary>
public sealed class ViltPretrainingTests
{
    private const int Size = 32, Context = 16;

    /// <summary>One object, of two shapes in four colours, on white: eight captions of three words.</summary>
    private static readonly SceneOptions World = SceneOptions.Demo.SingleObjects() with
    {
        Shapes = [SceneShape.Circle, SceneShape.Square],
        Colors = [SceneColor.Red, SceneColor.Orange, SceneColor.Yellow, SceneColor.Green],
        Backgrounds = [SceneBackground.White],
        MaxRotation = 0,
    };

    private static readonly ImagePreprocessor Preprocessor = ImagePreprocessor.Clip(Size);

    /// <summary>A vocabulary that has every word of that world and of the questions about it.</summary>
    private static readonly TextTokenizer Words = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(
        [.. Enumerable.Range(0, 200).Select(new SceneDataset(new SceneDatasetOptions { World = World }).GetCaption), .. Enumerable.Repeat("what color shape is the object", 20)], 200));

    /// <summary>A vocabulary too small for whole words, so that most words are several pieces.</summary>
    private static readonly TextTokenizer Tokenizer = TextTokenizer.FromVocabulary(
        TextTokenizer.BuildVocabulary(Enumerable.Range(0, 500).Select(new SceneDataset(new SceneDatasetOptions { World = SceneOptions.Demo }).GetCaption), 64));

    /// <summary>Words are chosen or left as a whole, every piece of them; start, end and padding never; 15 % on average.</summary>
    [Fact]
    public void AMaskNeverCoversAPartOfAWord()
    {
        const int Count = 2000;
        using TensorScope scope = new();
        SceneDataset scenes = new(new SceneDatasetOptions { World = SceneOptions.Demo, Count = Count });
        (int[] ids, int[] mask) = Tokenizer.EncodeBatch([.. Enumerable.Range(0, Count).Select(scenes.GetCaption)], 24);
        int[] labels = Masking.Apply(IndexTensor.FromArray(ids, [Count, 24]), new Generator(5)).Labels.ToArray();
        int words = 0, masked = 0, splitWords = 0;
        for (int i = 0; i < ids.Length;)
        {
            int end = i + 1;
            while (end % 24 != 0 && Masking.ContinuesWord!(ids[end])) end++;
            if (Tokenizer.SpecialIds.Contains(ids[i]))
            {
                Assert.Equal(TokenMasking.IgnoredLabel, labels[i]);
            }
            else
            {
                bool isMasked = labels[i] != TokenMasking.IgnoredLabel;
                for (int k = i; k < end; k++) Assert.Equal(isMasked ? ids[k] : TokenMasking.IgnoredLabel, labels[k]);
                words++;
                if (isMasked) masked++;
                if (end - i > 1) splitWords++;
            }

            i = end;
        }

        Assert.True(splitWords > words / 4, $"{splitWords} of {words} words have several pieces; too few to tell anything");

        // Three standard deviations of a binomial.
        Assert.Equal(0.15, (double)masked / words, 3 * Math.Sqrt(0.15 * 0.85 / words));
        Assert.Equal(1, mask[0]);
    }

    /// <summary>Captions of one picture are never mismatched: with two pictures of two captions each, a replaced picture is always the other one.</summary>
    [Fact]
    public void AMismatchTakesAnotherPicture()
    {
        using ViltForPreTraining model = NewModel();
        float[] two = Random(2 * 3 * Size * Size, seed: 1);
        int length = two.Length / 2;
        using TensorScope scope = new();
        PairBatch batch = Pairs([.. two[..length], .. two[..length], .. two[length..], .. two[length..]], ["a red star", "one red star", "a blue ring", "one blue ring"], [7, 7, 9, 9]);
        Tensor swapped = Tensor.FromArray([.. two[length..], .. two[length..], .. two[..length], .. two[..length]], [4, 3, Size, Size]);
        float mismatched = Part(model, batch, "itm", options => options with { MismatchRate = 1 });
        Assert.Equal(Expected(swapped, label: 0), mismatched, 1e-5f);
        Assert.Equal(Expected(batch.Images, label: 1), Part(model, batch, "itm", options => options with { MismatchRate = 0 }), 1e-5f);

        // Where all captions belong to one picture there is none to take, and all pairs stay.
        PairBatch same = batch with { ImageIds = IndexTensor.FromArray([3, 3, 3, 3], [4]) };
        Assert.Equal(Expected(batch.Images, label: 1), Part(model, same, "itm", options => options with { MismatchRate = 1 }), 1e-5f);

        // Nor is a picture taken whose own text is the same word for word.
        PairBatch twins = Pairs(batch.Images.ToArray(), ["a red star", "a red star", "a red star", "a red star"], [1, 2, 3, 4]);
        Tensor stays = model.PredictMatch(model.Backbone.Forward(twins.Text, new ImageBatch(twins.Images)));
        Assert.Equal(stays.CrossEntropy(IndexTensor.FromArray([1, 1, 1, 1], [4])).Item(), Part(model, twins, "itm", options => options with { MismatchRate = 1 }), 1e-5f);

        // "y" belongs to both pictures, "x" to the first alone: only for "x" there is a wrong picture, the second.
        PairBatch tied = Pairs([.. two[..length], .. two[..length], .. two[length..]], ["a red star", "a blue ring", "a blue ring"], [1, 1, 2]);
        Tensor sources = Tensor.FromArray([.. two[length..], .. two[..length], .. two[length..]], [3, 3, Size, Size]);
        Assert.Equal(
            model.PredictMatch(model.Backbone.Forward(tied.Text, new ImageBatch(sources))).CrossEntropy(IndexTensor.FromArray([0, 1, 1], [3])).Item(),
            Part(model, tied, "itm", options => options with { MismatchRate = 1 }), 1e-5f);

        float Expected(Tensor images, int label) => model.PredictMatch(model.Backbone.Forward(batch.Text, new ImageBatch(images)))
            .CrossEntropy(IndexTensor.FromArray([label, label, label, label], [4])).Item();
    }

    /// <summary>With one picture and one text in all pairs, whose ids and paddings differ all the same, the loss is that of a match and of a mismatch mixed by their share.</summary>
    [Fact]
    public void HalfOfThePairsAreMismatched()
    {
        const int Count = 256;
        using ViltForPreTraining model = NewModel();
        using TensorScope scope = new();
        float[] picture = Random(3 * Size * Size, seed: 1);
        PairBatch batch = Pairs([.. Enumerable.Repeat(picture, Count).SelectMany(pixels => pixels)], [.. Enumerable.Repeat("a red star", Count)], [.. Enumerable.Range(0, Count)]);
        int[] tokens = batch.Text.TokenIds.ToArray();
        for (int i = 0; i < Count; i++) tokens[((i + 1) * Context) - 1] = i % 20;
        batch = batch with { Text = batch.Text with { TokenIds = IndexTensor.FromArray(tokens, [Count, Context]) } };
        double half = Part(model, batch, "itm"), none = Part(model, batch, "itm", options => options with { MismatchRate = 0 }), all = Part(model, batch, "itm", options => options with { MismatchRate = 1 });
        Assert.True(Math.Abs(all - none) > 1e-3, $"{all} and {none} are too close to tell a share");
        Assert.Equal(0.5, (half - none) / (all - none), 3 * Math.Sqrt(0.25 / Count));
    }

    /// <summary>The head reads the masked places alone; the loss is that of all places with the labels that count.</summary>
    [Fact]
    public void WordsAreToldFromTheTruePicture()
    {
        using ViltForPreTraining model = NewModel();
        using TensorScope scope = new();
        PairBatch batch = Pairs(Random(3 * 3 * Size * Size, seed: 4), ["a red star", "two blue rings left of a green heart", "ring"], [1, 2, 3]);
        TokenMasking masking = Masking with { Rate = 0.5 };
        Generator generator = new(8);
        // Three pairs ask whether they stay; then the words are masked.
        for (int pair = 0; pair < 3; pair++) generator.NextUniform();
        MaskedTokens masked = masking.Apply(batch.Text.TokenIds, generator);
        ViltStates states = model.Backbone.Forward(batch.Text with { TokenIds = masked.Ids }, new ImageBatch(batch.Images));
        Assert.InRange(masked.Count, 2, 20);
        Assert.Equal(model.PredictTokens(states).CrossEntropy(masked.Labels).Item(), Part(model, batch, "mlm", options => options with { Masking = masking, MismatchRate = 0 }), 1e-5f);
    }

    /// <summary>The alignment is the distance between words and patches, of matching pairs less that of the others; start, end and padding are no words.</summary>
    [Fact]
    public void TheAlignmentIsTheDistanceOfWordsFromPatches()
    {
        using ViltForPreTraining model = NewModel();
        using TensorScope scope = new();
        PairBatch batch = Pairs(Random(3 * 3 * Size * Size, seed: 4), ["a red star", "two blue rings left of a green heart", "ring"], [1, 2, 3]);
        ViltStates states = model.Backbone.Forward(batch.Text, new ImageBatch(batch.Images));
        int[] ids = batch.Text.TokenIds.ToArray();
        float sum = 0;
        for (int i = 0; i < 3; i++)
        {
            int row = i;
            int[] words = [.. Enumerable.Range(0, Context).Where(k => !Tokenizer.SpecialIds.Contains(ids[(row * Context) + k]))];
            Assert.InRange(words.Length, 1, Context - 2);
            Tensor text = states.Text.Slice(i, 1).GatherTokens(IndexTensor.FromArray(words, [1, words.Length]));
            sum += OptimalTransport.Distance(OptimalTransport.CosineCost(text, states.Patches.Slice(i, 1))).Item();
        }

        Assert.Equal(sum / 3, Part(model, batch, "wpa", options => options with { MismatchRate = 0 }), 1e-5f);
        Assert.Equal(sum / 3, Part(model, batch, "wpa", options => options with { MismatchRate = 0, AlignmentOfMismatches = false }), 1e-5f);
        Assert.True(Part(model, batch, "wpa", options => options with { MismatchRate = 1 }) < 0);
        Assert.Equal(0, Part(model, batch, "wpa", options => options with { MismatchRate = 1, AlignmentOfMismatches = false }));
        LossParts parts = new ViltPretraining(model, Options with { AlignmentWeight = 0 }).Loss(batch);
        Assert.Equal(["itm", "mlm"], parts.Select(part => part.Name));
        Assert.Equal(0.1f, new ViltPretraining(model, Options).Loss(batch).Single(part => part.Name == "wpa").Weight);
    }

    [Fact]
    public void NamesWhatDoesNotFit()
    {
        using ViltForPreTraining model = NewModel();
        using TensorScope scope = new();
        PairBatch one = Pairs(Random(3 * Size * Size, seed: 4), ["a red star"], [1]);
        Assert.Contains("at least 2", Assert.Throws<ArgumentException>(() => new ViltPretraining(model, Options).Loss(one)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new ViltPretraining(model, Options with { MismatchRate = 1.5 }));
        Assert.Throws<ArgumentException>(() => new ViltPretraining(model, Options with { AlignmentWeight = -1 }));
        Assert.Throws<ArgumentException>(() => new ViltPretraining(model, Options with { Masking = Masking with { VocabularySize = 100_000 } }));
    }

    /// <summary>The retrieval head scores by the log-odds of matching, and a saved model comes back with both heads.</summary>
    [Fact]
    public void RetrievalRanksByTheOddsOfMatching()
    {
        using TemporaryFolder folder = new();
        using TensorScope scope = new();
        using ViltForPreTraining first = NewModel();
        first.SavePretrained(folder.Path);
        using ViltForPreTraining model = (ViltForPreTraining)Architectures.Load(folder.Path);
        PairBatch batch = Pairs(Random(2 * 3 * Size * Size, seed: 4), ["a red star", "two blue rings"], [1, 2]);
        float[] probabilities = model.PredictMatch(model.Backbone.Forward(batch.Text, new ImageBatch(batch.Images))).Softmax().ToArray();
        ViltForImageAndTextRetrieval retrieval = model.ToRetrieval();
        float[] scores = retrieval.Forward(batch.Text, new ImageBatch(batch.Images)).ToArray();
        float[] matches = model.Match(model.EncodeImages(batch.Images), model.EncodeTexts(batch.Text)).ToArray();
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(probabilities[(2 * i) + 1], 1 / (1 + Math.Exp(-scores[i])), 1e-5);
            Assert.Equal(scores[i], matches[i], 1e-5f);
        }

        Assert.Equal(matches, first.Match(first.EncodeImages(batch.Images), first.EncodeTexts(batch.Text)).ToArray());
        Assert.Equal(scores, retrieval.Match(retrieval.EncodeImages(batch.Images), retrieval.EncodeTexts(batch.Text)).ToArray());
        retrieval.SavePretrained(folder.Path);
        using ViltForImageAndTextRetrieval saved = (ViltForImageAndTextRetrieval)Architectures.Load(folder.Path);
        Assert.Equal(scores, saved.Forward(batch.Text, new ImageBatch(batch.Images)).ToArray());
    }

    /// <summary>
    /// Two hundred steps on scenes of one object: the masked-language loss falls to less than half of what it began with, and matching, from ln 2 = 0.69,
    /// well below it; then the transformer learns to answer questions about scenes that it has not seen far better than the best guess without looking.
    /// </summary>
    [Fact]
    [Trait("Kind", "Training")]
    public void TwoHundredStepsLowerBothLossesAndTheModelLearnsToAnswer()
    {
        const int Batch = 32, Steps = 200;
        using Device device = Device.CreateCpu();
        SceneDataset scenes = new(new SceneDatasetOptions { World = World, Count = 4096, ImageSize = Size });
        using ViltForPreTraining model = new(ConfigOf(Words));
        model.Initialize(device, seed: 1);
        model.Train();

        // Twice the usual share of words: the captions have three, and two of them tell anything.
        ViltPretraining objective = new(model, new ViltPretrainingOptions { Masking = MaskingOf(Words) with { Rate = 0.3 } });
        using Trainer trainer = new(objective, ViltPretraining.CreateOptimizer(model), new TrainerOptions { Schedule = ViltPretraining.Schedule(3e-3, Steps) });
        List<float> matching = [], words = [];
        for (int step = 0; step < Steps; step++)
        {
            using TensorScope scope = new();
            StepResult result = trainer.TrainStep(objective, Load(scenes, step * Batch, Batch, device));
            matching.Add(result.Parts.Single(part => part.Name == "itm").Value);
            words.Add(result.Parts.Single(part => part.Name == "mlm").Value);
        }

        TestContext.Current.SendDiagnosticMessage($"itm {matching[..20].Average()} to {matching[^20..].Average()}, mlm {words[..20].Average()} to {words[^20..].Average()}");
        Assert.True(words[^20..].Average() < 0.5 * words[..20].Average(), $"mlm from {words[..20].Average()} to {words[^20..].Average()}");
        Assert.True(matching[^20..].Average() < 0.6, $"itm from {matching[..20].Average()} to {matching[^20..].Average()}");
        (double right, double guess) = LearnToAnswer(model.Backbone, scenes, device);
        TestContext.Current.SendDiagnosticMessage($"answers: {right:P1} right, {guess:P1} by the most frequent answer to each kind of question");
        Assert.True(right > guess + 0.2, $"{right:P1} right, {guess:P1} by the most frequent answer to each kind of question");
    }

    /// <summary>Fine-tunes on questions for colours and shapes; the share of right answers on unseen scenes, and that of the best guess for each kind of question.</summary>
    private static (double Right, double Guess) LearnToAnswer(Vilt pretrained, SceneDataset scenes, Device device)
    {
        const int Batch = 32, Steps = 200, Asked = 400;
        SceneQuestionKind[] kinds = [SceneQuestionKind.Color, SceneQuestionKind.Shape];
        string[] answers = [.. Enumerable.Range(0, 500).Select(i => Ask(scenes, i).Answer).Distinct().Order(StringComparer.Ordinal)];
        using ViltForQuestionAnswering model = new(pretrained, answers);
        model.InitializeMissing(device, seed: 3);
        model.Train();
        using (Trainer trainer = new(model, new AdamW(model.ParameterGroups(), 3e-4), new TrainerOptions { Schedule = ViltPretraining.Schedule(3e-4, Steps) }))
        {
            for (int step = 0; step < Steps; step++)
            {
                trainer.TrainStep(() =>
                {
                    (ImageBatch images, TextBatch questions, int[] right) = LoadQuestions(scenes, step * Batch, Batch);
                    float[] scores = new float[Batch * answers.Length];
                    for (int i = 0; i < Batch; i++) scores[(i * answers.Length) + right[i]] = 1;
                    return model.Loss(questions, images, Tensor.FromArray(scores, [Batch, answers.Length], device));
                });
            }
        }

        model.Evaluate();
        using TensorScope scope = new();
        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Asked });
        (ImageBatch pictures, TextBatch asked, int[] expected) = LoadQuestions(unseen, 0, Asked);
        int[] given = model.Forward(asked, pictures).ArgMaxLastAxis().ToArray();
        int guessed = Enumerable.Range(0, Asked).GroupBy(i => i % kinds.Length).Sum(kind => kind.GroupBy(i => expected[i]).Max(answer => answer.Count()));
        return (given.Zip(expected).Count(pair => pair.First == pair.Second) / (double)Asked, guessed / (double)Asked);

        SceneQuestion Ask(SceneDataset source, int index) => SceneQuestion.Ask(source.SceneAt(index), World, kinds[index % kinds.Length], (ulong)index)!;

        (ImageBatch Images, TextBatch Questions, int[] Answers) LoadQuestions(SceneDataset source, int start, int count)
        {
            int[] indices = [.. Enumerable.Range(start, count).Select(i => i % source.Count)];
            SceneQuestion[] questions = [.. indices.Select(i => Ask(source, i))];
            PairBatch pairs = Pairs([.. indices.SelectMany(i => Pixels(source.Get(i)))], [.. questions.Select(question => question.Text)], indices, device, Words);
            return (new ImageBatch(pairs.Images), pairs.Text, [.. questions.Select(question => Array.IndexOf(answers, question.Answer))]);
        }
    }

    private static ViltConfig ConfigOf(TextTokenizer tokenizer) => ViltConfig.Tiny with { VocabularySize = tokenizer.VocabularySize, PaddingId = tokenizer.PadId };

    private static TokenMasking MaskingOf(TextTokenizer tokenizer) => new()
    {
        MaskId = tokenizer.MaskId!.Value,
        VocabularySize = tokenizer.VocabularySize,
        SpecialIds = [.. tokenizer.SpecialIds],
        Unit = MaskingUnit.WholeWord,
        ContinuesWord = id => tokenizer.Piece(id).StartsWith("##", StringComparison.Ordinal),
    };

    private static TokenMasking Masking => MaskingOf(Tokenizer);

    private static ViltPretrainingOptions Options => new() { Masking = Masking };

    private static ViltForPreTraining NewModel()
    {
        ViltForPreTraining model = new(ConfigOf(Tokenizer));
        model.Initialize(Device.Cpu, seed: 2);
        return model;
    }

    private static float Part(ViltForPreTraining model, PairBatch batch, string name, Func<ViltPretrainingOptions, ViltPretrainingOptions>? change = null)
    {
        Generator outer = Generator.Current;
        Generator.Current = new Generator(8);
        float value = new ViltPretraining(model, change?.Invoke(Options) ?? Options).Loss(batch).Single(part => part.Name == name).Value.Item();
        Generator.Current = outer;
        return value;
    }

    private static PairBatch Pairs(float[] pixels, string[] captions, int[] ids, Device? device = null, TextTokenizer? tokenizer = null)
    {
        int count = captions.Length;
        (int[] tokens, int[] mask) = (tokenizer ?? Tokenizer).EncodeBatch(captions, Context);
        return new PairBatch(
            Tensor.FromArray(pixels, [count, 3, Size, Size], device),
            new TextBatch(IndexTensor.FromArray(tokens, [count, Context], device), IndexTensor.FromArray(mask, [count, Context], device)),
            IndexTensor.FromArray(ids, [count], device));
    }

    /// <summary>Captions that read alike count as captions of one picture: a mismatch is then always wrong.</summary>
    private static PairBatch Load(SceneDataset scenes, int start, int count, Device device)
    {
        ImageTextSample[] samples = [.. Enumerable.Range(start, count).Select(i => scenes.Get(i % scenes.Count))];
        string[] captions = [.. samples.Select(sample => sample.Caption)];
        return Pairs([.. samples.SelectMany(Pixels)], captions, [.. captions.Select(caption => Array.IndexOf(captions, caption))], device, Words);
    }

    /// <summary>
    /// Pixels relative to the white background, which CLIP's preprocessing puts near 2: all patches would otherwise hold one large constant, beside which
    /// a new model takes several times as long to see colours.
    /// </summary>
    private static float[] Pixels(ImageTextSample sample) => [.. Preprocessor.Process(sample.Image).Select(value => value - 2)];

    private static float[] Random(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextSingle()) - 1)];
    }
}
