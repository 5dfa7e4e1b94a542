using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Which side searches.</summary>
public enum ContrastiveDirection
{
    /// <summary>The mean of both directions, as CLIP.</summary>
    Both,

    /// <summary>Every image searches its text; for the other direction exchange the operands.</summary>
    ImageToText,
}

/// <summary>What a softmax contrastive loss compares with; null or default: the batch itself, one positive per row.</summary>
public sealed record ContrastiveOptions
{
    /// <summary>One direction or the mean of both.</summary>
    public ContrastiveDirection Direction { get; init; }

    /// <summary>Whether the other rows of the batch are negatives; false: only the queues are (MoCo, arXiv:1911.05722).</summary>
    public bool InBatchNegatives { get; init; } = true;

    /// <summary>[k, width]: features of earlier texts, further negatives of every image; a constant.</summary>
    public Tensor? TextQueue { get; init; }

    /// <summary>[k, width]: features of earlier images, further negatives of every text; a constant.</summary>
    public Tensor? ImageQueue { get; init; }

    /// <summary>[n, width]: the momentum encoder's text features, which images are compared with instead of the texts (ALBEF, arXiv:2107.07651); a constant.</summary>
    public Tensor? TextMomentum { get; init; }

    /// <summary>[n, width]: the momentum encoder's image features, which texts are compared with instead of the images; a constant.</summary>
    public Tensor? ImageMomentum { get; init; }

    /// <summary>α: share of the target that the softmax between the momentum features gives (momentum distillation); needs both of them.</summary>
    public float Alpha { get; init; }

    /// <summary>ε: share of the hard target that is spread over all columns (ALIGN, BLIP-2: 0.1).</summary>
    public float LabelSmoothing { get; init; }

    /// <summary>[n]: rows of equal id (several captions of one image) are positives of each other and share the target; null: each row is alone.</summary>
    public IndexTensor? Ids { get; init; }

    /// <summary>[k]: ids of the queues, so that an old caption of the same image is no negative either; null: the queues hold negatives only.</summary>
    public IndexTensor? QueueIds { get; init; }
}

/// <summary>The softmax contrastive loss of CLIP, MoCo and ALBEF.</summary>
public static class SoftmaxContrastiveOps
{
    extension(Tensor image)
    {
        /// <summary>
        /// Symmetric InfoNCE: with s_ij = scale · image_i · text_j, loss = ½ mean_i(log Σ_j exp(s_ij) - Σ_j y_ij s_ij) + ½ the same with the roles
        /// exchanged (van den Oord et al., arXiv:1807.03748; Radford et al., arXiv:2103.00020). The scores are computed in tiles, forward and
        /// backward, so that memory grows with the batch and not with its square.
        /// </summary>
        /// <param name="text">[n, width], normalised as the image features [n, width] are (see L2Normalize).</param>
        /// <param name="logitScale">One element: the factor of the dot products, 1 / temperature, as it is applied (not its logarithm).</param>
        /// <param name="options">Queues, momentum features, soft targets, ids, direction; null for the plain symmetric loss.</param>
        /// <returns>A scalar.</returns>
        /// <exception cref="ShapeException">The operands do not fit together.</exception>
        public Tensor SoftmaxContrastive(Tensor text, Tensor logitScale, ContrastiveOptions? options = null)
        {
            options ??= new ContrastiveOptions();
            Check(image, text, logitScale, options);
            return Tape.Add(new SoftmaxContrastiveFunction(image, text, logitScale, options), image, text, logitScale);
        }
    }

