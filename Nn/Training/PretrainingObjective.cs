namespace MiniVlp.Nn.Training;

/// <summary>
/// A pre-training method: the model that the optimizer trains, and what surrounds it, such as queues and a momentum encoder. A
/// <see cref="Trainer"/> made for it saves all of that together.
/// </summary>
public abstract class PretrainingObjective
{
    /// <summary>What the optimizer trains.</summary>
    public abstract Module Model { get; }

    /// <summary>What must be remembered besides, under names that become prefixes in the file.</summary>
    public virtual IEnumerable<(string Name, ITrainingState State)> State => [];

    /// <summary>The learnt temperature, to be logged and watched; null where there is none.</summary>
    public virtual LearnedTemperature? Temperature => null;

    /// <summary>Steps taken before the present one; the trainer sets it, also after it has loaded a checkpoint.</summary>
    public int Step { get; internal set; }

    /// <summary>Steps of the whole training, for schedules over all of it; 0 while unknown.</summary>
    public int TotalSteps { get; set; }

    /// <summary>Steps of one pass over the data, for ramps over the first epochs; 0 while unknown.</summary>
    public int StepsPerEpoch { get; set; }

    /// <summary>What the parts of the loss come to at the present step for a model that looks at nothing, so that a training that stays there is noticed.</summary>
    /// <param name="batchSize">Samples per step.</param>
    public virtual IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) => [];

    /// <summary>
    /// Called after the backward pass and before the update, once loss and gradients have been found finite, while the tensors of the step are
    /// still there: the place to put features into a queue, which the loss and its gradient have read until now.
    /// </summary>
    public virtual void AfterBackward()
    {
    }

    /// <summary>Called after the optimizer's update: the place for constraints, such as the bounds of a temperature.</summary>
    /// <param name="step">Number of the step, from 1.</param>
    public virtual void AfterUpdate(int step)
    {
    }

    /// <summary>A ramp for weights that are to grow: from 0 at the first step to 1 after <paramref name="steps"/> of them, and 1 at once when that is not positive.</summary>
    /// <param name="steps">Length of the ramp, such as <see cref="StepsPerEpoch"/>.</param>
    protected float Ramp(int steps) => steps <= 0 ? 1f : Math.Min(1f, (float)Step / steps);
}

/// <summary>A pre-training method with the batches that it takes.</summary>
/// <typeparam name="TBatch">Pairs of pictures and texts, a tensor of pictures, two views of them.</typeparam>
public abstract class PretrainingObjective<TBatch> : PretrainingObjective
{
    /// <summary>
    /// The loss of a batch. It runs while a tape records and draws from <see cref="Tensors.Generator.Current"/>; momentum encoders are updated first
    /// and run under <see cref="Autograd.Tape.NoGradient"/>.
    /// </summary>
    /// <param name="batch">The batch.</param>
    public abstract LossParts Loss(TBatch batch);
}
