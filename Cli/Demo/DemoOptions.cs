using MiniVlp.Cli.Training;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;

namespace MiniVlp.Cli.Demo;

/// <summary>How large the demo is; the defaults fit into two minutes on two cores.</summary>
public sealed record DemoOptions
{
    public ClipConfig Model { get; init; } = ModelPresets.Tiny;

    public SceneOptions World { get; init; } = SceneOptions.Demo;

    public int TrainingScenes { get; init; } = 65_536;

    /// <summary>Scenes of the validation split, each with a caption of its own.</summary>
    public int GalleryScenes { get; init; } = 500;

    /// <summary>Single objects to classify.</summary>
    public int ZeroShotScenes { get; init; } = 500;

    /// <summary>Steps; null when the time decides.</summary>
    public int? Steps { get; init; }

    public double? Minutes { get; init; } = 1.3;

    public int BatchSize { get; init; } = 64;

    public float LearningRate { get; init; } = 8e-4f;

    public int Seed { get; init; }
}
