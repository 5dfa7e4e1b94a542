using System.Text.Json.Nodes;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>The commands that use a trained model.</summary>
public sealed class ModelCommandTests(TrainedModel trained) : IClassFixture<TrainedModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Retrieval_PrintsRecallAndChance()
    {
        string[] args = ["eval", "retrieval", "--model", trained.Folder, "--data", "scenes:validation:40"];
        JsonNode json = ToolRun.Of([.. args, "--json"]).Succeeds().Json;
        foreach (string direction in (string[])["image_to_text", "text_to_image"])
        {
            double r1 = Number(json[direction]!["r1"]), r5 = Number(json[direction]!["r5"]), r10 = Number(json[direction]!["r10"]);
            Assert.True(r1 >= 0 && r1 <= r5 && r5 <= r10 && r10 <= 1);
            Assert.InRange(Number(json[direction]!["chance_r1"]), 1 / 40.0, 0.2);
            Assert.InRange(r5, Number(json[direction]!["r5_interval"]!["low"]), Number(json[direction]!["r5_interval"]!["high"]));
        }

        string output = ToolRun.Of([.. args, "--sheet", _folder["found.html"], "--examples", "3"]).Succeeds().Output;
        Assert.Contains("chance", output, StringComparison.Ordinal);
        Assert.Contains("interval", output, StringComparison.Ordinal);
        string page = File.ReadAllText(_folder["found.html"]);
        Assert.Equal(3 * RetrievalEvaluation.ExampleColumns, page.Split("<img").Length - 1);
        Assert.Contains("repeat(6,", page, StringComparison.Ordinal);
        Assert.Contains("found as number", page, StringComparison.Ordinal);
        ToolRun.Of([.. args, "--sheet", _folder["found.txt"]]).Fails(ExitCode.Failure, ".html");
    }

    [Theory]
    [InlineData("bf16", 0.02)]
    [InlineData("int8", 0.05)]
    public void Weights_OfFewerBitsMoveTheVectorsALittle(string weights, double allowed)
    {
        float[] full = Embed("float32"), rounded = Embed(weights);
        double largest = 0;
        for (int i = 0; i < full.Length; i++) largest = Math.Max(largest, Math.Abs(full[i] - rounded[i]));
        Assert.InRange(largest, 1e-7, allowed);
        ToolRun.Of("embed", "--model", trained.Folder, "--data", "scenes:validation:4", "--out", _folder["x.safetensors"], "--weights", "fp8").Fails(ExitCode.Usage, "fp8");

        float[] Embed(string format)
        {
            string index = _folder[format + ".safetensors"];
            ToolRun.Of("embed", "--model", trained.Folder, "--data", "scenes:validation:20", "--out", index, "--device", "cpu", "--weights", format).Succeeds();
            using SafetensorsFile file = SafetensorsFile.Open(index);
            (string name, TensorEntry entry) = file.Entries.First(named => named.Value.Dtype is SafetensorsDtype.F32);
            float[] values = new float[entry.ElementCount];
            file.ReadFloat32(name, values);
            return values;
        }
    }

    [Fact]
    public void Retrieval_CountsAPictureWithTwoCaptionsOnce()
    {
        SceneDataset scenes = new(new SceneDatasetOptions { Count = 2, ImageSize = 32 });
        for (int i = 0; i < 2; i++) File.WriteAllBytes(_folder[$"{i}.png"], PngWriter.Encode(scenes.Get(i).Image));
        File.WriteAllText(_folder["pairs.csv"], "path,words\n0.png,one\n1.png,two\n0.png,three\n1.png,three\n");
        JsonNode json = ToolRun.Of(
            "eval", "retrieval", "--model", trained.Folder, "--data", _folder["pairs.csv"], "--image-column", "path", "--caption-column", "words", "--json").Succeeds().Json;
        Assert.Equal((2, 3), Sizes(json["image_to_text"]!));
        Assert.Equal((3, 2), Sizes(json["text_to_image"]!));
        Assert.Equal(2 / 3.0, Number(json["image_to_text"]!["chance_r1"]), 9);

        static (int Queries, int Gallery) Sizes(JsonNode recall) => (recall["queries"]!.GetValue<int>(), recall["gallery"]!.GetValue<int>());
    }

    [Fact]
    public void ZeroShot_ClassifiesScenesAndPictures()
    {
        JsonArray tasks = ToolRun.Of("eval", "zero-shot", "--model", trained.Folder, "--data", "scenes:validation:30", "--json").Succeeds().Json.AsArray();
        Assert.Equal(["color", "shape"], tasks.Select(task => task!["name"]!.GetValue<string>()));
        Assert.All(tasks, task => Assert.Equal(30, task!["pictures"]!.GetValue<int>()));

        string shard = WriteShards();
        JsonNode byCaption = ToolRun.Of("eval", "zero-shot", "--model", trained.Folder, "--data", shard, "--classes", "red", "blue", "--json").Succeeds().Json[0]!;
        Assert.Equal(6, byCaption["pictures"]!.GetValue<int>());
        Assert.Equal(0.5, Number(byCaption["chance"]));
        Assert.Equal(6, byCaption["confusion"]!.AsArray().Sum(row => row!.AsArray().Sum(count => count!.GetValue<int>())));
        ToolRun.Of("eval", "zero-shot", "--model", trained.Folder, "--data", shard, "--label-field", "label", "--classes", "red", "blue").Succeeds();
        ToolRun.Of("eval", "zero-shot", "--model", trained.Folder, "--data", shard, "--classes", "green", "yellow").Fails(ExitCode.Failure, "none of the classes");
        ToolRun.Of("eval", "zero-shot", "--model", trained.Folder, "--data", shard, "--label-field", "nope").Fails(ExitCode.Failure, "'nope'");
        ToolRun.Of("eval", "zero-shot", "--model", trained.Folder, "--data", shard, "--templates", "no slot").Fails(ExitCode.Failure, "no slot");
    }

    [Fact]
    public void ATaskThatTheModelCannotDo_IsNamedWithModelsThatCan()
    {
        foreach (string[] task in (string[][])[["captioning"], ["vqa"], ["grounding"], ["entailment"], ["retrieval", "--rerank", "8"]])
        {
            ToolRun run = ToolRun.Of(["eval", .. task, "--model", trained.Folder, "--data", "scenes:validation:10"]).Fails(ExitCode.Failure, "CLIPModel cannot", " can.");
            Assert.Single(run.Error.Trim().Split('\n'));
        }

        ToolRun.Of("eval", "captioning", "--model", trained.Folder, "--data", "scenes", "--sheet", "x.pdf").Fails(ExitCode.Failure, "x.pdf", ".html");
        ToolRun.Of("eval", "captioning", "--model", trained.Folder, "--data", "scenes", "--beams", "0").Fails(ExitCode.Usage, "--beams");
        ToolRun.Of("eval", "retrieval", "--model", trained.Folder, "--data", "scenes", "--rerank", "0").Fails(ExitCode.Usage, "--rerank");
    }

    [Fact]
    public void EmbedAndSearch_FindPictures()
    {
        string index = _folder["index.safetensors"], shard = WriteShards();
        JsonNode made = ToolRun.Of("embed", "--model", trained.Folder, "--data", shard, "--out", index, "--json").Succeeds().Json;
        Assert.Equal(6, made["pictures"]!.GetValue<int>());
        JsonArray hits = ToolRun.Of("search", "--model", trained.Folder, "--index", index, "a large red circle", "-k", "4", "--json").Succeeds().Json.AsArray();
        Assert.Equal([1, 2, 3, 4], hits.Select(hit => hit!["rank"]!.GetValue<int>()));
        double[] scores = [.. hits.Select(hit => Number(hit!["score"]))];
        Assert.Equal(scores.OrderDescending(), scores);
        Assert.All(scores, score => Assert.InRange(score, -1.001, 1.001));
        Assert.Contains(".tar/", hits[0]!["key"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Contains("score", ToolRun.Of("search", "--model", trained.Folder, "--index", index, "x").Succeeds().Output, StringComparison.Ordinal);
        ToolRun.Of("search", "--model", trained.Folder, "--index", Path.Combine(trained.Folder, "model.safetensors"), "x").Fails(ExitCode.Failure, "image_embeds");
    }

    [Fact]
    public void Info_CountsParameters()
    {
        using Clip clip = Clip.FromPretrained(trained.Folder);
        JsonNode json = ToolRun.Of("info", trained.Folder, "--json").Succeeds().Json;
        Assert.Equal(clip.ParameterCount(), json["parameters"]!.GetValue<long>());
        Assert.Equal(clip.ParameterCount() * 4, json["bytes"]!.GetValue<long>());
        Assert.Equal("CLIPModel", json["architecture"]!.GetValue<string>());
        Assert.Contains("vision_config.patch_size", ToolRun.Of("info", trained.Folder).Succeeds().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Parity_PassesAndFailsAsItShould()
    {
        string good = WriteParityFolder("good", error: 0), bad = WriteParityFolder("bad", error: 0.01f);
        ToolRun pass = ToolRun.Of("parity", good).Succeeds();
        Assert.Contains("PASS", pass.Output, StringComparison.Ordinal);
        Assert.Contains("image_embeds", ToolRun.Of("parity", good, "--all").Succeeds().Output, StringComparison.Ordinal);

        ToolRun fail = ToolRun.Of("parity", good, bad);
        Assert.Equal(ExitCode.Failure, fail.ExitCode);
        Assert.Contains("text_embeds", fail.Output, StringComparison.Ordinal);
        ToolRun.Of("parity", bad, "--tolerance", "0.1").Succeeds();
        ToolRun.Of("parity", good, "--device", "cpu", "--weights", "float32").Succeeds();
        Assert.Equal(ExitCode.Failure, ToolRun.Of("parity", good, "--device", "cpu", "--weights", "int8").ExitCode);
        JsonNode json = ToolRun.Of("parity", good, bad, "--json").Json;
        Assert.Equal([true, false], json.AsArray().Select(folder => folder!["passed"]!.GetValue<bool>()));
    }

    [Fact]
    public void Parity_UnknownArchitecture_Fails()
    {
        string folder = WriteParityFolder("unknown", error: 0);
        string config = File.ReadAllText(Path.Combine(folder, "config.json")).Replace("CLIPModel", "PerceiverModel", StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(folder, "config.json"), config);
        ToolRun.Of("parity", folder).Fails(ExitCode.Failure, "PerceiverModel");
        JsonNode json = ToolRun.Of("parity", folder, "--json").Json;
        Assert.Contains("PerceiverModel", json[0]!["error"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    private static double Number(JsonNode? node) => node!.GetValue<double>();

    /// <summary>Six pictures: red and blue circles with captions and labels.</summary>
    private string WriteShards()
    {
        SceneRenderer renderer = new(32);
        using TarShardWriter writer = new(_folder["data"]);
        for (int i = 0; i < 6; i++)
        {
            (SceneColor color, string name) = i % 2 == 0 ? (SceneColor.Red, "red") : (SceneColor.Blue, "blue");
            Scene scene = new(SceneBackground.White, [new SceneObject(SceneShape.Circle, color, SceneSize.Large, 0.3 + (0.05 * i), 0.5, 0.2)]);
            using System.Text.Json.JsonDocument metadata = System.Text.Json.JsonDocument.Parse($$"""{ "label": {{i % 2}} }""");
            writer.Write($"{i:D6}", PngWriter.Encode(renderer.Render(scene)), $"a large {name} circle", metadata.RootElement);
        }

        writer.Complete();
        return writer.Paths[0];
    }

    /// <summary>The model with inputs and its own outputs, one of them off by <paramref name="error"/>.</summary>
    private string WriteParityFolder(string name, float error)
    {
        string folder = _folder[name];
        using Clip clip = Clip.FromPretrained(trained.Folder);
        clip.SavePretrained(folder);
        int size = clip.Config.ImageSize, end = clip.Config.EndTokenId;
        Random random = new(1);
        float[] pixels = [.. Enumerable.Range(0, 2 * 3 * size * size).Select(_ => random.NextSingle())];
        int[] ids = [5, 6, end, 7, end, 0];
        using (SafetensorsWriter inputs = SafetensorsWriter.Create(Path.Combine(folder, "inputs.safetensors")))
        {
            inputs.Declare("pixel_values", SafetensorsDtype.F32, (ReadOnlySpan<int>)[2, 3, size, size]);
            inputs.Declare("input_ids", SafetensorsDtype.I32, (ReadOnlySpan<int>)[2, 3]);
            inputs.Write("pixel_values", pixels);
            inputs.Write("input_ids", ids);
            inputs.Complete();
        }

        using TensorScope scope = new();
        Tensor image = clip.EncodeImage(Tensor.FromArray(pixels, [2, 3, size, size]));
        float[] text = clip.EncodeText(new TextBatch(IndexTensor.FromArray(ids, [2, 3]))).ToArray();
        text[3] += error;
        using SafetensorsWriter outputs = SafetensorsWriter.Create(Path.Combine(folder, "outputs.safetensors"));
        outputs.Declare("image_embeds", SafetensorsDtype.F32, image.Shape.ToArray());
        outputs.Declare("text_embeds", SafetensorsDtype.F32, image.Shape.ToArray());
        outputs.Write("image_embeds", image.ToArray());
        outputs.Write("text_embeds", text);
        outputs.Complete();
        return folder;
    }
}
