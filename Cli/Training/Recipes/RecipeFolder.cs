using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>Opens the model of a folder that is to be trained further.</summary>
public static class RecipeFolder
{
    /// <summary>The model, when it is of the class that a recipe trains.</summary>
    /// <typeparam name="TModel">The class.</typeparam>
    /// <exception cref="ToolException">It is of another class.</exception>
    public static TModel Load<TModel>(ITrainingRecipe recipe, string folder, Device device)
        where TModel : PretrainedModel
    {
        PretrainedModel model = Architectures.Load(folder, device);
        if (model is TModel wanted) return wanted;
        model.Dispose();
        throw new ToolException($"{folder}: the recipe {recipe.Name} trains a {typeof(TModel).Name}, not a {model.Architecture}.");
    }
}
