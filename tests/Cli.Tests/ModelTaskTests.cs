using System.Text.Json.Nodes;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>What stands between a model and a task: pictures and texts in, answers out, row for row.</summary>
public sealed class ModelTaskTests
{
    private static readonly TextTokenizer Tokenizer = TextTokenizer.FromVocabulary(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "star", "ring", "a", "photo", "of", "what", "color"]);

    private static readonly RgbImage[] Pictures = [Plain(200), Plain(10), Plain(250)];

    [Fact]
    public void Captions_AreDecodedBehindTheirPrompt()
    {
        using ModelFolder folder = Folder(new Seeing());
        GenerationOptions options = new() { MaxNewTokens = 3 };
        Assert.Equal(["red star", "blue star", "red star"], ModelTasks.Captioner(folder, options)(Pictures));
        Assert.Equal(["a photo of red star", "a photo of blue star", "a photo of red star"], ModelTasks.Captioner(folder, options, "a photo of")(Pictures));
    }

    [Fact]
    public void Answers_AreChosenOrRankedOrWritten()
    {
        string[] questions = ["what color", "what", "color"];
        using ModelFolder choosing = Folder(new Choosing()), seeing = Folder(new Seeing());
        Assert.Equal(["yes", "no", "yes"], ModelTasks.Answerer(choosing, null)(Pictures, questions));
        Assert.Equal(["red", "blue", "red"], ModelTasks.Answerer(seeing, ["blue", "star", "red"])(Pictures, questions));
        Assert.Equal(["red star", "blue star", "red star"], ModelTasks.Answerer(seeing, null)(Pictures, questions));
    }

    [Fact]
    public void MapsAndJudgements_KeepTheOrderOfPictures()
    {
        using ModelFolder folder = Folder(new Choosing());
        IReadOnlyList<HeatMap> maps = ModelTasks.Locator(folder)(Pictures, ["a", "a star", "a"]);
        Assert.All(maps, map => Assert.Equal((2, 3), (map.Rows, map.Columns)));
        SceneBox left = new(0, 0, 1.0 / 3, 0.5);
        Assert.Equal([true, false, true], maps.Select(map => map.PointsInto(left)));
        float[] logits = ModelTasks.Judge(folder)(Pictures, ["a", "a star", "a"]);
        Assert.Equal(9, logits.Length);
        Assert.Equal([true, false, true], logits.Chunk(3).Select(row => row[2] > row[0]));
    }

    [Fact]
    public void AModelThatCannot_SaysSo()
    {
        using ModelFolder folder = Folder(new Idle());
        foreach (Action attempt in (Action[])
            [() => ModelTasks.Captioner(folder, new GenerationOptions()), () => ModelTasks.Answerer(folder, null), () => ModelTasks.Locator(folder), () => ModelTasks.Judge(folder)])
        {
            Assert.StartsWith("IdleModel cannot ", Assert.Throws<ToolException>(attempt).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Matching_PutsTheCandidatesOfTheCoarseSearchInOrder()
    {
        // The embeddings know colours alone: of two equal scores the right one counts as second. The matching head knows all.
        (byte Red, string Caption)[] samples = [(200, "red star"), (250, "red ring"), (10, "blue star"), (60, "blue ring"), (250, "a red ring")];
        PictureList data = new([.. samples.Select(sample => (Plain(sample.Red), sample.Caption))]);
        using ModelFolder folder = Folder(new Matching());
        StagedRetrieval both = RetrievalEvaluation.Run(folder, new EvaluationRun(data, 2), candidates: 3);
        Assert.Equal((4, 5, 3), (both.Fine!.ImageToText.Queries, both.Fine.ImageToText.Gallery, both.Candidates));
        Assert.Equal((0.0, 0.0), (both.Coarse!.ImageToText.R1, both.Coarse.TextToImage.R1));
        Assert.Equal((1.0, 1.0), (both.Fine.ImageToText.R1, both.Fine.TextToImage.R1));

        // Of two pictures whose colour is the same to it the coarse search puts the wrong one first; there are four pictures for the five places.
        TaskExample[] shown = [.. RetrievalEvaluation.Run(folder, new EvaluationRun(data, 2, Examples: 1), candidates: 3).Examples];
        Assert.Equal(2 * RetrievalEvaluation.ExampleColumns, shown.Length);
        Assert.Equal(("red star", "coarse: found as number 2", false), (shown[0].Text, shown[0].Answer, shown[0].IsRight));
        Assert.Equal([("1. red ring", false), ("2. red star", true)], shown[1..3].Select(example => (example.Answer, example.IsRight)));
        Assert.Equal(("red star", "fine: found as number 1", true), (shown[6].Text, shown[6].Answer, shown[6].IsRight));
        Assert.Equal([("1. red star", true), ("2. red ring", false)], shown[7..9].Select(example => (example.Answer, example.IsRight)));
        Assert.Equal((200, 250), (shown[7].Image[0, 0].Red, shown[8].Image[0, 0].Red));
        Assert.Equal("-", shown[5].Answer);
        Assert.Empty(both.Examples);

        // It says how far it is, and stops between two batches.
        using CancellationTokenSource interrupt = new();
        List<(int Done, int All)> seen = [];
        RetrievalEvaluation.Run(folder, new EvaluationRun(data, 2), candidates: 3, (done, all) => seen.Add((done, all)));
        Assert.Equal((seen[0].All, seen[0].All), seen[^1]);
        Assert.Equal(Enumerable.Range(1, seen.Count - 1).Select(batch => 2 * batch), seen[..^1].Select(step => step.Done));
        Assert.Throws<OperationCanceledException>(() => RetrievalEvaluation.Run(
            folder, new EvaluationRun(data, 2, Cancellation: interrupt.Token), candidates: 3, (done, _) => { Assert.Equal(2, done); interrupt.Cancel(); }));

        StagedRetrieval coarse = RetrievalEvaluation.Run(folder, new EvaluationRun(data, 64), candidates: null);
        Assert.Null(coarse.Fine);
        Assert.Equal(both.Coarse, coarse.Coarse);

        // Without embeddings every pair is scored.
        using ModelFolder plain = Folder(new Matching { HasEmbeddings = false });
        StagedRetrieval fine = RetrievalEvaluation.Run(plain, new EvaluationRun(data, 64), candidates: null);
        Assert.Null(fine.Coarse);
        Assert.Equal(5, fine.Candidates);
        Assert.Equal(both.Fine, fine.Fine);

        JsonNode json = EvaluationOutput.ToJson(both);
        Assert.Equal((0.0, 1.0, 3), (json["text_to_image"]!["r1"]!.GetValue<double>(), json["fine"]!["text_to_image"]!["r1"]!.GetValue<double>(), json["fine"]!["candidates"]!.GetValue<int>()));
        using ModelFolder idle = Folder(new Idle());
        Assert.Throws<ToolException>(() => RetrievalEvaluation.Run(idle, new EvaluationRun(data), candidates: 2));
        Assert.Throws<ToolException>(() => RetrievalEvaluation.Run(folder, new EvaluationRun(new PictureList([(Plain(1), " ")])), candidates: 2));
    }

    [Fact]
    public void PicturesOfSeveralSizes_AreRefusedWhereTheModelKeepsThem()
    {
        using ModelFolder folder = new(new Idle(), Tokenizer, ImagePreprocessor.Clip(8), Device.Cpu);
        using TensorScope scope = new();
        Assert.Equal([2, 3, 8, 8], folder.ToTensor([Plain(1), new RgbImage(20, 11)]).Shape.ToArray());
        Assert.Equal((8, 512), (folder.ImageSize, folder.ContextLength));
        using ModelFolder keeping = new(new Idle(), Tokenizer, new ImagePreprocessor { DoResize = false }, Device.Cpu);
        Assert.Contains("--batch 1", Assert.Throws<ToolException>(() => keeping.ToTensor([Plain(1), new RgbImage(20, 11)])).Message, StringComparison.Ordinal);
    }

    private static ModelFolder Folder(PretrainedModel model) => new(model, Tokenizer, ImagePreprocessor.Clip(8), Device.Cpu);

    private static RgbImage Plain(byte red)
    {
        RgbImage image = new(8, 8);
        for (int i = 0; i < image.Pixels.Length; i += 3) image.Pixels[i] = red;
        return image;
    }

    /// <summary>Whether the first pixel of each picture is bright.</summary>
    private static bool[] Bright(Tensor images) => [.. images.ToArray().Chunk(images.Shape.Length / images.Shape[0]).Select(pixels => pixels[0] > 0)];

    private class Idle : PretrainedModel
    {
        public override string Architecture => "IdleModel";

        public override JsonObject ToConfigJson() => [];
    }

    /// <summary>Writes "red star" of bright pictures and "blue star" of dark ones.</summary>
    private sealed class Seeing : Idle, ICaptioner, IAnswerRanker, IAnswerWriter
    {
        public GenerationResult Caption(Tensor images, GenerationOptions? options, IndexTensor? prompt)
        {
            Assert.Equal(3, options!.MaxNewTokens);
            if (prompt is not null)
            {
                // Padding would come to stand in front of what is written.
                int[] row = Tokenizer.Encode("a photo of");
                Assert.Equal([images.Shape[0], row.Length], prompt.Shape.ToArray());
                Assert.Equal(Enumerable.Repeat(row, images.Shape[0]).SelectMany(ids => ids), prompt.ToArray());
            }

            return Write(images);
        }

        public GenerationResult WriteAnswers(Tensor images, TextBatch questions, GenerationOptions? options)
        {
            Assert.Equal([3, 4], questions.TokenIds.Shape.ToArray());
            Assert.Equal([1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0], questions.Mask!.ToArray());
            return Write(images);
        }

        public IReadOnlyList<RankedAnswer>[] RankAnswers(Tensor images, TextBatch questions, IReadOnlyList<IReadOnlyList<int>> answers, int candidates)
        {
            Assert.All(answers, answer => Assert.Equal((Tokenizer.StartId, Tokenizer.EndId), (answer[0], answer[^1])));
            return [.. Bright(images).Select(bright => (IReadOnlyList<RankedAnswer>)[.. answers.Index().OrderBy(answer => answer.Item[1] == Id(bright) ? 0 : 1).Select(answer => new RankedAnswer(answer.Index, 0))])];
        }

        private static GenerationResult Write(Tensor images)
            => new([.. Bright(images).Select((bright, row) => new GeneratedText(row, [Id(bright), Tokenizer.IdOf("star")!.Value, Tokenizer.EndId], 0))], 0);

        private static int Id(bool bright) => Tokenizer.IdOf(bright ? "red" : "blue")!.Value;
    }

    /// <summary>Knows of a picture how red it is; stars are 10 and 200, rings 60 and 250.</summary>
    private sealed class Matching : Idle, IMatchingModel
    {
        public bool HasEmbeddings { get; init; } = true;

        public EncodedImages EncodeImages(Tensor images)
        {
            float[] reds = [.. images.ToArray().Chunk(images.Shape.Length / images.Shape[0]).Select(pixels => pixels[0])];
            return new EncodedImages(Tensor.FromArray(reds, [reds.Length, 1]), Vectors(reds, red => red > 0));
        }

        public EncodedTexts EncodeTexts(TextBatch text)
        {
            int[][] rows = Rows(text);
            return new EncodedTexts(text, null, Vectors(rows, row => row.Contains(Tokenizer.IdOf("red")!.Value)));
        }

        public Tensor Match(EncodedImages images, EncodedTexts texts)
        {
            float[] reds = images.States.ToArray();
            return Tensor.FromArray([.. Rows(texts.Text).Select((row, i) => IsOf(row, reds[i]) ? 3f : -3f)], [reds.Length]);
        }

        private static bool IsOf(int[] ids, float red)
        {
            // The preprocessor's mean and deviation of red, as CLIP has them.
            double value = ((red * 0.26862954) + 0.48145466) * 255;
            bool isRed = value > 128, isStar = isRed ? value < 225 : value < 35;
            return ids.Contains(Tokenizer.IdOf(isRed ? "red" : "blue")!.Value) && ids.Contains(Tokenizer.IdOf(isStar ? "star" : "ring")!.Value);
        }

        private static int[][] Rows(TextBatch text) => [.. text.TokenIds.ToArray().Chunk(text.TokenIds.Shape[1])];

        private Tensor? Vectors<T>(T[] items, Func<T, bool> isFirst)
            => HasEmbeddings ? Tensor.FromArray([.. items.SelectMany(item => isFirst(item) ? new[] { 1f, 0f } : [0f, 1f])], [items.Length, 2]) : null;
    }

    private sealed class PictureList(params (RgbImage Image, string Caption)[] samples) : IImageTextDataset
    {
        public string Name => "pictures";

        public int Count => samples.Length;

        public ImageTextSample Get(int index) => new($"pictures/{index}", samples[index].Image, samples[index].Caption);

        public string GetCaption(int index) => samples[index].Caption;
    }

    private sealed class Choosing : Idle, IAnswerClassifier, IGroundingModel, IEntailmentModel
    {
        public IReadOnlyList<string> Answers => ["no", "yes"];

        public Tensor AnswerLogits(Tensor images, TextBatch questions) => Rows(images, bright => bright ? [0, 1] : [1, 0], [2]);

        public Tensor HeatMaps(Tensor images, TextBatch text) => Rows(images, bright => bright ? [1, 0, 0, 0, 0, 0] : [0, 0, 0, 0, 0, 1], [2, 3]);

        public Tensor EntailmentLogits(Tensor images, TextBatch text) => Rows(images, bright => bright ? [0, 0, 1] : [1, 0, 0], [3]);

        private static Tensor Rows(Tensor images, Func<bool, float[]> row, int[] shape)
            => Tensor.FromArray([.. Bright(images).SelectMany(row)], [images.Shape[0], .. shape]);
    }
}
