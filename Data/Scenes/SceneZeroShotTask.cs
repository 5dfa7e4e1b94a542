using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>
/// Zero-shot classification of single-object scenes: name the classes in words, compare a picture with the mean embedding of each class's
/// prompts, take the nearest (Radford et al. 2021, arXiv 2103.00020, section 3.1).
/// </summary>
public sealed class SceneZeroShotTask
{
    private readonly Func<SceneObject, int> _label;

    private SceneZeroShotTask(string name, ImmutableArray<string> classNames, ImmutableArray<ImmutableArray<string>> prompts, Func<SceneObject, int> label)
    {
        Name = name;
        ClassNames = classNames;
        Prompts = prompts;
        _label = label;
    }

    /// <summary>"color" or "shape".</summary>
    public string Name { get; }

    /// <summary>The class names; a class's place here is its label.</summary>
    public ImmutableArray<string> ClassNames { get; }

    /// <summary>For each class its prompts, captions of the grammar that name the class and run over all other attributes.</summary>
    public ImmutableArray<ImmutableArray<string>> Prompts { get; }

    /// <summary>Which of the world's colours the object has.</summary>
    /// <param name="options">The world.</param>
    public static SceneZeroShotTask Color(SceneOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new SceneZeroShotTask(
            "color",
            [.. options.Colors.Select(SceneWords.Of)],
            [.. options.Colors.Select(color => PromptsFor(options, [color], options.Shapes))],
            item => options.Colors.IndexOf(item.Color));
    }

    /// <summary>Which of the world's shapes the object has.</summary>
    /// <param name="options">The world.</param>
    public static SceneZeroShotTask Shape(SceneOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new SceneZeroShotTask(
            "shape",
            [.. options.Shapes.Select(SceneWords.Of)],
            [.. options.Shapes.Select(shape => PromptsFor(options, options.Colors, [shape]))],
            item => options.Shapes.IndexOf(item.Shape));
    }

    /// <summary>The right class of a scene with one object.</summary>
    /// <param name="scene">The scene.</param>
    /// <exception cref="ArgumentException">The scene does not have exactly one object, or its class is not one of this task's.</exception>
    public int LabelOf(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        if (scene.Objects is not [SceneObject only])
        {
            throw new ArgumentException($"Zero-shot labels are for scenes with one object, this one has {scene.Objects.Length}.", nameof(scene));
        }

        int label = _label(only);
        return label >= 0 ? label : throw new ArgumentException($"The scene's {Name} is not among the classes of this task.", nameof(scene));
    }

    private static ImmutableArray<string> PromptsFor(SceneOptions options, ImmutableArray<SceneColor> colors, ImmutableArray<SceneShape> shapes)
    {
        // Plain captions leave "medium" unsaid, and so do the prompts.
        return
        [
            .. from size in options.Sizes
               from color in colors
               from shape in shapes
               select SceneGrammar.Write(new ObjectPhrase(shape, color, size == SceneSize.Medium ? null : size)),
        ];
    }
}
