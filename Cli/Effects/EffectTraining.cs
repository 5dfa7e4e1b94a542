using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>The one training loop of all experiments: AdamW, warm-up and cosine, gradients clipped to norm 1.</summary>
internal static class EffectTraining
{
    /// <summary>Trains an objective whose model has values.</summary>
    /// <param name="objective">What is trained.</param>
    /// <param name="run">Seed, device, progress.</param>
    /// <param name="samples">Samples that there are.</param>
    /// <param name="batchSize">Samples a step.</param>
    /// <param name="steps">Steps.</param>
    /// <param name="learningRate">The largest.</param>
    /// <param name="weightDecay">Of matrices.</param>
    /// <param name="batch">Makes the batch of the given samples at a step.</param>
    public static void Run<TBatch>(PretrainingObjective<TBatch> objective, ExperimentRun run, int samples, int batchSize, int steps, float learningRate, float weightDecay, Func<int[], int, TBatch> batch)
    {
        objective.TotalSteps = steps;
        objective.StepsPerEpoch = Math.Max(1, samples / batchSize);
        AdamW optimizer = new(ParameterGroup.SplitByDecay(objective.Model.NamedParameters(), weightDecay, RecipeSettings.LearningRateFactor), learningRate);
        using Trainer trainer = new(objective, optimizer, new TrainerOptions { Schedule = LearningRateSchedule.Cosine(learningRate, steps / 20, steps), ClipNorm = 1, Seed = (ulong)run.Seed });
        EffectOrder order = new(samples, run.Seed);
        objective.Model.Train();
        for (int step = 0; step < steps; step++)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            using TensorScope scope = new();
            trainer.TrainStep(objective, batch(order.Next(batchSize), step));
            run.Report((step + 1.0) / steps);
        }

        objective.Model.Evaluate();
    }
}
