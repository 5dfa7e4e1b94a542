using System.Text.Json;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Reports;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>The evaluations of tasks with models that know everything, nothing, or always say the same.</summary>
public sealed class TaskEvaluationTests
{
    private static readonly SceneDatasetOptions Options = new() { World = new SceneOptions(), Split = SceneSplit.Validation, Count = 90, ImageSize = 16 };

    [Fact]
    public void Questions_OfAModelThatKnows_AreAllRight()
    {
        SceneQuestionDataset data = new(Options);
        TaskResult result = QuestionEvaluation.Run(Knowing(data, sample => SampleFields.Answers(sample)[0]), new EvaluationRun(data, 16));
        Assert.All(result.Scores, score => Assert.Equal((1, 1, 1), (score.Value, score.Interval.Low, score.Interval.High)));
        Assert.Equal(data.Count, result.Scores[0].Samples);
        Assert.Equal(data.Count, result.Scores.Skip(1).Sum(score => score.Samples));
        Assert.All(result.Scores, score => Assert.True(score.Constant is > 0 and < 1 && score.Chance is > 0 and < 1, score.Name));
    }

    [Fact]
    public void Questions_CountAnnotatorsOfficially()
    {
        // 1 of 10 and 4 of 10 agree with "red": 0.3 and 1; one annotator: equality.
        ListedSamples data = new(
            ("q1", Answers(1)), ("q2", Answers(4)), ("q3", """{"answer":"Red.","kind":"color"}"""), ("q4", """{"answer":"two|red|red|red|red"}"""));
        TaskResult result = QuestionEvaluation.Run((images, _) => [.. images.Select(_ => "the red")], new EvaluationRun(data, 3));
        Assert.Equal((0.3 + 1 + 1 + 1) / 4, result.Scores[0].Value, 12);
        Assert.Equal(result.Scores[0].Value, result.Scores[0].Constant!.Value, 12);    // "red" is the most frequent answer
        Assert.Equal(["accuracy", "  color"], result.Scores.Select(score => score.Name));

        static string Answers(int agreeing) => JsonSerializer.Serialize(new { answers = Enumerable.Range(0, 10).Select(i => i < agreeing ? "red" : $"other {i}") });
    }

