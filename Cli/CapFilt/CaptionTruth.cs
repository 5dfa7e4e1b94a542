using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.CapFilt;

/// <summary>Whether a text is true of a picture, where the data set can tell.</summary>
public static class CaptionTruth
{
    /// <summary>
    /// Scenes are asked themselves. Elsewhere the metadata fields <c>noise</c> and <c>clean</c> tell, which noisy scenes have when they were
    /// written to shards; without them nothing is known.
    /// </summary>
    /// <param name="dataset">The data set.</param>
    /// <param name="index">Of the sample.</param>
    /// <param name="sample">The sample.</param>
    /// <param name="text">Its caption or another text.</param>
    public static bool? Of(IImageTextDataset dataset, int index, ImageTextSample sample, string text)
    {
        if (dataset is SceneDataset scenes) return SceneGrammar.TryParse(text, out SceneStatement? statement) && statement.HoldsIn(scenes.SceneAt(index));
        if (sample.Metadata is not { ValueKind: JsonValueKind.Object } metadata) return null;
        if (metadata.TryGetProperty("clean", out JsonElement clean) && clean.ValueKind == JsonValueKind.String && clean.GetString() == text) return true;
        return metadata.TryGetProperty("noise", out _) && text == sample.Caption ? false : null;
    }
}
