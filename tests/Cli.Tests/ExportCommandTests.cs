using System.Text.Json.Nodes;
using MiniVlp.Models;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary><c>minivlp export</c>: what was trained here becomes a folder of a Hugging Face class.</summary>
public sealed class ExportCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void APreTrainedBlipBecomesACaptionerAndARetriever()
    {
        string trained = Train("blip");
        ToolRun.Of("export", trained, "--out", _folder["x"]).Fails(ExitCode.Failure, "BlipForConditionalGeneration or BlipForImageTextRetrieval");
        ToolRun.Of("export", trained, "--out", _folder["x"], "--class", "BertModel").Fails(ExitCode.Failure, "BertModel", "BlipForImageTextRetrieval");
        ToolRun.Of("export", trained, "--out", trained, "--class", "BlipForConditionalGeneration").Fails(ExitCode.Failure, "over itself");
        ToolRun.Of("export", trained, "--out", trained + Path.DirectorySeparatorChar, "--class", "BlipForConditionalGeneration").Fails(ExitCode.Failure, "over itself");
        Assert.False(Directory.Exists(_folder["x"]));

        ToolRun captioner = ToolRun.Of("export", trained, "--out", _folder["captioner"], "--class", "BlipForConditionalGeneration", "--json").Succeeds();
        Assert.Equal("BlipForConditionalGeneration", captioner.Json["architecture"]!.GetValue<string>());
        ToolRun filter = ToolRun.Of("export", trained, "--out", _folder["filter"], "--class", "BlipForImageTextRetrieval").Succeeds();
        Assert.Contains("[ENC]", filter.Error, StringComparison.Ordinal);
        foreach (string part in (string[])["captioner", "filter"])
            foreach (string file in (string[])["vocab.txt", "tokenizer_config.json", "preprocessor_config.json"])
                Assert.Equal(File.ReadAllBytes(Path.Combine(trained, file)), File.ReadAllBytes(_folder[$"{part}/{file}"]));

        // The decoder that shares its weights with the encoder is written whole, under the names of the class.
        using SafetensorsFile weights = SafetensorsFile.Open(_folder["captioner/model.safetensors"]);
        Assert.Contains("text_decoder.bert.encoder.layer.0.crossattention.self.query.weight", weights.Entries.Keys);
        Assert.DoesNotContain(weights.Entries.Keys, key => key.StartsWith("text_encoder", StringComparison.Ordinal));

        using BlipForPreTraining whole = BlipForPreTraining.FromPretrained(trained);
        using BlipCaptioning alone = BlipCaptioning.FromPretrained(_folder["captioner"]);
        using TensorScope scope = new();
        Tensor images = Tensor.FromArray([.. Enumerable.Range(0, 2 * 3 * 32 * 32).Select(i => (i % 7) - 3f)], [2, 3, 32, 32]);
        TextBatch text = new(IndexTensor.FromArray([5, 6, 7, 8, 9, 10], [2, 3]), IndexTensor.FromArray([1, 1, 1, 1, 1, 1], [2, 3]));
        Assert.Equal(whole.Captioning.Loss(images, text).Item(), alone.Loss(images, text).Item());
    }

    [Fact]
    public void OtherModelsKeepTheirClassAndMayTakeFewerBits()
    {
        string trained = Train("vilt");
        JsonNode json = ToolRun.Of("export", trained, "--out", _folder["half"], "--dtype", "bfloat16", "--json").Succeeds().Json;
        Assert.Equal(("ViltForImageAndTextRetrieval", "bfloat16"), (json["architecture"]!.GetValue<string>(), json["dtype"]!.GetValue<string>()));
        using (SafetensorsFile weights = SafetensorsFile.Open(_folder["half/model.safetensors"])) Assert.All(weights.Entries.Values, entry => Assert.Equal(SafetensorsDtype.BF16, entry.Dtype));
        Assert.Contains("\"bfloat16\"", File.ReadAllText(_folder["half/config.json"]), StringComparison.Ordinal);

        ToolRun.Of("export", Train("mae"), "--out", _folder["autoencoder"]).Succeeds();
        using PretrainedModel mae = Architectures.Load(_folder["autoencoder"]);
        Assert.Equal("ViTMAEForPreTraining", mae.Architecture);
        ToolRun.Of("export", _folder["none"], "--out", _folder["y"]).Fails(ExitCode.Failure, "none");
        ToolRun.Of("export", trained, "--out", _folder["y"], "--dtype", "int8").Fails(ExitCode.Usage, "int8");
    }

    private string Train(string recipe)
    {
        string folder = _folder[recipe];
        ToolRun.Of("train", "--recipe", recipe, "--data", TrainedModel.Data, "--model", "tiny", "--batch", "8", "--threads", "1", "--steps", "1", "--out", folder).Succeeds();
        return folder;
    }
}
