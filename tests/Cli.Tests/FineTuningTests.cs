using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training;
using MiniVlp.Cli.Training.Tasks;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>Pre-trained models are fine-tuned for questions and entailment through the tool.</summary>
public sealed class FineTuningTests : IDisposable
{
    private static readonly (string Name, byte Red, byte Green, byte Blue)[] Colors = [("red", 220, 30, 30), ("green", 30, 180, 40), ("blue", 30, 50, 220), ("yellow", 230, 220, 40)];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// What colour is a picture of a single colour? Four are equally frequent and the question is always the same, so that only a look at the picture tells:
    /// sixty steps answer for pictures that were not shown in training, where the most frequent answer gets one in four.
    /// </summary>
    [Theory]
    [InlineData("albef")]
    [InlineData("blip")]
    [Trait("Kind", "Training")]
    public void SixtyStepsAnswerByThePicture(string pretraining)
    {
        string data = WriteTable("train", 96, "question,answer", color => $"what color is the picture,{color}");
        string unseen = WriteTable("test", 48, "question,answer", color => $"what color is the picture,{color}");
        string model = _folder["model"];
        ToolRun.Of(
            "train", "--recipe", pretraining + "-vqa", "--model", Pretrain(pretraining), "--data", data, "--caption-column", "question", "--no-augmentation",
            "--batch", "16", "--steps", "60", "--lr", "1e-3", "--threads", "1", "--out", model).Succeeds();
        JsonNode accuracy = ToolRun.Of("eval", "vqa", "--model", model, "--data", unseen, "--caption-column", "question", "--answers", "red", "green", "blue", "yellow", "--json").Succeeds().Json["scores"]!["accuracy"]!;
        Assert.Equal(0.25, accuracy["constant"]!.GetValue<double>(), 9);
        Assert.True(accuracy["value"]!.GetValue<double>() > 0.75, accuracy.ToJsonString());
    }

    /// <summary>Is the picture red? Half are.</summary>
    [Fact]
    [Trait("Kind", "Training")]
    public void SixtyStepsJudgeByThePicture()
    {
        string data = WriteTable("train", 96, "sentence,label", Judge, reds: 2), unseen = WriteTable("test", 48, "sentence,label", Judge, reds: 2), model = _folder["model"];
        ToolRun.Of(
            "train", "--recipe", "albef-entailment", "--model", Pretrain("albef"), "--data", data, "--caption-column", "sentence", "--batch", "16", "--steps", "60", "--lr", "1e-3",
            "--threads", "1", "--out", model).Succeeds();
        JsonNode accuracy = ToolRun.Of("eval", "entailment", "--model", model, "--data", unseen, "--caption-column", "sentence", "--json").Succeeds().Json["scores"]!["accuracy"]!;
        Assert.Equal(0.5, accuracy["constant"]!.GetValue<double>(), 9);
        Assert.True(accuracy["value"]!.GetValue<double>() > 0.8, accuracy.ToJsonString());

        static string Judge(string color) => $"the picture is red,{(color == "red" ? "entailment" : "contradiction")}";
    }

    /// <summary>A step with learning rate zero writes exactly what the pre-trained model gives the task.</summary>
    [Theory]
    [InlineData("albef-vqa")]
    [InlineData("blip-vqa")]
    [InlineData("albef-entailment")]
    public void TheModelStartsFromThePretrainedOne(string recipe)
    {
        string pretrained = Pretrain(recipe.Split('-')[0]), written = _folder["written"];
        ToolRun run = ToolRun.Of("train", "--recipe", recipe, "--model", pretrained, "--data", TrainedModel.Data, "--batch", "8", "--steps", "1", "--lr", "0", "--seed", "5", "--out", written, "--json").Succeeds();
        using PretrainedModel source = Architectures.Load(pretrained), found = Architectures.Load(written), expected = recipe switch
        {
            "albef-vqa" => AlbefQuestionAnswering.From((Albef)source, 5),
            "blip-vqa" => BlipQuestionAnswering.From((BlipForPreTraining)source),
            _ => AlbefEntailment.From((Albef)source, seed: 5),
        };
        Assert.Equal(expected.Architecture, found.Architecture);
        foreach (((string name, Parameter should), (_, Parameter value)) in expected.NamedParameters().Zip(found.NamedParameters()))
            Assert.True(should.Value.ToArray().AsSpan().SequenceEqual(value.Value.ToArray()), name);
        Assert.Equal(recipe.EndsWith("vqa", StringComparison.Ordinal) ? "answer" : "label", Assert.Single(run.Json["parts"]!.AsObject()).Key);
    }

