using MiniVlp.Models;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>
/// The pre-training of ALBEF (arXiv:2107.07651) with random weights, pictures and words. The queues are full from the first step, and no text is padded.
/// </summary>
internal static class CpuAlbef
{
    /// <summary>Tokens of a text, and features in each queue: what <c>minivlp train albef</c> has without other wishes.</summary>
    private const int Tokens = 32, QueueCapacity = 4096;

    private const int EndId = 3;

    private const double MaskedShare = 0.15;

    /// <summary>Of the momentum model each parameter is read in forward; its update reads both models' and writes one.</summary>
    private const double FloatsPerMomentumParameter = 4;

    /// <summary>
    /// One step: the momentum model follows; image tower and text layers of both models; contrast over batch and queues; the fusion layers for the B
    /// right pairs, B wrong images and B wrong texts, and of both models for the masked texts; backward, clipping, AdamW, and new features in the queues.
    /// <para>
    /// Operations are those of the matrix products and of the attention, pair by pair as the method has it (keys and values of an image count for
    /// every pair that it is in): three times those of forward for the trained model, once for the momentum model. The contrast's product counts
    /// three times, too: forward of both models, and the gradient of the features, as queues have none.
    /// </para>
    /// </summary>
    public static Workload TrainingStep(string name, AlbefConfig config, int batch)
    {
        double momentum = MomentumOperations(config, batch);
        double trained = momentum + FusionOperations(config, 3 * batch) + (2.0 * 3 * batch * config.Text.Width * 2);
        double contrast = 2 * 2.0 * batch * (batch + QueueCapacity) * config.ProjectionSize;
        double bytes = CpuOperations.Floats(((CpuModels.FloatsPerTrainedParameter + FloatsPerMomentumParameter) * Parameters(config))
            + CpuModels.Pixels(batch, config.Vision.Channels, config.Vision.ImageSize) + (2.0 * QueueCapacity * config.ProjectionSize));
        return new(name, (3 * trained) + momentum + (3 * contrast), bytes, device => Prepare(config, batch, device));
    }

    private static PreparedWorkload Prepare(AlbefConfig config, int batch, Device device)
    {
        CpuOperands operands = new(device);
        int vocabulary = config.Text.VocabularySize;
        Albef model = operands.Keep(new Albef(config));
        model.Initialize(device);
        model.Train();

        // As in the original, the pairs of a batch are told apart by their places: all these pictures come again and again, and would be their own positives in the queues.
        AlbefPretraining objective = operands.Keep(new AlbefPretraining(model, new AlbefPretrainingOptions
        {
            Masking = new TokenMasking { MaskId = vocabulary - 1, VocabularySize = vocabulary, SpecialIds = [EndId], Rate = MaskedShare },
            QueueCapacity = QueueCapacity,
            ReadsImageIds = false,
        }));
        // The random unit vectors that a queue begins with count once they have entered it.
        foreach (FeatureQueue queue in (FeatureQueue[])[objective.ImageQueue!, objective.TextQueue!]) queue.Enqueue(queue.Features);

        Tensor images = operands.RandomTensor([batch, config.Vision.Channels, config.Vision.ImageSize, config.Vision.ImageSize]);
        TextBatch texts = new(operands.RandomTexts(batch, Tokens, vocabulary, EndId));
        PairBatch pairs = new(images, texts, operands.Keep(IndexTensor.FromArray([.. Enumerable.Range(0, batch)], [batch], device)));
        Trainer trainer = operands.Keep(new Trainer(objective, CpuModels.NewOptimizer(model), new TrainerOptions { Schedule = LearningRateSchedule.Constant(5e-4) }));
        return new PreparedWorkload(() => trainer.TrainStep(objective, pairs), operands);
    }

    /// <summary>Forward of all that both models do: images, texts, texts with masked words, and what is read from them.</summary>
    private static double MomentumOperations(AlbefConfig config, int batch)
    {
        BertConfig text = config.Text;
        double words = CpuModels.BlockOperations(batch, Tokens, text.Width, text.HiddenWidth, text.FusionLayer!.Value);
        double projections = 2.0 * batch * (config.Vision.Width + text.Width) * config.ProjectionSize;
        double masked = MaskedShare * batch * (Tokens - 1);
        double head = 2.0 * masked * text.Width * (text.Width + text.VocabularySize);
        return CpuModels.VitOperations(config.Vision, batch) + (2 * words) + projections + FusionOperations(config, batch) + head;
    }

    /// <summary>The fusion layers: transformer blocks with a cross-attention, whose queries are the text's tokens, and whose keys and values the image's.</summary>
    private static double FusionOperations(AlbefConfig config, int pairs)
    {
        BertConfig text = config.Text;
        int layers = text.Layers - text.FusionLayer!.Value;
        double context = config.Vision.PatchCount + 1;
        double crossAttention = (2.0 * Tokens * text.Width * text.Width) + (2.0 * context * config.Vision.Width * text.Width) + (2.0 * Tokens * context * text.Width);
        return CpuModels.BlockOperations(pairs, Tokens, text.Width, text.HiddenWidth, layers) + (2.0 * layers * pairs * crossAttention);
    }

    private static double Parameters(AlbefConfig config)
    {
        BertConfig text = config.Text;
        double crossAttention = (double)(text.Layers - text.FusionLayer!.Value) * 2 * text.Width * (text.Width + config.Vision.Width);
        return CpuModels.VitParameters(config.Vision) + CpuModels.BlockParameters(text.Width, text.HiddenWidth, text.Layers) + crossAttention
            + ((double)text.VocabularySize * text.Width);
    }
}
