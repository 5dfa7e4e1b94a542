using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>One step of a trainer on a batch in the memory of the host.</summary>
public delegate StepResult TrainingStep(Trainer trainer, ImageTextBatch batch, TrainingOptions options);

/// <summary>A model with its method: all that the training loop needs to know of either.</summary>
/// <param name="model">The weights that a run writes as a Hugging Face folder.</param>
/// <param name="objective">The method, around the model.</param>
/// <param name="step">One step; <see cref="Whole"/> for a method that takes a batch at once.</param>
public sealed class TrainableModel(PretrainedModel model, PretrainingObjective objective, TrainingStep step) : IDisposable
{
    /// <summary>The weights that a run writes as a Hugging Face folder.</summary>
    public PretrainedModel Model => model;

    /// <summary>The method, around the model.</summary>
    public PretrainingObjective Objective => objective;

    /// <summary>Null for methods that read no texts.</summary>
    public TextTokenizer? Tokenizer { get; init; }

    public required ImagePreprocessor Preprocessor { get; init; }

    public required Device Device { get; init; }

    /// <summary>Side of the pictures.</summary>
    public required int ImageSize { get; init; }

    /// <summary>What is read of a sample besides its picture; its caption when null.</summary>
    public ISampleTask? Task { get; init; }

    /// <summary>Longest text in tokens.</summary>
    public int ContextLength { get; init; }

    /// <summary>Whether a batch may go through the model in pieces.</summary>
    public bool TakesMicroBatches { get; init; }

    /// <summary>Whether a step is the same work for every batch, so that a graph of it can be recorded.</summary>
    public bool TakesGraph { get; init; }

    /// <summary>Factor of the learning rate by the name of a parameter; null for 1.</summary>
    public Func<string, double>? LearningRateFactor { get; init; }

    /// <summary>Draws what the model makes of pictures, for <c>reconstructions.png</c>; null for methods that show nothing.</summary>
    public Func<IReadOnlyList<RgbImage>, RgbImage>? Draw { get; init; }

    /// <summary>The step of a method that takes a batch at once.</summary>
    /// <typeparam name="TBatch">As the method takes it.</typeparam>
    /// <param name="objective">The method.</param>
    /// <param name="upload">Makes its batch of the host's.</param>
    public static TrainingStep Whole<TBatch>(PretrainingObjective<TBatch> objective, Func<ImageTextBatch, TBatch> upload)
        => (trainer, batch, _) => trainer.TrainStep(objective, upload(batch));

    /// <summary>One step on a batch.</summary>
    public StepResult Step(Trainer trainer, ImageTextBatch batch, TrainingOptions options)
    {
        using TensorScope scope = new();
        return step(trainer, batch, options);
    }

    public void Dispose()
    {
        (objective as IDisposable)?.Dispose();
        model.Dispose();
    }
}
