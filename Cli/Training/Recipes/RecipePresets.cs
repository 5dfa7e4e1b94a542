namespace MiniVlp.Cli.Training.Recipes;

/// <summary>Looks a size up by its name.</summary>
public static class RecipePresets
{
    /// <summary>The size of that name.</summary>
    /// <typeparam name="TConfig">Sizes of a model.</typeparam>
    /// <exception cref="ToolException">There is no such name.</exception>
    public static TConfig Find<TConfig>(IReadOnlyList<(string Name, TConfig Config)> sizes, string preset)
    {
        foreach ((string name, TConfig config) in sizes)
            if (name == preset) return config;
        throw new ToolException($"--model {preset}: neither a folder nor a preset; presets are {string.Join(", ", sizes.Select(size => size.Name))}.");
    }
}
