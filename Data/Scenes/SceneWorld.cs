using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>
/// An endless supply of scenes: split and index give a scene, the same one whatever was asked before, on whatever thread. A scene's own
/// content decides its split, so train and validation never share one, not even between worlds with different seeds.
/// </summary>
public sealed class SceneWorld
{
    private const int MaxAttempts = 20_000;

    private readonly ScenePlacement _placement;

    /// <summary>Makes a world.</summary>
    /// <param name="options">What it is made of.</param>
    /// <exception cref="ArgumentException">The options cannot make a world; the message names the option.</exception>
    public SceneWorld(SceneOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Options = options;
        _placement = new ScenePlacement(options);
    }

    /// <summary>What the world is made of.</summary>
    public SceneOptions Options { get; }

    /// <summary>The split that a scene belongs to: 8 in 10 by hash to train, 1 to validation, 1 to test.</summary>
    /// <param name="scene">The scene.</param>
    public SceneSplit SplitOf(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ulong key = Options.Holdout == SceneHoldout.Scenes ? scene.Fingerprint : scene.CompositionKey;
        return (key % 10) switch
        {
            8 => SceneSplit.Validation,
            9 => SceneSplit.Test,
            _ => SceneSplit.Train,
        };
    }

    /// <summary>The scene at a place of a split.</summary>
    /// <param name="split">The split.</param>
    /// <param name="index">Any number from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is negative.</exception>
    /// <exception cref="InvalidOperationException">The options leave this split no combination of shapes and colours.</exception>
    public Scene At(SceneSplit split, long index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            SampleRandom random = SampleRandom.For(Options.Seed, ((long)split << 32) | (long)attempt, index);
            Scene scene = _placement.Draw(ref random);
            if (SplitOf(scene) == split)
            {
                return scene;
            }
        }

        throw new InvalidOperationException(
            $"The scene options leave the {split} split no combination of shapes and colours: hold out scenes instead, or allow more shapes and colours.");
    }

    /// <summary>The first scenes of a split.</summary>
    /// <param name="split">The split.</param>
    /// <param name="count">How many.</param>
    public ImmutableArray<Scene> Take(SceneSplit split, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return [.. Enumerable.Range(0, count).Select(index => At(split, index))];
    }
}
