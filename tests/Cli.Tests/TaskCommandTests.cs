using System.Text.Json.Nodes;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>The commands below <c>minivlp eval</c> with tiny models of random weights, from the folder to the figures.</summary>
public sealed class TaskCommandTests : IDisposable
{
    private const string Data = "scenes-full:validation:12";

    private static readonly TextTokenizer Tokenizer = TextTokenizer.FromVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", .. SceneGrammar.AllWords], "[DEC]", "[ENC]");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Retrieval_ShowsTheCoarseAndTheFineSearch()
    {
        string folder = Save(new BlipForPreTraining(Config));
        JsonNode json = ToolRun.Of("eval", "retrieval", "--model", folder, "--data", Data, "--rerank", "4", "--batch", "5", "--json").Succeeds().Json;
        Assert.Equal(4, json["fine"]!["candidates"]!.GetValue<int>());
        foreach (string direction in (string[])["image_to_text", "text_to_image"])
        {
            // Who is among the first ten is decided by the coarse search where four are put in order.
            Assert.Equal(Number(json[direction]!["r10"]), Number(json["fine"]![direction]!["r10"]), 9);
            Assert.Equal(Number(json[direction]!["chance_r1"]), Number(json["fine"]![direction]!["chance_r1"]), 9);
        }

        string table = ToolRun.Of("eval", "retrieval", "--model", folder, "--data", Data, "--rerank", "4").Succeeds().Output;
        Assert.Contains("image to text, coarse", table, StringComparison.Ordinal);
        Assert.Contains("text to image, fine (4)", table, StringComparison.Ordinal);
        JsonNode coarse = ToolRun.Of("eval", "retrieval", "--model", folder, "--data", Data, "--json").Succeeds().Json;
        Assert.Null(coarse["fine"]);
        Assert.Equal(json["image_to_text"]!.ToJsonString(), coarse["image_to_text"]!.ToJsonString());
    }

