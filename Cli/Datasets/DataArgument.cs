using System.CommandLine;
using System.Globalization;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Skia;

namespace MiniVlp.Cli.Datasets;

/// <summary>What <c>--data</c> names: files and folders of pictures with captions, or the built-in scenes.</summary>
public static class DataArgument
{
    /// <summary>Samples of a scene data set when none are asked for.</summary>
    public const int DefaultSceneCount = 16_384;

    private const string Syntax = "scenes[:train|validation|test[:COUNT]]", AnnotationsOption = "--annotations";

    /// <summary>The option, shared by all commands that read pictures.</summary>
    public static Option<string[]> CreateOption() => new("--data")
    {
        Description = $"Pictures with captions: .tar shards (patterns allowed), a COCO .json, a .csv or .tsv, a folder, or {Syntax}; scenes-full is the larger world.",
        HelpName = "DATA",
        Required = true,
        AllowMultipleArgumentsPerToken = true,
    };

    /// <summary>Options that say how tables and folders are read.</summary>
    public static (Option<string?> ImageColumn, Option<string?> CaptionColumn, Option<string?> ImageRoot) CreateTableOptions() => (
        new("--image-column") { Description = "Column of a table with the picture's path.", HelpName = "NAME" },
        new("--caption-column") { Description = "Column of a table with the caption.", HelpName = "NAME" },
        new("--image-root") { Description = "Folder that picture paths of a table or a COCO file are relative to.", HelpName = "DIR" });

    /// <summary>The option that names the answers to a file of questions.</summary>
    public static Option<string?> CreateAnnotationsOption() => new(AnnotationsOption) { Description = "With a VQA v2 file of questions as --data: the file of answers.", HelpName = "FILE.json" };

    /// <summary>Opens what was named.</summary>
    /// <param name="specs">The values of the option.</param>
    /// <param name="sceneSize">Side in pixels of the pictures of scenes.</param>
    /// <param name="sceneSplit">Split of scenes when the argument does not say.</param>
    /// <param name="sceneCount">Number of scenes when the argument does not say.</param>
    /// <param name="options">How tables are read; null for the defaults.</param>
    /// <param name="captionNoise">Share of the captions of scenes that are made wrong.</param>
    /// <param name="texts">What scenes are shown with.</param>
    /// <param name="annotations">With a VQA v2 file of questions: the file of answers.</param>
    /// <exception cref="ToolException">A scene argument is misspelt, scenes are mixed with files, or answers are named without one file of questions.</exception>
    public static IImageTextDataset Open(
        IReadOnlyList<string> specs, int sceneSize = 64, SceneSplit sceneSplit = SceneSplit.Train, int sceneCount = DefaultSceneCount, ImageTextOptions? options = null, double captionNoise = 0,
        TextKind texts = TextKind.Captions, string? annotations = null)
    {
        if (annotations is not null)
        {
            return specs is [string questions] && !IsScenes(questions)
                ? new VqaDataset(questions, annotations, new SkiaImageDecoder(), options)
                : throw new ToolException($"{AnnotationsOption} goes with one file of questions as --data.");
        }

        if (!specs.Any(IsScenes)) return ImageTextDataset.Open(specs, new SkiaImageDecoder(), options);
        if (specs.Count > 1) throw new ToolException($"--data: {specs.First(IsScenes)} cannot be mixed with other data.");
        SceneDataset scenes = OpenScenes(specs[0], sceneSize, sceneSplit, sceneCount, captionNoise);
        return texts switch { TextKind.Questions => new SceneQuestionDataset(scenes.Options), TextKind.Sentences => new SceneEntailmentDataset(scenes.Options), _ => scenes };
    }

    /// <summary>Whether an argument names the built-in scenes.</summary>
    public static bool IsScenes(string spec) => spec is "scenes" or "scenes-full" || spec.StartsWith("scenes:", StringComparison.Ordinal) || spec.StartsWith("scenes-full:", StringComparison.Ordinal);

    private static SceneDataset OpenScenes(string spec, int size, SceneSplit split, int count, double captionNoise)
    {
        string[] parts = spec.Split(':');
        if (parts.Length > 3) throw Misspelt(spec);
        if (parts.Length > 1)
        {
            split = parts[1] switch { "train" => SceneSplit.Train, "validation" or "val" => SceneSplit.Validation, "test" => SceneSplit.Test, _ => throw Misspelt(spec) };
        }

        if (parts.Length > 2 && !(int.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out count) && count is > 0 and <= 100_000_000)) throw Misspelt(spec);
        SceneOptions world = parts[0] == "scenes" ? SceneOptions.Demo : new SceneOptions();
        return new SceneDataset(new SceneDatasetOptions { World = world, Split = split, Count = count, ImageSize = size, NoiseRate = captionNoise });
    }

    private static ToolException Misspelt(string spec) => new($"--data {spec}: expected {Syntax}.");
}
