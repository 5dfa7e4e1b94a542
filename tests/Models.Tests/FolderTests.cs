using System.Text.Json.Nodes;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Model folders: what is written can be read, what is wrong is named.</summary>
public sealed class FolderTests
{
    private static readonly string[] Thousand = [.. Enumerable.Range(0, 1000).Select(i => $"class {i}")];

    [Theory]
    [InlineData("vit_model")]
    [InlineData("vit_image_classification")]
    [InlineData("bert_model")]
    [InlineData("bert_masked_lm")]
    [InlineData("bert_pretraining")]
    [InlineData("clip_model")]
    [InlineData("vision_text_dual_encoder")]
    [InlineData("siglip_model")]
    [InlineData("vit_mae_pretraining")]
    [InlineData("blip_captioning")]
    [InlineData("blip_vqa")]
    [InlineData("blip_retrieval")]
    [InlineData("vilt_masked_lm")]
    [InlineData("vilt_retrieval")]
    [InlineData("vilt_question_answering")]
    public void WritesWhatItReads(string name)
    {
        using TemporaryFolder folder = new();
        using PretrainedModel model = Architectures.Load(Goldens.Folder(name));
        model.SavePretrained(folder.Path);
        using PretrainedModel again = Architectures.Load(folder.Path);
        Assert.Equal(model.ToConfigJson().ToJsonString(), again.ToConfigJson().ToJsonString());
        Assert.Equal(model.GetType(), again.GetType());
        foreach (((string left, Parameter expected), (string right, Parameter actual)) in model.NamedParameters().Zip(again.NamedParameters()))
        {
            Assert.Equal(left, right);
            Assert.Equal(expected.Value.ToArray(), actual.Value.ToArray());
        }

        // What Hugging Face wrote and what this library wrote hold the same keys and shapes.
        using SafetensorsFile theirs = SafetensorsFile.Open(Path.Combine(Goldens.Folder(name), "model.safetensors"));
        using SafetensorsFile ours = SafetensorsFile.Open(folder.File("model.safetensors"));
        Assert.Equal(theirs.Entries.Keys.Order(StringComparer.Ordinal), ours.Entries.Keys.Order(StringComparer.Ordinal));
        Assert.All(theirs.Entries.Values, entry => Assert.Equal(entry.Shape.ToArray(), ours.Entry(entry.Name).Shape.ToArray()));

        // The fields of their config that this library knows come out as they went in.
        JsonObject theirConfig = JsonNode.Parse(File.ReadAllText(Path.Combine(Goldens.Folder(name), "config.json")))!.AsObject();
        JsonObject ourConfig = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        AssertKnownFieldsAgree(theirConfig, ourConfig, string.Empty);
    }

