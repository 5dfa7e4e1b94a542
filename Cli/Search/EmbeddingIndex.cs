using System.Numerics.Tensors;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Cli.Search;

/// <summary>A picture of an <see cref="EmbeddingIndex"/>.</summary>
/// <param name="Key">Its name in the data.</param>
/// <param name="Caption">Its caption there; empty when it has none.</param>
public sealed record IndexedItem(string Key, string Caption);

/// <summary>One answer of a search.</summary>
/// <param name="Rank">From 1.</param>
/// <param name="Score">Cosine of the angle between picture and text.</param>
/// <param name="Item">The picture.</param>
public sealed record SearchHit(int Rank, float Score, IndexedItem Item);

/// <summary>
/// Unit vectors of pictures in one safetensors file: a tensor <c>image_embeds</c> [pictures, size], and in the header's metadata the
/// architecture of the model and a JSON list of keys and captions.
/// </summary>
/// <param name="Architecture">Class name of the model that made the vectors.</param>
/// <param name="Items">What the rows are.</param>
/// <param name="Vectors">Row by row.</param>
/// <param name="Size">Length of a vector.</param>
public sealed record EmbeddingIndex(string Architecture, IReadOnlyList<IndexedItem> Items, float[] Vectors, int Size)
{
    private const string TensorName = "image_embeds", ItemsField = "items", ArchitectureField = "architecture";

    // Anything but JSON's own escapes would only make the header longer.
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The distinct pictures of an encoded data set, each with the first key and caption that it has there.</summary>
    public static EmbeddingIndex From(EmbeddedDataset data, string architecture)
    {
        IndexedItem?[] items = new IndexedItem?[data.ImageCount];
        foreach (EmbeddedSample sample in data.Samples) items[sample.ImageIndex] ??= new IndexedItem(sample.Key, sample.Caption);
        return new EmbeddingIndex(architecture, [.. items.Select(item => item!)], data.ImageVectors, data.Size);
    }

    /// <summary>Writes the file; it appears whole or not at all.</summary>
    public void Save(string path)
    {
        JsonArray items = [.. Items.Select(item => (JsonNode?)new JsonArray(item.Key, item.Caption))];
        using SafetensorsWriter writer = SafetensorsWriter.Create(path, new Dictionary<string, string>(StringComparer.Ordinal)
        {
            [ArchitectureField] = Architecture,
            [ItemsField] = items.ToJsonString(Compact),
        });
        writer.Declare(TensorName, SafetensorsDtype.F32, (ReadOnlySpan<int>)[Items.Count, Size]);
        writer.Write(TensorName, Vectors);
        writer.Complete();
    }

    /// <summary>Reads a file that <see cref="Save"/> wrote.</summary>
    /// <exception cref="ToolException">It is no index; the message names the field.</exception>
    /// <exception cref="SafetensorsException">It is no safetensors file, or damaged.</exception>
    public static EmbeddingIndex Load(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Entries.TryGetValue(TensorName, out TensorEntry? entry) || entry.Shape.Length != 2)
            throw new ToolException($"{path}: an index holds a tensor '{TensorName}' [pictures, size]; make one with 'minivlp embed'.");
        int count = checked((int)entry.Shape[0]), size = checked((int)entry.Shape[1]);
        IndexedItem[] items = ReadItems(path, file.Metadata.GetValueOrDefault(ItemsField, string.Empty));
        if (items.Length != count) throw new ToolException($"{path}: metadata field '{ItemsField}' lists {items.Length} pictures, the tensor '{TensorName}' has {count}.");
        float[] vectors = new float[entry.ElementCount];
        file.ReadFloat32(TensorName, vectors);
        return new EmbeddingIndex(file.Metadata.GetValueOrDefault(ArchitectureField, string.Empty), items, vectors, size);
    }

    /// <summary>The nearest pictures, best first; equal scores in the order of the index.</summary>
    /// <param name="query">A unit vector.</param>
    /// <param name="count">How many.</param>
    public IReadOnlyList<SearchHit> Search(ReadOnlySpan<float> query, int count)
    {
        float[] scores = new float[Items.Count];
        for (int i = 0; i < scores.Length; i++) scores[i] = TensorPrimitives.Dot(query, Vectors.AsSpan(i * Size, Size));
        return
        [
            .. Enumerable.Range(0, scores.Length).OrderByDescending(i => scores[i]).Take(count)
                .Select((row, place) => new SearchHit(place + 1, scores[row], Items[row])),
        ];
    }

    private static IndexedItem[] ReadItems(string path, string json)
    {
        try
        {
            if (JsonNode.Parse(json) is JsonArray list) return [.. list.Select(node => new IndexedItem(node![0]!.GetValue<string>(), node[1]!.GetValue<string>()))];
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or ArgumentOutOfRangeException or NullReferenceException)
        {
            throw new ToolException($"{path}: metadata field '{ItemsField}' must be a JSON list of [key, caption]: {exception.Message}");
        }

        throw new ToolException($"{path}: metadata field '{ItemsField}' must be a JSON list of [key, caption].");
    }
}
