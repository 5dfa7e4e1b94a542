using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>What ALBEF's pre-training does; the defaults are the published ones (arXiv:2107.07651), the switches are those of its table 1.</summary>
public sealed record AlbefPretrainingOptions
{
    /// <summary>How words are masked. The original masks single word pieces and spares [PAD] and [CLS] alone.</summary>
    public required TokenMasking Masking { get; init; }

    /// <summary>Whether image and text are aligned by the contrastive loss; false leaves MLM and ITM, the paper's baseline.</summary>
    public bool Contrast { get; init; } = true;

    /// <summary>How the negatives of image-text matching are chosen; hard ones need <see cref="Contrast"/>.</summary>
    public NegativeStrategy Negatives { get; init; } = NegativeStrategy.Hard;

    /// <summary>α: share of the targets that the momentum model gives, in [0, 1]; it grows from 0 during the first epoch. 0 turns momentum distillation off.</summary>
    public float Alpha { get; init; } = 0.4f;

    /// <summary>m of the momentum model, in [0, 1].</summary>
    public double Momentum { get; init; } = 0.995;

    /// <summary>Features of earlier batches that each queue holds, at least a batch, or 0 for no queues.</summary>
    public int QueueCapacity { get; init; } = 65536;

    /// <summary>
    /// Steps in which the batch alone counts and the queues only fill. The original needs none, since both its halves come trained; features from scratch lie
    /// close together at first, and with features of earlier steps among the negatives they flee together instead of parting.
    /// </summary>
    public int QueueWarmUp { get; init; }

    /// <summary>Whether texts of one picture are positives of each other instead of negatives, and no text that is right for a picture is its wrong partner; false is the original's pre-training, which looks at places alone.</summary>
    public bool ReadsImageIds { get; init; } = true;
}

/// <summary>
/// ALBEF's pre-training (arXiv:2107.07651, section 3): with q from the momentum model, all over a batch of B pairs,
/// <list type="bullet">
/// <item>itc: cross-entropy of softmax(cosine/τ) over momentum features of the batch and of the queues against (1 - α) · one-hot + α · q, both directions;</item>
/// <item>itm: cross-entropy of "match" over B pairs, B texts with a wrong image and B images with a wrong text;</item>
/// <item>mlm: (1 - α) · cross-entropy of the masked words - α Σ q log p, words seen with their image, q from the same masked words.</item>
/// </list>
/// The momentum model, a copy of everything, is updated first. It runs without dropout, unlike the original's. Wrong partners come from the batch alone, and the gradient
/// flows through them. The features enter the queues after the backward pass; until a queue is full, only what has entered it counts, while the original begins
/// with random vectors, which a short training learns to flee from in one common direction.
/// </summary>
public sealed class AlbefPretraining : PretrainingObjective<PairBatch>, IDisposable
{
    private readonly Albef _model;
    private readonly MomentumEncoder _momentum;
    private readonly HardNegativeSampler _negatives;
    private readonly PairContrast _contrast;

    /// <summary>Makes the momentum model, equal to the model as it is now, and the queues.</summary>
    /// <param name="model">What is trained; it has values.</param>
    /// <param name="options">The rest.</param>
    /// <param name="seed">Of the random vectors that the queues start with.</param>
    /// <exception cref="ArgumentException">Hard negatives are asked for without the contrastive loss that tells how hard they are.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of its range.</exception>
    public AlbefPretraining(Albef model, AlbefPretrainingOptions options, ulong seed = 0)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        if (!(options.Alpha is >= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(options), options.Alpha, "AlbefPretraining: Alpha must lie in [0, 1].");
        if (options.QueueCapacity < 0) throw new ArgumentOutOfRangeException(nameof(options), options.QueueCapacity, "AlbefPretraining: QueueCapacity must be 0 or more.");
        if (!options.Contrast && options.Negatives == NegativeStrategy.Hard)
            throw new ArgumentException("AlbefPretraining: hard negatives are chosen by the similarities of the contrastive loss; without it Negatives must be Random.", nameof(options));
        if (options.Masking.VocabularySize != model.Config.Text.VocabularySize)
            throw new ArgumentException($"AlbefPretraining: the masking has {options.Masking.VocabularySize} word pieces and the model {model.Config.Text.VocabularySize}.", nameof(options));
        _model = model;
        Options = options;
        MomentumModel = new Albef(model.Config);
        _momentum = new MomentumEncoder(model, MomentumModel, MomentumSchedule.Constant(options.Momentum));
        _negatives = new HardNegativeSampler { Strategy = options.Negatives, Floor = 0 };
        _contrast = new PairContrast(model.Temperature, model.Config.ProjectionSize, options.Contrast ? options.QueueCapacity : 0, options.QueueWarmUp, options.ReadsImageIds, seed);
    }

    /// <summary>What was asked for.</summary>
    public AlbefPretrainingOptions Options { get; }

    /// <inheritdoc/>
    public override Module Model => _model;

    /// <summary>The moving average of the model; it has no gradient.</summary>
    public Albef MomentumModel { get; }

    /// <summary>Momentum features of earlier images; null when there are no queues.</summary>
    public FeatureQueue? ImageQueue => _contrast.ImageQueue;

    /// <summary>Momentum features of earlier texts; null when there are no queues.</summary>
    public FeatureQueue? TextQueue => _contrast.TextQueue;

    /// <inheritdoc/>
    public override LearnedTemperature Temperature => new(_model.Temperature, Albef.LowestTemperature, Albef.HighestTemperature);

    /// <inheritdoc/>
    public override IEnumerable<(string Name, ITrainingState State)> State => [("momentum", _momentum), .. _contrast.State];