    [Fact]
    public void Captions_OfAModelThatKnows_GetTheMost_AndAConstantOneGetsTheConstant()
    {
        SceneDataset data = new(Options with { Style = SceneCaptionStyle.Varied });
        TaskResult knowing = CaptioningEvaluation.Run(images => Matching(images, data, i => data.GetCaption(i)), new EvaluationRun(data, 16, Examples: 3));
        foreach (string name in (string[])["BLEU-4", "ROUGE-L", "in the grammar", "exact facts", "true in the scene"]) Assert.Equal(1, Score(knowing, name).Value, 9);
        Assert.True(Score(knowing, "CIDEr-D").Value > 5 * Score(knowing, "CIDEr-D").Chance);
        Assert.True(Score(knowing, "METEOR-like").Value > 0.95);
        Assert.Equal(3, knowing.Examples.Count);
        Assert.All(knowing.Examples, example => Assert.True(example.IsRight));

        string constant = Enumerable.Range(0, data.Count).SelectMany(i => Enumerable.Range(0, 15).Select(variant => data.CleanCaptionAt(i, variant)).Distinct().Take(5))
            .GroupBy(text => text).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal).First().Key;
        TaskResult same = CaptioningEvaluation.Run(images => [.. images.Select(_ => constant)], new EvaluationRun(data, 16));
        Assert.All(same.Scores, score => Assert.Equal(score.Constant!.Value, score.Value, 9));
    }

    [Fact]
    public void Captions_OfOnePictureBelongTogether()
    {
        // Two pictures, three captions: the model is asked twice, and the second caption of a picture counts as well.
        ListedSamples data = new(("a red star on it", """{"image_id":1}"""), ("a blue ring on it", """{"image_id":2}"""), ("one star of red", """{"image_id":1}"""));
        int asked = 0;
        TaskResult result = CaptioningEvaluation.Run(
            images =>
            {
                asked += images.Count;
                return [.. images.Select(image => image.Pixels[0] == 0 ? "one star of red" : "a blue ring on it")];
            },
            new EvaluationRun(data, 2));
        Assert.Equal(2, asked);
        Assert.Equal(1, Score(result, "BLEU-4").Value, 12);
        Assert.DoesNotContain(result.Scores, score => score.Name == "exact facts");
        Assert.Throws<ToolException>(() => CaptioningEvaluation.Run(images => [.. images.Select(_ => "x")], new EvaluationRun(new ListedSamples(("", "{}")))));
    }

    [Fact]
    public void Grounding_OfAModelThatKnows_AndOfOneThatSeesEverywhere()
    {
        SceneReferenceDataset data = new(Options);
        TaskResult knowing = GroundingEvaluation.Run(
            (images, texts) => [.. Samples(images, data).Select(sample => Heat(SampleFields.Box(sample)))], new EvaluationRun(data, 16, Examples: 2));
        foreach (string name in (string[])["pointing game", "box, IoU >= 0.5", "proposal, IoU >= 0.5"]) Assert.True(Score(knowing, name).Value > 0.97, $"{name} {Score(knowing, name).Value}");
        Assert.InRange(Score(knowing, "proposal, IoU >= 0.5").Chance!.Value, 0.25, 0.51);
        Assert.Equal(2, knowing.Examples.Count);

        TaskResult blind = GroundingEvaluation.Run((images, texts) => [.. images.Select(_ => new HeatMap(4, 4, new float[16]))], new EvaluationRun(data, 16));
        Assert.Equal(0, Score(blind, "pointing game").Value);
        Assert.Equal(0, Score(blind, "proposal, IoU >= 0.5").Value);
        Assert.Equal(Score(blind, "box, mean IoU").Constant!.Value, Score(blind, "box, mean IoU").Value, 12);
    }

    /// <summary>The right box is the left half, 8 of 16 cells. Found are 8, 4 and 3 of them, and 4 of them with 4 others: overlaps of 1, 1/2, 3/8 and 4/12.</summary>
    [Fact]
    public void Grounding_CountsOverlapsOfAHalf()
    {
        const string Left = """{"box":[0,0,0.5,1],"proposals":[[0,0,0.5,1],[0.5,0,1,1]]}""";
        (int Columns, int Rows, int From)[] found = [(2, 4, 0), (1, 4, 0), (1, 3, 0), (2, 4, 1)];
        HeatMap[] maps = [.. found.Select(box => new HeatMap(4, 4, [.. Enumerable.Range(0, 16).Select(cell => cell % 4 >= box.From && cell % 4 < box.From + box.Columns && cell / 4 < box.Rows ? 1f : 0f)]))];
        TaskResult result = GroundingEvaluation.Run((_, _) => maps, new EvaluationRun(new ListedSamples(("a", Left), ("b", Left), ("c", Left), ("d", Left))));
        Assert.Equal((1 + 0.5 + 0.375 + (1 / 3.0)) / 4, Score(result, "box, mean IoU").Value, 6);
        Assert.Equal(0.5, Score(result, "box, IoU >= 0.5").Value);
    }

    [Fact]
    public void Entailment_OfAModelThatKnows_AndOfOneThatAlwaysSaysYes()
    {
        SceneEntailmentDataset data = new(Options);
        TaskResult knowing = EntailmentEvaluation.Run(
            (images, sentences) => [.. Samples(images, data).SelectMany(sample => SampleFields.Text(sample, "label") == "entailment" ? new[] { 0f, 9f, 1f } : [1f, 9f, 0f])],
            new EvaluationRun(data, 16));
        Assert.Equal(1, knowing.Scores[0].Value);
        Assert.Equal(0.5, knowing.Scores[0].Chance);    // no sample is neutral, so that the neutral logit does not count
        Assert.Equal(["contradiction", "entailment"], knowing.Confusion!.ClassNames);

        TaskResult yes = EntailmentEvaluation.Run((images, sentences) => [.. images.SelectMany(_ => new[] { 0f, 0f, 1f })], new EvaluationRun(data, 16));
        Assert.Equal(yes.Confusion!.CountOf(1) / 90.0, yes.Scores[0].Value, 12);
        Assert.Equal(0, yes.Confusion[0, 0]);
        Assert.Throws<ToolException>(() => EntailmentEvaluation.Run((_, _) => [0, 0, 0], new EvaluationRun(new ListedSamples(("x", """{"label":"maybe"}""")))));
        Assert.Throws<ToolException>(() => EntailmentEvaluation.Run((_, _) => [0, 0, 0], new EvaluationRun(new ListedSamples(("x", """{"gold_label":"neutral"}""")))));
    }

    [Fact]
    public void Fields_AreNamedWhenTheyAreWrong()
    {
        Assert.Equal(new SceneBox(0.1, 0.2, 0.3, 0.4), SampleFields.Box(new ListedSamples(("x", """{"box":"0.1, 0.2, 0.3, 0.4"}""")).Get(0)));
        foreach (string json in (string[])["{}", """{"box":[0,0,1]}""", """{"box":[0.5,0,0.4,1]}""", """{"box":[0,0,1,1.5]}""", """{"box":"a,b,c,d"}""", """{"box":true}"""])
            Assert.Contains("box", Assert.Throws<ToolException>(() => SampleFields.Box(new ListedSamples(("x", json)).Get(0))).Message, StringComparison.Ordinal);
        foreach (string json in (string[])["{}", """{"answers":[]}""", """{"answers":[1]}""", """{"answer":""}"""])
            Assert.Contains("answer", Assert.Throws<ToolException>(() => SampleFields.Answers(new ListedSamples(("x", json)).Get(0))).Message, StringComparison.Ordinal);
        Assert.Throws<ToolException>(() => SampleFields.Proposals(new ListedSamples(("x", """{"proposals":"all"}""")).Get(0)));
        Assert.Throws<ToolException>(() => SampleFields.Question(new ListedSamples(("", "{}")).Get(0)));
        Assert.Throws<ToolException>(() => SampleFields.Text(new ListedSamples(("", """{"label":[]}""")).Get(0), "label"));
    }

    [Fact]
    public void Sheet_HoldsPicturesAnswersAndFigures()
    {
        SceneReferenceDataset data = new(Options);
        TaskResult result = GroundingEvaluation.Run((images, texts) => [.. Samples(images, data).Select(sample => Heat(SampleFields.Box(sample)))], new EvaluationRun(data, 16, Examples: 5));
        string html = ExampleSheet.Render(result, "Some<Model>");
        Assert.Equal(5, html.Split("data:image/png;base64,").Length - 1);
        Assert.Contains("points at it", html, StringComparison.Ordinal);
        Assert.Contains("pointing game", html, StringComparison.Ordinal);
        Assert.Contains("Some&lt;Model&gt;", html, StringComparison.Ordinal);
        Assert.Contains(System.Net.WebUtility.HtmlEncode(data.GetCaption(0)), html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
        Assert.Throws<ToolException>(() => ExampleSheet.CheckName("sheet.pdf"));
        using TemporaryFolder folder = new();
        ExampleSheet.Save(folder["deep/sheet.html"], result, "Some<Model>");
        Assert.Equal(html, File.ReadAllText(folder["deep/sheet.html"]));
    }

    [Fact]
    public void Sheet_AsAPicture_HasARowForEverySixExamples()
    {
        // 7 examples: two rows of 160 pixels and their text, six columns of 180 pixels and a margin.
        SceneQuestionDataset data = new(Options);
        TaskResult result = QuestionEvaluation.Run((images, questions) => [.. images.Select(_ => "red")], new EvaluationRun(data, 16, Examples: 7));
        using TemporaryFolder folder = new();
        try
        {
            ExampleSheet.Save(folder["sheet.png"], result, "Model");
        }
        catch (ToolException error) when (error.Message.Contains("no font", StringComparison.Ordinal))
        {
            Assert.Skip(error.Message);
        }

        RgbImage image = new MiniVlp.Data.Skia.SkiaImageDecoder().Decode(File.ReadAllBytes(folder["sheet.png"]), "sheet.png", ImageLimits.Default);
        Assert.Equal(1090, image.Width);
        Assert.InRange(image.Height, 2 * (160 + (3 * 16)), 2 * (160 + (12 * 16)));
        RgbImage first = ExampleSheet.Draw(result.Examples[0]);
        Assert.Equal(first[80, 80], image[10 + 80, 10 + 80]);

        // The answers are wrong or right, red or green: there is ink of one of the two below the pictures.
        Assert.Contains(Enumerable.Range(0, 1090 * 60).Select(i => image[i % 1090, 175 + (i / 1090)]), pixel => pixel != (255, 255, 255));
    }

    [Fact]
    public void Json_HasEveryFigure()
    {
        SceneEntailmentDataset data = new(Options with { Count = 20 });
        TaskResult result = EntailmentEvaluation.Run((images, sentences) => [.. images.SelectMany(_ => new[] { 0f, 0f, 1f })], new EvaluationRun(data, 16));
        System.Text.Json.Nodes.JsonObject json = EvaluationOutput.ToJson(result);
        Assert.Equal(result.Scores[0].Value, json["scores"]!["accuracy"]!["value"]!.GetValue<double>());
        Assert.Equal(20, json["confusion"]!.AsArray().Sum(row => row!.AsArray().Sum(count => count!.GetValue<int>())));
        Assert.Equal("box_iou_0_5", EvaluationOutput.KeyOf("box, IoU >= 0.5"));
    }

    /// <summary>1 in the cells of a fine grid whose middle lies in the box, more towards its middle.</summary>
    private static HeatMap Heat(SceneBox box)
    {
        const int Side = 32;
        float[] values = new float[Side * Side];
        for (int i = 0; i < values.Length; i++)
        {
            double x = ((i % Side) + 0.5) / Side, y = ((i / Side) + 0.5) / Side;
            double u = Math.Abs(x - ((box.Left + box.Right) / 2)) / box.Width, v = Math.Abs(y - ((box.Top + box.Bottom) / 2)) / box.Height;
            if (u < 0.5 && v < 0.5) values[i] = (float)(1 + (0.1 * (1 - u - v)) + (i * 1e-6));
        }

        return new HeatMap(Side, Side, values);
    }

    private static QuestionAnswerer Knowing(IImageTextDataset data, Func<ImageTextSample, string> answer) => (images, _) => [.. Samples(images, data).Select(answer)];

    /// <summary>The samples that have these pictures.</summary>
    private static IEnumerable<ImageTextSample> Samples(IReadOnlyList<RgbImage> images, IImageTextDataset data) => Matching(images, data, data.Get);

    private static List<T> Matching<T>(IReadOnlyList<RgbImage> images, IImageTextDataset data, Func<int, T> of)
        => [.. images.Select(image => of(Enumerable.Range(0, data.Count).First(i => data.Get(i).Image.Pixels.AsSpan().SequenceEqual(image.Pixels))))];

    private static TaskScore Score(TaskResult result, string name) => result.Scores.Single(score => score.Name == name);

    /// <summary>Samples with a picture of one pixel each, the red of which is that of their image_id or place.</summary>
    private sealed class ListedSamples(params (string Caption, string Metadata)[] samples) : IImageTextDataset
    {
        public string Name => "listed";

        public int Count => samples.Length;

        public ImageTextSample Get(int index)
        {
            using JsonDocument document = JsonDocument.Parse(samples[index].Metadata);
            JsonElement metadata = document.RootElement.Clone();
            int picture = metadata.TryGetProperty("image_id", out JsonElement id) ? id.GetInt32() - 1 : index;
            return new ImageTextSample($"listed/{index}", new RgbImage(1, 1, [(byte)picture, 0, 0]), samples[index].Caption, metadata);
        }

        public string GetCaption(int index) => samples[index].Caption;
    }
}
