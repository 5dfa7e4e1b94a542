using System.Text.Json;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Data.Scenes;

/// <summary>
/// Scenes with a text that asks something of a model, in place of a caption; what is right stands in <see cref="ImageTextSample.Metadata"/>. Scenes
/// that leave nothing to ask are passed over. Of the options, <see cref="SceneDatasetOptions.World"/>, <see cref="SceneDatasetOptions.Split"/>,
/// <see cref="SceneDatasetOptions.Count"/> and <see cref="SceneDatasetOptions.ImageSize"/> count.
/// </summary>
public abstract class SceneTaskDataset : IImageTextDataset
{
    // It gives up after looking at this many scenes for each one it needs.
    private const int CandidatesPerSample = 200;

    private readonly SceneWorld _world;
    private readonly SceneRenderer _renderer;
    private readonly Lazy<long[]> _indices;

    private protected SceneTaskDataset(SceneDatasetOptions options, string task)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Count < 1)
        {
            throw new ArgumentException($"A scene data set needs a Count of at least 1, but it is {options.Count}.", nameof(options));
        }

        Options = options;
        Name = $"scenes/{options.Split.ToString().ToLowerInvariant()}/{task}";
        _world = new SceneWorld(options.World);
        _renderer = new SceneRenderer(options.ImageSize);
        _indices = new Lazy<long[]>(Find);
    }

    /// <summary>What the data set was made from.</summary>
    public SceneDatasetOptions Options { get; }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => Options.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        Scene scene = SceneAt(index);
        SceneTask task = Ask(scene, scene.Fingerprint)!;
        return new ImageTextSample($"{Name}/{index:D6}", _renderer.Render(scene), task.Text, ImageFiles.Json(task.Describe));
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        Scene scene = SceneAt(index);
        return Ask(scene, scene.Fingerprint)!.Text;
    }

    /// <summary>The scene behind a sample.</summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is outside the data set.</exception>
    public Scene SceneAt(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _world.At(Options.Split, _indices.Value[index]);
    }

    /// <summary>The task of a scene, always the same for the same seed; null when it allows none.</summary>
    private protected abstract SceneTask? Ask(Scene scene, ulong seed);

    private protected static void Write(Utf8JsonWriter writer, SceneBox box)
    {
        writer.WriteStartArray();
        writer.WriteNumberValue(box.Left);
        writer.WriteNumberValue(box.Top);
        writer.WriteNumberValue(box.Right);
        writer.WriteNumberValue(box.Bottom);
        writer.WriteEndArray();
    }

    private long[] Find()
    {
        var indices = new List<long>(Count);
        for (long candidate = 0; indices.Count < Count; candidate++)
        {
            if (candidate == (long)Count * CandidatesPerSample)
            {
                throw new InvalidOperationException($"{Name}: only {indices.Count} of {candidate} scenes have something to ask, but Count is {Count}: allow more objects.");
            }

            Scene scene = _world.At(Options.Split, candidate);
            if (Ask(scene, scene.Fingerprint) is not null)
            {
                indices.Add(candidate);
            }
        }

        return [.. indices];
    }
}

/// <summary>A text about a scene and what is right.</summary>
/// <param name="Text">What the model reads.</param>
/// <param name="Describe">Writes the fields of the metadata.</param>
internal sealed record SceneTask(string Text, Action<Utf8JsonWriter> Describe);
