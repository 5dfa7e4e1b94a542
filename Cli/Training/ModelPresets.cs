using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Models;

namespace MiniVlp.Cli.Training;

/// <summary>The sizes that <c>--model</c> can name.</summary>
public static class ModelPresets
{
    /// <summary>
    /// Trains in a minute on two cores: 32 px in patches of 8, width 128 in 4 heads, 3 blocks for pictures and 2 for texts, 24 text tokens.
    /// </summary>
    public static ClipConfig Tiny { get; } = ClipConfig.Small with
    {
        Vision = new() { Width = 128, Layers = 3, Heads = 4, HiddenWidth = 512 },
        Text = new() { Width = 128, Layers = 2, Heads = 4, HiddenWidth = 512 },
        ProjectionSize = 64,
        ImageSize = 32,
        PatchSize = 8,
        ContextLength = 24,
    };

    /// <summary>Names and sizes, from small to large.</summary>
    public static IReadOnlyList<(string Name, ClipConfig Config)> All { get; } =
    [
        ("tiny", Tiny), ("small", ClipConfig.Small), ("vit-b-32", ClipConfig.VitB32), ("vit-b-16", ClipConfig.VitB16), ("vit-l-14", ClipConfig.VitL14),
    ];

    /// <summary>The sizes of that name.</summary>
    /// <exception cref="ToolException">There is no such name.</exception>
    public static ClipConfig Find(string name) => RecipePresets.Find(All, name);
}
