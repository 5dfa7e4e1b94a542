namespace MiniVlp.Cli.Training.Recipes;

/// <summary>The methods that <c>minivlp train</c> knows.</summary>
public static class TrainingRecipes
{
    /// <summary>All: contrast, pictures alone, words and pictures together, then what starts from those.</summary>
    public static IReadOnlyList<ITrainingRecipe> All { get; } =
    [
        new ClipRecipe(), new MocoRecipe(), new MaeRecipe(), new ViltRecipe(), new AlbefRecipe(), new BlipRecipe(),
        new AlbefQuestionRecipe(), new BlipQuestionRecipe(), new AlbefEntailmentRecipe(),
    ];

    /// <summary>The method of that name.</summary>
    /// <exception cref="ToolException">There is no such method.</exception>
    public static ITrainingRecipe Find(string name)
    {
        foreach (ITrainingRecipe recipe in All)
            if (recipe.Name == name) return recipe;
        throw new ToolException($"--recipe {name}: there is no such recipe; recipes are {string.Join(", ", All.Select(recipe => recipe.Name))}.");
    }
}
