using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>A method that makes a model for a task of a pre-trained one: it has no sizes of its own, starts from a folder, and keeps its tokenizer.</summary>
/// <typeparam name="TPretrained">What it starts from.</typeparam>
/// <typeparam name="TModel">What it trains, also further.</typeparam>
public abstract class FineTuningRecipe<TPretrained, TModel> : ITrainingRecipe
    where TPretrained : PretrainedModel
    where TModel : PretrainedModel
{
    public abstract string Name { get; }

    public abstract string Description { get; }

    public abstract RecipeDefaults Defaults { get; }

    public abstract TextKind Texts { get; }

    public IReadOnlyList<string> Presets => [];

    public bool ReadsTexts => true;

    /// <summary>Name of the loss in the log.</summary>
    protected abstract string LossName { get; }

    /// <summary>What the loss comes to by chance.</summary>
    protected virtual IReadOnlyList<ChanceLevel> ChanceLevels => [];

    public int ImageSizeOf(string preset) => throw NoFolder(preset);

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed) => throw NoFolder(preset);

    public TrainableModel Load(string folder, RecipeSettings settings, Device device)
    {
        PretrainedModel found = Architectures.Load(folder, device);
        TModel model;
        switch (found)
        {
            case TModel further:
                model = further;
                break;
            case TPretrained pretrained:
                using (pretrained) model = Begin(pretrained, settings.Seed);
                break;
            default:
                found.Dispose();
                throw new ToolException($"{folder}: the recipe {Name} starts from {typeof(TPretrained).Name} or {typeof(TModel).Name}, not from {found.Architecture}.");
        }

        TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder);
        (int imageSize, int positions, int vocabulary) = SizesOf(model);
        if (tokenizer.VocabularySize > vocabulary) throw new ToolException($"{folder}: the tokenizer has {tokenizer.VocabularySize} pieces, the model only {vocabulary}.");
        TaskObjective objective = new(model, LossName, batch => Loss(model, batch, device), ChanceLevels);
        return new TrainableModel(model, objective, TrainableModel.Whole(objective, batch => batch))
        {
            Tokenizer = tokenizer,
            Preprocessor = ImagePreprocessor.FromPretrained(folder),
            Device = device,
            ImageSize = imageSize,
            ContextLength = Math.Min(positions, RecipeSettings.LongestCaption),
            Task = TaskOf(tokenizer, positions),
        };
    }

    /// <summary>The model with the parts that the task adds.</summary>
    /// <param name="pretrained">Stays as it is.</param>
    /// <param name="seed">Of what is new.</param>
    protected abstract TModel Begin(TPretrained pretrained, int seed);

    /// <summary>Side of the pictures, positions of texts, pieces of the vocabulary.</summary>
    protected abstract (int ImageSize, int Positions, int Vocabulary) SizesOf(TModel model);

    /// <summary>What is read of a sample.</summary>
    protected abstract ISampleTask TaskOf(TextTokenizer tokenizer, int positions);

    /// <summary>The loss of a batch, a scalar.</summary>
    protected abstract Tensor Loss(TModel model, ImageTextBatch batch, Device device);

    private ToolException NoFolder(string preset)
        => new($"--model {preset}: the recipe {Name} starts from a trained model; name the folder of one ({typeof(TPretrained).Name} or {typeof(TModel).Name}).");
}
