using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Opens a model folder whose class is known only from its config.</summary>
public static class Architectures
{
    private static readonly Dictionary<string, Func<string, Device, PretrainedModel>> Loaders = new(StringComparer.Ordinal)
    {
        ["ViTModel"] = VisionTransformer.FromPretrained,
        ["ViTForImageClassification"] = VisionTransformerClassifier.FromPretrained,
        ["BertModel"] = Bert.FromPretrained,
        ["BertForMaskedLM"] = BertForPreTraining.FromPretrained,
        ["BertForPreTraining"] = BertForPreTraining.FromPretrained,
        ["CLIPModel"] = Clip.FromPretrained,
        ["VisionTextDualEncoderModel"] = VisionTextDualEncoder.FromPretrained,
        ["SiglipModel"] = Siglip.FromPretrained,
        ["ViTMAEForPreTraining"] = Mae.FromPretrained,
        ["BlipForConditionalGeneration"] = BlipCaptioning.FromPretrained,
        ["BlipForQuestionAnswering"] = BlipQuestionAnswering.FromPretrained,
        ["BlipForImageTextRetrieval"] = BlipRetrieval.FromPretrained,
        ["BlipForPreTraining"] = BlipForPreTraining.FromPretrained,
        ["AlbefForPreTraining"] = Albef.FromPretrained,
        ["AlbefForQuestionAnswering"] = AlbefQuestionAnswering.FromPretrained,
        ["AlbefForVisualEntailment"] = AlbefEntailment.FromPretrained,
        ["AlbefForImagePairs"] = AlbefImagePairs.FromPretrained,
        ["ViltModel"] = Vilt.FromPretrained,
        ["ViltForMaskedLM"] = ViltForMaskedLM.FromPretrained,
        ["ViltForQuestionAnswering"] = ViltForQuestionAnswering.FromPretrained,
        ["ViltForImageAndTextRetrieval"] = ViltForImageAndTextRetrieval.FromPretrained,
        ["ViltForImagesAndTextClassification"] = ViltForImagesAndTextClassification.FromPretrained,
        ["ViltForTokenClassification"] = ViltForTokenClassification.FromPretrained,
        ["ViltForPreTraining"] = ViltForPreTraining.FromPretrained,
    };

    /// <summary>The class names of Hugging Face that this library can load.</summary>
    public static IReadOnlyCollection<string> Known => Loaders.Keys;

    /// <summary>Loads a Hugging Face folder by the first entry of <c>architectures</c> in its config.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    /// <exception cref="ModelFormatException">The architecture is missing or unknown.</exception>
    public static PretrainedModel Load(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        string name = json.FirstText("architectures") ?? throw new ModelFormatException($"{json.File}: field 'architectures' must name a class; it is missing or empty.");
        if (!Loaders.TryGetValue(name, out Func<string, Device, PretrainedModel>? load))
            throw new ModelFormatException($"{json.File}: field 'architectures' names '{name}', which is unknown; known are {string.Join(", ", Loaders.Keys.Order(StringComparer.Ordinal))}.");
        return load(folder, device ?? Device.Cpu);
    }
}