    /// <inheritdoc/>
    public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) =>
    [
        .. Options.Contrast ? [ChanceLevel.Contrastive("itc", batchSize + _contrast.CountingRows(Step))] : Array.Empty<ChanceLevel>(),
        .. ChanceLevel.Matching("itm", positives: 1, negatives: 2),
        ChanceLevel.Tokens("mlm", _model.Config.Text.VocabularySize),
    ];

    /// <inheritdoc/>
    /// <exception cref="ShapeException">There are fewer than two pairs, so that no wrong partner can be chosen.</exception>
    public override LossParts Loss(PairBatch batch)
    {
        int count = batch.Images.Shape[0];
        if (count < 2) throw new ShapeException($"AlbefPretraining: image-text matching needs wrong partners from the batch, so that it must have at least two pairs, not {count}.");
        if (Tape.IsRecording) _momentum.Update();
        float alpha = Options.Alpha * Ramp(StepsPerEpoch);
        Tensor imageStates = _model.EncodeImage(batch.Images), textStates = _model.EncodeText(batch.Text);
        Tensor? teacherStates = null;
        if (Options.Contrast || alpha > 0)
            using (Tape.NoGradient()) teacherStates = MomentumModel.EncodeImage(batch.Images);

        LossParts parts = [];
        Tensor imageToText, textToImage;
        if (Options.Contrast)
        {
            (Tensor contrast, imageToText, textToImage) = Align(batch, imageStates, textStates, teacherStates!, alpha);
            parts.Add("itc", contrast);
        }
        else
        {
            imageToText = textToImage = Tensor.Zeros([count, count], batch.Images.Device);
        }

        ((int[], bool[]) images, (int[], bool[]) texts) = PairContrast.Choose(_negatives, imageToText, textToImage, Options.ReadsImageIds ? new BatchPairs(batch) : null);
        parts.Add("itm", Match(batch, imageStates, textStates, images, texts));
        if (PredictMasked(batch, imageStates, teacherStates, alpha) is { } predicted) parts.Add("mlm", predicted);
        return parts;
    }

    /// <inheritdoc/>
    public override void AfterBackward() => _contrast.Enqueue();

    /// <inheritdoc/>
    public override void AfterUpdate(int step) => _model.ClampTemperature();

    /// <summary>Gives the memory of momentum model and queues back; the model itself stays.</summary>
    public void Dispose()
    {
        MomentumModel.Dispose();
        _contrast.Dispose();
    }

    private (Tensor Loss, Tensor ImageToText, Tensor TextToImage) Align(PairBatch batch, Tensor imageStates, Tensor textStates, Tensor teacherStates, float alpha)
    {
        Tensor image = _model.ProjectImage(imageStates), text = _model.ProjectText(textStates), teacherImage, teacherText;
        using (Tape.NoGradient())
        {
            teacherImage = MomentumModel.ProjectImage(teacherStates);
            teacherText = MomentumModel.ProjectText(MomentumModel.EncodeText(batch.Text));
        }

        return _contrast.Align(image, text, teacherImage, teacherText, batch.ImageIds, alpha, Step);
    }

    /// <summary>Right pairs, texts with a wrong image, images with a wrong text; where there is no wrong partner, the label is ignored.</summary>
    private Tensor Match(PairBatch batch, Tensor imageStates, Tensor textStates, (int[] Rows, bool[] Found) wrongImages, (int[] Rows, bool[] Found) wrongTexts)
    {
        int count = wrongImages.Rows.Length;
        int[] own = [.. Enumerable.Range(0, count)];
        int[] images = [.. own, .. wrongImages.Rows, .. own], texts = [.. own, .. own, .. wrongTexts.Rows];
        IndexTensor? mask = batch.Text.Mask is { } given ? EncodedRows.Gather(given.ToArray(), given.Shape[1], texts, given.Device) : null;
        Tensor fused = _model.Fuse(EncodedRows.Gather(textStates, texts), mask, EncodedRows.Gather(imageStates, images));
        int[] labels = [.. own.Select(_ => 1), .. wrongImages.Found.Concat(wrongTexts.Found).Select(found => found ? 0 : TokenMasking.IgnoredLabel)];
        return _model.MatchingLogits(fused).CrossEntropy(IndexTensor.FromArray(labels, [3 * count], fused.Device));
    }

    /// <summary>The loss of the masked words; null for a batch that has no word to mask.</summary>
    private Tensor? PredictMasked(PairBatch batch, Tensor imageStates, Tensor? teacherStates, float alpha)
    {
        MaskedTokens masked = Options.Masking.Apply(batch.Text.TokenIds);
        if (masked.Count == 0) return null;
        TextBatch text = batch.Text with { TokenIds = masked.Ids };
        (int[] places, IndexTensor words) = EncodedRows.Labelled(masked.Labels);

        // The head has as many outputs as there are word pieces: it reads the masked places alone.
        Tensor logits = Predict(_model, imageStates);
        Tensor loss = logits.CrossEntropy(words);
        if (alpha == 0) return loss;
        Tensor targets;
        using (Tape.NoGradient()) targets = Predict(MomentumModel, teacherStates!).Softmax();
        return (loss * (1 - alpha)) + (logits.CrossEntropy(targets) * alpha);

        Tensor Predict(Albef model, Tensor states)
        {
            Tensor fused = model.Fuse(model.EncodeText(text), text.Mask, states);
            return model.PredictTokens(EncodedRows.Gather(fused.Reshape([masked.Labels.Shape.Length, fused.Shape[2]]), places));
        }
    }
}