    /// <summary>The answers of several people: every different one once, by the share who gave it; the question in its own column or as the caption.</summary>
    [Fact]
    public void DifferentAnswersCountByTheirShare()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "dark", "what"]);
        ImageTextBatch batch = new();
        QuestionTask task = new(tokenizer, 4);
        task.AddTargets(batch, [Sample("what", """{"answers":["red","dark blue","red","red"]}"""), Sample("", """{"answer":"blue","question":"what"}""")]);
        AnswerRows rows = batch.Answers!;
        Assert.Equal([0, 0, 1], rows.Questions);
        Assert.Equal([0.75f, 0.25f, 1f], rows.Weights);
        Assert.Equal(4, rows.Length);
        Assert.Equal([2, 5, 3, 0, 2, 7, 6, 3, 2, 6, 3, 0], rows.TokenIds);
        Assert.Equal([1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0], rows.Mask);
        Assert.Equal("what", task.TextOf(Sample("", """{"answer":"blue","question":"what"}""")));

        foreach ((string metadata, string complaint) in ((string, string)[])
            [("""{"answer":"dark blue red"}""", "longer than the 4 tokens"), ("""{"answer":"green"}""", "cannot spell"), ("""{"answers":[" "]}""", "empty"), ("{}", "no field 'answer'")])
        {
            ToolException thrown = Assert.Throws<ToolException>(() => task.AddTargets(batch, [Sample("what", metadata)]));
            Assert.Contains("sample-1", thrown.Message, StringComparison.Ordinal);
            Assert.Contains(complaint, thrown.Message, StringComparison.Ordinal);
        }

        Assert.Throws<ToolException>(() => task.TextOf(Sample("", "{}")));
    }

    /// <summary>Questions and answers of VQA v2 files train a model that answers those files.</summary>
    [Fact]
    public void FilesOfVqaAreTrainedOnAndEvaluated()
    {
        WriteTable("a", 8, "question,answer", color => $"what,{color}");
        StringBuilder questions = new(), answers = new();
        for (int i = 0; i < 8; i++)
        {
            questions.Append(CultureInfo.InvariantCulture, $$"""{{(i == 0 ? "" : ",")}}{"question_id":{{i}},"image_id":{{i}},"question":"what color is it","image":"a{{i}}.png"}""");
            answers.Append(CultureInfo.InvariantCulture, $$"""{{(i == 0 ? "" : ",")}}{"question_id":{{i}},"answer_type":"other","answers":[{"answer":"red"},{"answer":"dark blue"},{"answer":"red"}]}""");
        }

        string file = _folder["q.json"], annotations = _folder["a.json"], model = _folder["model"];
        File.WriteAllText(file, $$"""{"questions":[{{questions}}]}""");
        File.WriteAllText(annotations, $$"""{"annotations":[{{answers}}]}""");
        string[] data = ["--data", file, "--annotations", annotations];
        ToolRun.Of(["train", "--recipe", "blip-vqa", "--model", Pretrain("blip"), .. data, "--batch", "4", "--steps", "4", "--stop-after", "2", "--out", model]).Succeeds();
        ToolRun.Of(["train", "--resume", .. data, "--out", model]).Succeeds();
        JsonNode json = ToolRun.Of(["eval", "vqa", "--model", model, .. data, "--answers", annotations, "--json"]).Succeeds().Json;
        Assert.Equal(8, json["samples"]!.GetValue<int>());
        Assert.Equal(["red", "dark blue"], VqaDataset.FrequentAnswers(annotations));
        Assert.Equal(["red"], VqaDataset.FrequentAnswers(annotations, 1));
        ToolRun.Of(["train", "--recipe", "blip", .. data, "--out", _folder["no"]]).Fails(ExitCode.Failure, "--annotations", "blip");
        ToolRun.Of("train", "--recipe", "blip-vqa", "--model", Pretrain("blip"), "--data", "scenes", "--annotations", annotations, "--out", _folder["no"]).Fails(ExitCode.Failure, "--annotations");
    }

    [Fact]
    public void WhatDoesNotFitIsSaid()
    {
        string albef = Pretrain("albef"), data = WriteTable("t", 8, "question,answer", _ => "what,red"), output = _folder["out"];
        Fails("albef-vqa", "small", data, "albef-vqa", "name the folder");
        Fails("albef-vqa", _folder["missing"], data, "name the folder");
        Fails("blip-vqa", albef, data, albef, "BlipForPreTraining", "AlbefForPreTraining");
        Fails("albef-vqa", albef, "scenes:train:8", "--caption-noise", "reads no captions", "--caption-noise", "0.5");
        Fails("albef-entailment", albef, data, "t.csv:", "no field 'label'");
        Fails("albef-vqa", albef, WriteTable("u", 8, "question,label", _ => "what,red"), "no field 'answer'");
        Fails("albef-vqa", albef, WriteTable("v", 8, "question,answer", _ => $"what,{new string('a', 60)}"), "longer than the 48 tokens");
        File.Delete(Path.Combine(albef, "vocab.txt"));
        foreach (string file in Directory.EnumerateFiles(albef, "tokenizer*.json")) File.Delete(file);
        Fails("albef-vqa", albef, data, albef, "vocab.txt");
        using (AlbefEntailment four = new(AlbefConfig.Tiny, 4))
        {
            four.Initialize(Device.Cpu, 1);
            four.SavePretrained(_folder["four"]);
        }

        TextTokenizer.FromVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what"]).Save(_folder["four"]);
        ImagePreprocessor.Blip(32).Save(_folder["four"]);
        Fails("albef-entailment", _folder["four"], data, "has 4");
        Assert.False(File.Exists(Path.Combine(output, "config.json")));

        void Fails(string recipe, string model, string source, params string[] mentionsThenOptions)
        {
            int options = Array.IndexOf(mentionsThenOptions, "--caption-noise", 1);
            string[] mentions = options < 0 ? mentionsThenOptions : mentionsThenOptions[..options], more = options < 0 ? [] : mentionsThenOptions[options..];
            string[] columns = source.StartsWith("scenes", StringComparison.Ordinal) ? [] : ["--caption-column", "question"];
            ToolRun.Of(["train", "--recipe", recipe, "--model", model, "--data", source, .. columns, "--batch", "8", "--steps", "1", "--out", output, .. more]).Fails(ExitCode.Failure, mentions);
        }
    }

    /// <summary>Sentences may be mirrored with their pictures; questions may not, since their answers would have to be too.</summary>
    [Fact]
    public void QuestionsAreNotMirrored()
    {
        Assert.False(new QuestionTask(TextTokenizer.FromVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), 8).AllowsMirror);
        Assert.True(new EntailmentTask().AllowsMirror);
    }

    /// <summary>Whatever captions of scenes were seen, a model that was trained on them can read every question and write every answer about them.</summary>
    [Fact]
    public void TheVocabularyOfScenesSpellsQuestionsAndAnswers()
    {
        SceneDataset scenes = new(new SceneDatasetOptions { World = SceneOptions.Demo, Count = 200, ImageSize = 32 });
        TextTokenizer tokenizer = NewModel.BuildTokenizer(scenes, 2000);
        SceneQuestionDataset questions = new(scenes.Options);
        Assert.All([.. questions.Answers, .. Enumerable.Range(0, 100).Select(questions.GetCaption)], text => Assert.DoesNotContain(tokenizer.UnknownId, tokenizer.Encode(text, 64)));
        Assert.All(questions.Answers, answer => Assert.Equal(3, tokenizer.Encode(answer, 64).Length));
    }

    private static ImageTextSample Sample(string caption, string metadata) => new("sample-1", new RgbImage(2, 2), caption, System.Text.Json.JsonDocument.Parse(metadata).RootElement);

    /// <summary>A model of one step: what it knows does not matter here, its classes and its vocabulary do.</summary>
    private string Pretrain(string recipe)
    {
        string folder = _folder[recipe];
        if (!Directory.Exists(folder))
            ToolRun.Of("train", "--recipe", recipe, "--data", TrainedModel.Data, "--model", "tiny", "--batch", "8", "--queue", "24", "--steps", "1", "--threads", "1", "--seed", "3", "--out", folder).Succeeds();
        return folder;
    }

    /// <summary>Pictures of one colour each, with noise, and a table with a row for each.</summary>
    private string WriteTable(string name, int count, string columns, Func<string, string> row, int reds = 4)
    {
        StringBuilder table = new($"image,{columns}\n");
        Random random = new(name.Length);
        for (int i = 0; i < count; i++)
        {
            (string color, byte red, byte green, byte blue) = i % reds == 0 ? Colors[0] : Colors[1 + (i % 3)];
            if (reds == 4) (color, red, green, blue) = Colors[i % 4];
            RgbImage image = new(32, 32);
            for (int p = 0; p < image.Pixels.Length; p++)
                image.Pixels[p] = (byte)Math.Clamp((p % 3) switch { 0 => red, 1 => green, _ => blue } + random.Next(-20, 21), 0, 255);
            File.WriteAllBytes(_folder[$"{name}{i}.png"], PngWriter.Encode(image));
            table.Append(CultureInfo.InvariantCulture, $"{name}{i}.png,{row(color)}\n");
        }

        string path = _folder[name + ".csv"];
        File.WriteAllText(path, table.ToString());
        return path;
    }
}