    [Fact]
    public void Captions_AreWrittenAndShown()
    {
        string folder = Save(new BlipForPreTraining(Config)), sheet = _folder["sheet.html"];
        string[] args = ["eval", "captioning", "--model", folder, "--data", Data, "--json", "--max-tokens", "6"];
        JsonNode json = ToolRun.Of([.. args, "--sheet", sheet, "--examples", "3"]).Succeeds().Json;
        foreach (string name in (string[])["bleu_4", "cider_d", "rouge_l", "meteor_like", "in_the_grammar", "exact_facts", "true_in_the_scene"])
            Assert.True(Number(json["scores"]![name]!["value"]) >= 0, name);
        Assert.Equal(3, File.ReadAllText(sheet).Split("data:image/png").Length - 1);

        // Of a text by sampling, each row draws for itself, so that batches change nothing.
        string[] sampled = [.. args, "--top-p", "0.9", "--seed", "5"];
        Assert.Equal(ToolRun.Of(sampled).Succeeds().Output, ToolRun.Of([.. sampled, "--batch", "5"]).Succeeds().Output);
        Assert.Contains("CIDEr-D", ToolRun.Of("eval", "captioning", "--model", folder, "--data", Data, "--prompt", "there is a", "--beams", "2", "--max-tokens", "8").Succeeds().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Questions_AreAnsweredByRankingAndByWriting()
    {
        string folder = Save(new BlipQuestionAnswering(Config));
        JsonNode json = ToolRun.Of("eval", "vqa", "--model", folder, "--data", Data, "--json").Succeeds().Json;
        Assert.InRange(Number(json["scores"]!["accuracy"]!["value"]), 0, 1);
        Assert.Equal(json.ToJsonString(), ToolRun.Of("eval", "vqa", "--model", folder, "--data", Data, "--json", "--batch", "5").Succeeds().Json.ToJsonString());
        ToolRun.Of("eval", "vqa", "--model", folder, "--data", Data, "--generate").Succeeds();

        // One answer to choose from, red: right, wrong, and given by three of four annotators, (3 · 2/3 + 1) / 4.
        Scene scene = new(SceneBackground.White, [new SceneObject(SceneShape.Circle, SceneColor.Red, SceneSize.Large, 0.5, 0.5, 0.2)]);
        File.WriteAllBytes(_folder["a.png"], PngWriter.Encode(new SceneRenderer(32).Render(scene)));
        File.WriteAllText(_folder["questions.csv"], "image,question,answer\na.png,what color is the circle,red\na.png,is there a star,no\na.png,what color,Red|red|a red|blue\n");
        json = ToolRun.Of("eval", "vqa", "--model", folder, "--data", _folder["questions.csv"], "--caption-column", "question", "--answers", "red", "--json").Succeeds().Json;
        Assert.Equal((1 + 0 + 0.75) / 3, Number(json["scores"]!["accuracy"]!["value"]), 9);

        File.WriteAllText(_folder["q.json"], """{"questions":[{"question_id":1,"image_id":1,"question":"what color","image":"a.png"}]}""");
        File.WriteAllText(_folder["a.json"], """{"annotations":[{"question_id":1,"answers":[{"answer":"red"},{"answer":"red"},{"answer":"red"},{"answer":"red"}]}]}""");
        json = ToolRun.Of("eval", "vqa", "--model", folder, "--data", _folder["q.json"], "--annotations", _folder["a.json"], "--answers", "red", "--json").Succeeds().Json;
        Assert.Equal(1, Number(json["scores"]!["accuracy"]!["value"]));
        ToolRun.Of("eval", "vqa", "--model", folder, "--data", Data, _folder["q.json"], "--annotations", _folder["a.json"]).Fails(ExitCode.Failure, "--annotations");
    }

    [Fact]
    public void Grounding_PointsByGradients()
    {
        string sheet = _folder["sheet.html"];
        JsonNode json = ToolRun.Of("eval", "grounding", "--model", Save(NewAlbef(), isNew: false), "--data", Data, "--json", "--sheet", sheet, "--examples", "3", "--batch", "5").Succeeds().Json;
        foreach (string name in (string[])["pointing_game", "box_iou_0_5", "box_mean_iou", "proposal_iou_0_5"]) Assert.InRange(Number(json["scores"]![name]!["value"]), 0, 1);
        Assert.True(Number(json["scores"]!["box_mean_iou"]!["value"]) > 0);
        Assert.Equal(12, json["samples"]!.GetValue<int>());
        Assert.Equal(3, File.ReadAllText(sheet).Split("data:image/png").Length - 1);
    }

    [Fact]
    public void Entailment_CountsWhatWasTakenForWhat()
    {
        using Albef pretrained = NewAlbef();
        string folder = Save(AlbefEntailment.From(pretrained), isNew: false);
        JsonNode json = ToolRun.Of("eval", "entailment", "--model", folder, "--data", Data, "--json").Succeeds().Json;
        Assert.Equal(12, json["confusion"]!.AsArray().Sum(row => row!.AsArray().Sum(count => count!.GetValue<int>())));
        Assert.Equal(0.5, Number(json["scores"]!["accuracy"]!["chance"]));
        Assert.Contains("true, answered", ToolRun.Of("eval", "entailment", "--model", folder, "--data", Data).Succeeds().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Albef_MatchesAndAnswers()
    {
        using Albef pretrained = NewAlbef();
        string folder = Save(AlbefQuestionAnswering.From(pretrained), isNew: false);
        Assert.InRange(Number(ToolRun.Of("eval", "vqa", "--model", folder, "--data", Data, "--json").Succeeds().Json["scores"]!["accuracy"]!["value"]), 0, 1);
        File.WriteAllText(_folder["q.csv"], "image,question,answer\na.png,what,red\n");
        File.WriteAllBytes(_folder["a.png"], PngWriter.Encode(new RgbImage(8, 8)));
        ToolRun.Of("eval", "vqa", "--model", folder, "--data", _folder["q.csv"], "--caption-column", "question").Fails(ExitCode.Failure, "--answers");
        Save(pretrained, isNew: false);
        Assert.NotNull(ToolRun.Of("eval", "retrieval", "--model", folder, "--data", Data, "--rerank", "4", "--json").Succeeds().Json["fine"]);
    }

    private static Albef NewAlbef()
    {
        Albef model = new(AlbefConfig.Tiny with { Text = AlbefConfig.Tiny.Text with { VocabularySize = Tokenizer.VocabularySize } });
        model.Initialize(Device.Cpu, 1);
        return model;
    }

    private static BlipConfig Config => BlipConfig.Tiny.WithVocabulary(Tokenizer.VocabularySize, Tokenizer.IdOf("[DEC]")!.Value, Tokenizer.IdOf("[ENC]")!.Value, Tokenizer.EndId);

    private static double Number(JsonNode? node) => node!.GetValue<double>();

    /// <summary>Initialises the model where it is new, writes its folder, and disposes of it.</summary>
    private string Save(PretrainedModel model, bool isNew = true)
    {
        string folder = _folder["model"];
        using (model)
        {
            if (isNew) model.Initialize(Device.Cpu, 1);
            model.SavePretrained(folder);
        }

        Tokenizer.Save(folder);
        ImagePreprocessor.Clip(32).Save(folder);
        return folder;
    }
}