    private static void Check(Tensor image, Tensor text, Tensor logitScale, ContrastiveOptions options)
    {
        Tensor.RequireSameShape("SoftmaxContrastive", image, text);
        if (image.Shape.Rank != 2) throw new ShapeException($"SoftmaxContrastive: image and text must be [n, width], but they are {image.Shape}.");
        if (logitScale.Shape.Length != 1) throw new ShapeException($"SoftmaxContrastive: logitScale must have one element, but it is {logitScale.Shape}.");
        SameDevice.Require("SoftmaxContrastive", image, text, logitScale, options.TextQueue, options.ImageQueue, options.TextMomentum, options.ImageMomentum);
        SameDevice.Require("SoftmaxContrastive", image, options.Ids);
        SameDevice.Require("SoftmaxContrastive", image, options.QueueIds);
        int rows = image.Shape[0], width = image.Shape[1];
        CheckConstant(options.TextMomentum, nameof(options.TextMomentum), rows, width);
        CheckConstant(options.ImageMomentum, nameof(options.ImageMomentum), rows, width);
        CheckConstant(options.TextQueue, nameof(options.TextQueue), null, width);
        CheckConstant(options.ImageQueue, nameof(options.ImageQueue), null, width);
        if (options.Ids is { } ids && ids.Shape != [rows]) throw new ShapeException($"SoftmaxContrastive: Ids must be [n] = [{rows}], but it is {ids.Shape}.");
        if (options.QueueIds is { } queueIds)
        {
            if (options.Ids is null) throw new ArgumentException("SoftmaxContrastive: QueueIds need the Ids of the batch.", nameof(options));
            foreach (Tensor? queue in new[] { options.TextQueue, options.ImageQueue })
                if (queue is not null && queueIds.Shape != [queue.Shape[0]])
                    throw new ShapeException($"SoftmaxContrastive: QueueIds must be [k] = [{queue.Shape[0]}] as the queues are, but it is {queueIds.Shape}.");
        }

        if (!(options.Alpha is >= 0f and <= 1f)) throw new ArgumentOutOfRangeException(nameof(options), options.Alpha, "SoftmaxContrastive: Alpha must lie in [0, 1].");
        if (!(options.LabelSmoothing is >= 0f and <= 1f)) throw new ArgumentOutOfRangeException(nameof(options), options.LabelSmoothing, "SoftmaxContrastive: LabelSmoothing must lie in [0, 1].");
        if (options.TextMomentum is null != options.ImageMomentum is null)
            throw new ArgumentException("SoftmaxContrastive: ImageMomentum and TextMomentum come together.", nameof(options));
        if (options.Alpha > 0f && options.TextMomentum is null)
            throw new ArgumentException("SoftmaxContrastive: Alpha mixes in the softmax between momentum features and needs ImageMomentum and TextMomentum.", nameof(options));
        if (!options.InBatchNegatives && (options.LabelSmoothing > 0f || options.Ids is not null))
            throw new ArgumentException("SoftmaxContrastive: without in-batch negatives there is one positive per row, so that LabelSmoothing and Ids have no meaning.", nameof(options));
    }

    private static void CheckConstant(Tensor? tensor, string name, int? rows, int width)
    {
        if (tensor is null) return;
        if (tensor.Shape.Rank != 2 || tensor.Shape[1] != width || (rows is { } n && tensor.Shape[0] != n))
            throw new ShapeException($"SoftmaxContrastive: {name} must be [{(rows is { } r ? r.ToString(System.Globalization.CultureInfo.InvariantCulture) : "k")}, {width}], but it is {tensor.Shape}.");
        if (tensor.NeedsGradient)
            throw new ArgumentException($"SoftmaxContrastive: {name} is a constant, but it needs a gradient; compute it under Tape.NoGradient() or pass Detach().", nameof(tensor));
    }

    /// <summary>
    /// The loss as blocks of scores. Without momentum features the block image x text serves both directions; with them each direction has a block of its
    /// own against the momentum features of the other side. A queue is a further block of one direction.
    /// </summary>
    private sealed class SoftmaxContrastiveFunction : Function
    {
        private readonly Tensor _image, _text, _scale, _statistics;
        private readonly ContrastiveOptions _options;
        private readonly int _rows, _directions;