    [Fact]
    public void LoadsABackboneFromACheckpointWithHeads()
    {
        using VisionTransformer vit = VisionTransformer.FromPretrained(Goldens.Folder("vit_image_classification"));
        using VisionTransformerClassifier classifier = VisionTransformerClassifier.FromPretrained(Goldens.Folder("vit_image_classification"));
        Assert.Equal(classifier.Backbone.NamedParameters().First().Parameter.Value.ToArray(), vit.NamedParameters().First().Parameter.Value.ToArray());
        using Bert bert = Bert.FromPretrained(Goldens.Folder("bert_pretraining"));
        Assert.Contains(bert.NamedParameters(), named => named.Name == "pooler.dense.weight");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AVisionTransformerHasAPoolerWhereItsWeightsHaveOne(bool pooler)
    {
        using TemporaryFolder folder = new();
        using VisionTransformer model = new(new VisionTransformerConfig { ImageSize = 8, PatchSize = 4, Width = 8, Layers = 1, Heads = 2, HiddenWidth = 16 }, pooler);
        model.Initialize(Device.Cpu, seed: 1);
        model.SavePretrained(folder.Path);
        using VisionTransformer read = VisionTransformer.FromPretrained(folder.Path);
        Assert.Equal(pooler, read.NamedParameters().Any(named => named.Name == "pooler.dense.weight"));
        Assert.Equal(model.ParameterCount(), read.ParameterCount());
    }

    [Fact]
    public void ListsEveryKeyThatDiffers()
    {
        using TemporaryFolder folder = Goldens.Copy("bert_model");
        using (Bert model = Bert.FromPretrained(folder.Path))
        {
            List<(string Name, Tensor Value)> tensors = [.. model.NamedParameters().Select(named => (named.Name, named.Parameter.Value))];
            tensors.RemoveAll(named => named.Name == "pooler.dense.bias");
            tensors.Add(("something.else", Tensor.Zeros([3])));
            int index = tensors.FindIndex(named => named.Name == "embeddings.LayerNorm.weight");
            tensors[index] = (tensors[index].Name, Tensor.Zeros([21]));
            StateDict.Save(folder.File("model.safetensors"), tensors);
        }

        string message = Assert.Throws<StateDictException>(() => Bert.FromPretrained(folder.Path)).Message;
        Assert.Contains("missing    pooler.dense.bias [20]", message, StringComparison.Ordinal);
        Assert.Contains("unexpected something.else", message, StringComparison.Ordinal);
        Assert.Contains("mis-shaped embeddings.LayerNorm.weight: the file has [21], the model [20]", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hidden_size", "\"wide\"", "hidden_size")]
    [InlineData("hidden_size", "-4", "hidden_size")]
    [InlineData("hidden_size", "21", "num_attention_heads")]
    [InlineData("hidden_size", "99999999999", "hidden_size")]
    [InlineData("hidden_act", "\"snake\"", "snake")]
    [InlineData("layer_norm_eps", "true", "layer_norm_eps")]
    [InlineData("image_size", "19", "patch_size")]
    [InlineData("image_size", "600000", "image_size")]
    [InlineData("qkv_bias", "1", "qkv_bias")]
    [InlineData("num_hidden_layers", "2000000", "num_hidden_layers")]
    public void NamesTheWrongFieldOfAConfig(string field, string value, string expected)
    {
        using TemporaryFolder folder = Goldens.Copy("vit_model");
        JsonObject config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config[field] = JsonNode.Parse(value);
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        ModelFormatException exception = Assert.Throws<ModelFormatException>(() => VisionTransformer.FromPretrained(folder.Path));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Contains("config.json", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("")]
    public void NamesAConfigThatIsNoObject(string content)
    {
        using TemporaryFolder folder = Goldens.Copy("vit_model");
        File.WriteAllText(folder.File("config.json"), content);
        Assert.Contains("config.json", Assert.Throws<ModelFormatException>(() => VisionTransformer.FromPretrained(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RefusesADeepConfig()
    {
        using TemporaryFolder folder = Goldens.Copy("vit_model");
        File.WriteAllText(folder.File("config.json"), string.Concat(Enumerable.Repeat("{\"a\":", 100_000)) + "1" + new string('}', 100_000));
        Assert.Throws<ModelFormatException>(() => VisionTransformer.FromPretrained(folder.Path));
    }

    [Fact]
    public void NamesMissingFiles()
    {
        using TemporaryFolder folder = Goldens.Copy("clip_model");
        File.Delete(folder.File("model.safetensors"));
        Assert.Contains("model.safetensors", Assert.Throws<ModelFormatException>(() => Clip.FromPretrained(folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("config.json", Assert.Throws<ModelFormatException>(() => Clip.FromPretrained(Path.GetTempPath())).Message, StringComparison.Ordinal);
        Assert.Throws<ModelFormatException>(() => Clip.FromPretrained(Path.Combine(folder.Path, "nowhere")));
    }

    [Fact]
    public void WarnsWhenTheConfigContradictsTheWeights()
    {
        using TemporaryFolder folder = new();
        using (Clip model = Clip.FromPretrained(Goldens.Folder("clip_model")))
        {
            Assert.Empty(model.Warnings);
            model.SavePretrained(folder.Path);
        }

        JsonObject config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config["vision_config"]!["hidden_act"] = "gelu";
        config["text_config"]!["layer_norm_eps"] = 1e-6;
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        using Clip changed = Clip.FromPretrained(folder.Path);
        Assert.Contains(changed.Warnings, warning => warning.Contains("vision_hidden_act = quick_gelu", StringComparison.Ordinal));
        Assert.Contains(changed.Warnings, warning => warning.Contains("text_layer_norm_eps = 1E-05", StringComparison.Ordinal));
        Assert.Equal(2, changed.Warnings.Count);
    }

    [Theory]
    [InlineData("openai/clip-vit-base-patch32", "gelu", 2)]
    [InlineData("openai/clip-vit-base-patch32", "quick_gelu", 0)]
    [InlineData("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "quick_gelu", 2)]
    [InlineData("somebody/else", "gelu", 0)]
    public void WarnsWhenTheNameOfAPublishedModelSaysOtherwise(string name, string activation, int warnings)
    {
        using TemporaryFolder folder = Goldens.Copy("clip_model");
        JsonObject config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config["_name_or_path"] = name;
        config["vision_config"]!["hidden_act"] = activation;
        config["text_config"]!["hidden_act"] = activation;
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        using Clip model = Clip.FromPretrained(folder.Path);
        Assert.Equal(warnings, model.Warnings.Count);
    }

    [Fact]
    public void ReadsTheOldNamesOfNormsAndIgnoresBuffers()
    {
        using TemporaryFolder folder = Goldens.Copy("bert_masked_lm");
        using (BertForPreTraining model = BertForPreTraining.FromPretrained(folder.Path))
        {
            IEnumerable<(string Name, Tensor Value)> old = model.NamedParameters().Select(named => (
                named.Name.Replace("LayerNorm.weight", "LayerNorm.gamma", StringComparison.Ordinal).Replace("LayerNorm.bias", "LayerNorm.beta", StringComparison.Ordinal),
                named.Parameter.Value));
            StateDict.Save(folder.File("model.safetensors"), [.. old, ("bert.embeddings.position_ids", Tensor.Zeros([1, 14])), ("cls.predictions.decoder.bias", Tensor.Zeros([59]))]);
        }

        Assert.All(Parity.Check(folder.Path), row => Assert.True(row.Passed, row.ToString()));
    }

    [Fact]
    public void KnowsThePublishedSizes()
    {
        Assert.Equal(151_277_313, new Clip(ClipConfig.VitB32).ParameterCount());
        Assert.Equal(427_616_513, new Clip(ClipConfig.VitL14).ParameterCount());
        Assert.Equal(149_620_737, new Clip(ClipConfig.VitB16).ParameterCount());
        Assert.Equal(109_482_240, new Bert(BertConfig.Base).ParameterCount());
        Assert.Equal(335_141_888, new Bert(BertConfig.Large).ParameterCount());
        Assert.Equal(86_567_656, new VisionTransformerClassifier(VisionTransformerConfig.Base16, Thousand).ParameterCount());
        Assert.Equal(5_717_416, new VisionTransformerClassifier(VisionTransformerConfig.Tiny16, Thousand).ParameterCount());
        Assert.Equal(22_050_664, new VisionTransformerClassifier(VisionTransformerConfig.Small16, Thousand).ParameterCount());
        Assert.Equal(304_326_632, new VisionTransformerClassifier(VisionTransformerConfig.Large16, Thousand).ParameterCount());
        Assert.Equal(111_907_840, new Mae(MaeConfig.Base16).ParameterCount());
        Assert.Equal(329_541_888, new Mae(MaeConfig.Large16).ParameterCount());
        Assert.Equal(657_074_508, new Mae(MaeConfig.Huge14).ParameterCount());
        Assert.Equal(203_155_970, new Siglip(SiglipConfig.Base16).ParameterCount());
        Assert.Equal(652, new Siglip(SiglipConfig.Large16).ParameterCount() / 1_000_000);
        Assert.Equal(877, new Siglip(SiglipConfig.So400m14).ParameterCount() / 1_000_000);
        Assert.Equal(197, new VisionTextDualEncoder(VisionTextDualEncoderConfig.VitB16BertBase).ParameterCount() / 1_000_000);
        Assert.Equal(641, new VisionTextDualEncoder(VisionTextDualEncoderConfig.VitL16BertLarge).ParameterCount() / 1_000_000);
    }

    [Theory]
    [InlineData("vision_model.encoder.layers.0.self_attn.q_proj.weight", 192)]
    [InlineData("vision_model.encoder.layers.2.mlp.fc2.weight", 2 * 6 * 192)]
    [InlineData("text_model.encoder.layers.1.self_attn.out_proj.weight", 2 * 6 * 192)]
    [InlineData("text_model.encoder.layers.0.mlp.fc1.weight", 2 * 192)]
    [InlineData("vision_model.embeddings.patch_embedding.weight", 3 * 8 * 8)]
    [InlineData("visual_projection.weight", 192)]
    public void ANewClipHasDeviationsThatFollowItsSize(string name, int inverseVariance)
    {
        using Clip clip = new(ClipConfig.Small);
        clip.Initialize(Device.Cpu, seed: 1);
        float[] values = clip.NamedParameters().Single(named => named.Name == name).Parameter.Value.ToArray();
        Assert.Equal(1, Math.Sqrt(inverseVariance * values.Average(value => (double)value * value)), 0.03);
    }

    [Fact]
    public void KeepsTheNamesOfTheClasses()
    {
        using TemporaryFolder folder = Goldens.Copy("vit_image_classification");
        JsonObject config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config["id2label"]!["3"] = "tench";
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        using (VisionTransformerClassifier model = VisionTransformerClassifier.FromPretrained(folder.Path)) model.SavePretrained(folder.Path);
        using VisionTransformerClassifier again = VisionTransformerClassifier.FromPretrained(folder.Path);
        Assert.Equal(["LABEL_0", "LABEL_1", "LABEL_2", "tench", "LABEL_4"], again.Labels);
    }

    private static void AssertKnownFieldsAgree(JsonObject theirs, JsonObject ours, string path)
    {
        if (path.Length == 0) foreach (string field in (string[])["architectures", "model_type", "dtype"]) Assert.True(ours.ContainsKey(field), $"no {field}");
        foreach ((string field, JsonNode? value) in ours)
        {
            if (!theirs.TryGetPropertyValue(field, out JsonNode? reference) || reference is null) continue;
            if (value is JsonObject inner && reference is JsonObject outer) AssertKnownFieldsAgree(outer, inner, $"{path}{field}.");
            else if (value is JsonValue number && number.TryGetValue(out double x)) Assert.True(Math.Abs(x - reference.GetValue<double>()) <= 1e-6 * Math.Abs(x), $"{path}{field}: {x}, expected {reference}");
            else Assert.True(JsonNode.DeepEquals(value, reference), $"{path}{field}: {value?.ToJsonString()}, expected {reference.ToJsonString()}");
        }
    }
}
