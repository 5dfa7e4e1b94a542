using System.Buffers;
using System.Text.Json;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Data.Scenes;

/// <summary>Scenes as pictures with captions. Nothing is stored: a sample is drawn when asked for, the same for every thread and order.</summary>
public sealed class SceneDataset : IImageTextDataset
{
    // A gallery with unique captions gives up after looking at this many scenes for each one it needs.
    private const int CandidatesPerUnique = 200;

    private readonly SceneRenderer _renderer;
    private readonly CaptionNoise _noise;
    private readonly long[]? _uniqueIndices;

    /// <summary>Makes a data set.</summary>
    /// <param name="options">Which scenes, and how they are shown.</param>
    /// <exception cref="ArgumentException">An option is out of bounds, or the world has fewer distinct captions than asked for.</exception>
    public SceneDataset(SceneDatasetOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Count < 1)
        {
            throw new ArgumentException($"A scene data set needs a Count of at least 1, but it is {options.Count}.", nameof(options));
        }

        Options = options;
        World = new SceneWorld(options.World);
        _renderer = new SceneRenderer(options.ImageSize);
        _noise = new CaptionNoise(options.NoiseRate, options.NoiseKinds);
        _uniqueIndices = options.UniqueCaptions ? FindUnique() : null;
    }

    /// <summary>What the data set was made from.</summary>
    public SceneDatasetOptions Options { get; }

    /// <summary>The world that the scenes are from.</summary>
    public SceneWorld World { get; }

    /// <inheritdoc/>
    public string Name => Options.Split switch
    {
        SceneSplit.Train => "scenes/train",
        SceneSplit.Validation => "scenes/validation",
        _ => "scenes/test",
    };

    /// <inheritdoc/>
    public int Count => Options.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        Scene scene = SceneAt(index);
        NoisyCaption caption = CaptionOf(scene);
        return new ImageTextSample($"{Name}/{index:D6}", _renderer.Render(scene), caption.Text, Describe(caption));
    }

    /// <inheritdoc/>
    public string GetCaption(int index) => CaptionAt(index).Text;

    /// <summary>The caption of a sample with what was done to it.</summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is outside the data set.</exception>
    public NoisyCaption CaptionAt(int index) => CaptionOf(SceneAt(index));

    /// <summary>A further true caption of a sample's scene; variant 0 is the sample's own before noise.</summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    /// <param name="variant">Which one, from 0. In a plain style, variants of simple scenes are equal.</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is outside the data set, or the variant is negative.</exception>
    public string CleanCaptionAt(int index, int variant = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(variant);
        Scene scene = SceneAt(index);
        return SceneCaptions.Write(scene, Options.Style, CaptionSeed(scene, variant));
    }

    /// <summary>The scene behind a sample.</summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is outside the data set.</exception>
    public Scene SceneAt(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        return World.At(Options.Split, _uniqueIndices is null ? index : _uniqueIndices[index]);
    }

    private static ulong CaptionSeed(Scene scene, int variant)
    {
        return SceneHash.Combine(scene.Fingerprint, (ulong)variant);
    }

    /// <summary>Noise is written into the sample's metadata: {"noise":"WrongColor","clean":"a red circle"}; clean samples have none.</summary>
    private static JsonElement? Describe(NoisyCaption caption)
    {
        if (caption.Kind == CaptionNoiseKind.None)
        {
            return null;
        }

        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteString("noise", caption.Kind.ToString());
            writer.WriteString("clean", caption.Clean);
            writer.WriteEndObject();
        }

        using JsonDocument document = JsonDocument.Parse(buffer.WrittenMemory);
        return document.RootElement.Clone();
    }

    private NoisyCaption CaptionOf(Scene scene)
    {
        string clean = SceneCaptions.Write(scene, Options.Style, CaptionSeed(scene, 0));
        if (Options.NoiseRate == 0)
        {
            return new NoisyCaption(clean, CaptionNoiseKind.None, clean);
        }

        return _noise.Apply(clean, scene, Options.World, OtherCaption, scene.Fingerprint);
    }

    private string OtherCaption(ulong number)
    {
        // Of the same split, so that noise carries nothing from one split into another.
        Scene other = World.At(Options.Split, (long)(number % (ulong)Math.Max(Count, 1000)));
        return SceneCaptions.Write(other, Options.Style, CaptionSeed(other, 0));
    }

    private long[] FindUnique()
    {
        var indices = new List<long>(Count);
        var seen = new HashSet<SceneStatement>();
        for (long candidate = 0; indices.Count < Count; candidate++)
        {
            if (candidate == (long)Count * CandidatesPerUnique)
            {
                throw new ArgumentException(
                    $"The scene world gave only {indices.Count} distinct captions among {candidate} scenes, but Count asks for {Count}: lower it or allow more shapes, colours and relations.");
            }

            Scene scene = World.At(Options.Split, candidate);
            if (seen.Add(SceneCaptions.Describe(scene, Options.Style, CaptionSeed(scene, 0)).Canonical()))
            {
                indices.Add(candidate);
            }
        }

        return [.. indices];
    }
}