        public SoftmaxContrastiveFunction(Tensor image, Tensor text, Tensor scale, ContrastiveOptions options)
        {
            (_image, _text, _scale, _options) = (image, text, scale, options);
            _rows = image.Shape[0];
            _directions = options.Direction == ContrastiveDirection.Both ? 2 : 1;
            Output = Allocate([], image.Device);
            _statistics = Save(Allocate([_directions, 3, _rows], image.Device));
            IBackend backend = image.Device.Backend;
            int sumLength = IBackend.ContrastiveSumCount * _rows;
            DeviceBuffer losses = backend.Rent(_directions * _rows), sums = backend.Rent(_directions * sumLength);
            DeviceBuffer imageSums = sums.Slice(0, sumLength), textSums = HasTextSearch ? sums.Slice(sumLength, sumLength) : default;

            backend.ContrastiveScores(Block(_rows), ImageOperands(), imageSums, continuesRows: false, PairsMeet ? textSums : default);
            if (HasTextSearch && !PairsMeet) backend.ContrastiveScores(Block(_rows), TextOperands(), textSums, continuesRows: false, default);
            if (options.TextQueue is { } texts) backend.ContrastiveScores(Queue(texts), ImageOperands(texts), imageSums, continuesRows: true, default);
            if (HasTextSearch && options.ImageQueue is { } images) backend.ContrastiveScores(Queue(images), TextOperands(images), textSums, continuesRows: true, default);

            backend.ContrastiveLosses(ImageTargets, scale.Buffer, imageSums, losses.Slice(0, _rows), ImageStatistics);
            if (HasTextSearch) backend.ContrastiveLosses(TextTargets, scale.Buffer, textSums, losses.Slice(_rows, _rows), TextStatistics);
            backend.MeanLoss(losses, 1f, Output.Buffer);
            backend.Return(losses);
            backend.Return(sums);
        }

        private bool HasTextSearch => _directions == 2;

        private bool PairsMeet => _options.TextMomentum is null;

        private DeviceBuffer ImageStatistics => _statistics.Buffer.Slice(0, 3 * _rows);

        private DeviceBuffer TextStatistics => HasTextSearch ? _statistics.Buffer.Slice(3 * _rows, 3 * _rows) : default;

        private ContrastiveTargets ImageTargets => Targets(_options.TextQueue, _options.ImageQueue);

        private ContrastiveTargets TextTargets => Targets(_options.ImageQueue, _options.TextQueue);

        public override void Backward(DeviceBuffer outputGradient)
        {
            IBackend backend = _image.Device.Backend;
            float weight = 1f / _directions / _rows;
            bool textTakesPart = HasTextSearch || PairsMeet;
            GradientTarget image = _image.GradientTarget(), text = textTakesPart ? _text.GradientTarget() : default, scale = _scale.GradientTarget();
            ContrastiveLossWeights imageLoss = new(ImageStatistics, default, weight), textLoss = new(TextStatistics, default, weight);
            ContrastiveLossWeights shared = imageLoss with { ColumnStatistics = TextStatistics };

            backend.ContrastiveScoresBackward(Block(_rows), ImageOperands(), ImageTargets, PairsMeet ? shared : imageLoss, outputGradient, image, PairsMeet ? text : default, scale);
            image = image with { Accumulate = true };
            scale = scale with { Accumulate = true };
            if (HasTextSearch && !PairsMeet) backend.ContrastiveScoresBackward(Block(_rows), TextOperands(), TextTargets, textLoss, outputGradient, text, default, scale);
            text = text with { Accumulate = true };
            if (_options.TextQueue is { } texts) backend.ContrastiveScoresBackward(Queue(texts), ImageOperands(texts), ImageTargets, imageLoss, outputGradient, image, default, scale);
            if (HasTextSearch && _options.ImageQueue is { } images)
                backend.ContrastiveScoresBackward(Queue(images), TextOperands(images), TextTargets, textLoss, outputGradient, text, default, scale);
        }

        private ContrastiveBlock Block(int columns) => new(_rows, columns, _image.Shape[1], IsBatch: true, OnlyOwn: !_options.InBatchNegatives);

        private ContrastiveBlock Queue(Tensor queue) => Block(queue.Shape[0]) with { IsBatch = false };

        private ContrastiveTargets Targets(Tensor? queue, Tensor? otherQueue)
            => new(_options.LabelSmoothing, _options.Alpha, _rows + (queue?.Shape[0] ?? 0), _rows + (otherQueue?.Shape[0] ?? 0));

        private ContrastiveOperands ImageOperands(Tensor? queue = null) => Operands(_image, queue, _options.TextMomentum ?? _text, _options.ImageMomentum);

        private ContrastiveOperands TextOperands(Tensor? queue = null) => Operands(_text, queue, _options.ImageMomentum ?? _image, _options.TextMomentum);

        private ContrastiveOperands Operands(Tensor rows, Tensor? queue, Tensor batch, Tensor? teacher) => new(
            rows.Buffer,
            (queue ?? batch).Buffer,
            _options.Alpha > 0f ? teacher!.Buffer : default,
            _options.Ids?.Buffer ?? default,
            (queue is null ? _options.Ids : _options.QueueIds)?.Buffer ?? default,
            _scale.Buffer);
    }
}
