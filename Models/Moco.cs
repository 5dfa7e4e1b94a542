using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Where the keys that a query is compared with come from: MoCo and the two methods that it was measured against (arXiv:1911.05722, figure 2).</summary>
public enum MocoStrategy
{
    /// <summary>A queue of keys of a momentum encoder: many and consistent.</summary>
    Queue,

    /// <summary>The other pictures of the batch; both encoders are trained by gradients. Consistent, but no more than a batch.</summary>
    EndToEnd,

    /// <summary>One stored feature for every picture of the data set, a sample of them for each batch: many, but as old as an epoch (arXiv:1805.01978).</summary>
    MemoryBank,
}

/// <summary>What stands between the features of the backbone and the contrastive loss; it is thrown away after pre-training.</summary>
public enum MocoHead
{
    /// <summary>Nothing: the features themselves are normalised and compared.</summary>
    None,

    /// <summary>A linear layer, as in v1.</summary>
    Linear,

    /// <summary>Two layers with a ReLU between them, as in v2 and SimCLR.</summary>
    Mlp,
}

/// <summary>Sizes and rules of a <see cref="Moco{TBackbone}"/>.</summary>
public sealed record MocoConfig
{
    /// <summary>Where the keys come from.</summary>
    public MocoStrategy Strategy { get; init; }

    /// <summary>The head.</summary>
    public MocoHead Head { get; init; } = MocoHead.Mlp;

    /// <summary>Size of queries and keys; with <see cref="MocoHead.None"/> it is that of the backbone's features.</summary>
    public int FeatureSize { get; init; } = 128;

    /// <summary>τ.</summary>
    public float Temperature { get; init; } = 0.2f;

    /// <summary>m of the key encoder.</summary>
    public double Momentum { get; init; } = 0.999;

    /// <summary>K: length of the queue, or how many features of the memory bank a batch is compared with.</summary>
    public int Negatives { get; init; } = 65536;

    /// <summary>Pictures of a batch; the queue's length is a multiple of it.</summary>
    public int BatchSize { get; init; } = 256;

    /// <summary>N: pictures of the data set; the memory bank needs it.</summary>
    public int PictureCount { get; init; }

    /// <summary>
    /// Whether a queue leaves out older keys of the pictures of the batch, which are no negatives of their own picture. The published queue, a twentieth
    /// of its pictures, does not look; one that is as long as the data set would hold one for every query.
    /// </summary>
    public bool ReadsPictures { get; init; }

    /// <summary>m of the features in the memory bank.</summary>
    public float BankMomentum { get; init; } = 0.5f;

    /// <summary>MoCo v1 (arXiv:1911.05722): a linear head, τ = 0.07.</summary>
    public static MocoConfig V1 { get; } = new() { Head = MocoHead.Linear, Temperature = 0.07f };

    /// <summary>MoCo v2 (arXiv:2003.04297): an MLP head, τ = 0.2; with stronger augmentation and a cosine schedule.</summary>
    public static MocoConfig V2 { get; } = new();

    /// <summary>Throws unless the values fit together.</summary>
    /// <exception cref="ArgumentException">A value is out of range, or contradicts another; the message names it.</exception>
    public void Check()
    {
        Require(FeatureSize >= 1, nameof(FeatureSize), FeatureSize, "must be at least 1");
        Require(float.IsFinite(Temperature) && Temperature > 0, nameof(Temperature), Temperature, "must be positive");
        Require(Momentum is >= 0 and <= 1, nameof(Momentum), Momentum, "must lie in [0, 1]");
        Require(BankMomentum is >= 0 and <= 1, nameof(BankMomentum), BankMomentum, "must lie in [0, 1]");
        Require(BatchSize >= (Strategy == MocoStrategy.EndToEnd ? 2 : 1), nameof(BatchSize), BatchSize, "must be at least 1, and 2 where the batch holds the negatives");
        if (Strategy == MocoStrategy.EndToEnd) return;
        Require(Negatives >= 1, nameof(Negatives), Negatives, "must be at least 1");
        if (Strategy == MocoStrategy.Queue)
            Require(Negatives % BatchSize == 0, nameof(Negatives), Negatives, $"must be a multiple of {nameof(BatchSize)} = {BatchSize}, so that each batch takes the place of one that came before");
        else
            Require(PictureCount - BatchSize >= Negatives, nameof(PictureCount), PictureCount, $"must be at least {nameof(Negatives)} + {nameof(BatchSize)} = {(long)Negatives + BatchSize}, from which a batch's negatives are drawn");

        static void Require(bool holds, string name, double value, string rule)
        {
            if (!holds) throw new ArgumentException(FormattableString.Invariant($"MocoConfig: {name} {rule}; found {value}."), name);
        }
    }
}

/// <summary>Two augmented views of the same pictures.</summary>
/// <param name="First">[batch, channels, height, width]: what the queries are made of.</param>
/// <param name="Second">Likewise: what the keys are made of; the memory bank does without.</param>
/// <param name="Pictures">[batch]: the pictures' numbers in the data set, from 0; the memory bank needs them, and <see cref="MocoConfig.ReadsPictures"/>.</param>
public sealed record ImageViews(Tensor First, Tensor Second, IndexTensor? Pictures = null);

/// <summary>A backbone and a head: images to unit vectors.</summary>
/// <typeparam name="TBackbone">The image encoder.</typeparam>
public sealed class MocoEncoder<TBackbone> : Module
    where TBackbone : Module, IImageEncoder
{
    private readonly Linear? _hidden, _output;

    internal MocoEncoder(TBackbone backbone, MocoHead head, int featureSize)
    {
        int width = backbone.FeatureWidth;
        Backbone = Add("backbone", backbone);
        _hidden = head == MocoHead.Mlp ? Add("head.0", new Linear(width, width)) : null;
        _output = head == MocoHead.None ? null : Add(head == MocoHead.Mlp ? "head.2" : "head", new Linear(width, featureSize));
        FeatureSize = _output is null ? width : featureSize;
    }

    /// <summary>What pre-training is for.</summary>
    public TBackbone Backbone { get; }

    /// <summary>Size of the vectors.</summary>
    public int FeatureSize { get; }

    /// <summary>images [batch, channels, height, width] to unit vectors [batch, features].</summary>
    public Tensor Forward(Tensor images)
    {
        Tensor features = Backbone.ImageFeatures(images);
        if (_hidden is not null) features = _hidden.Forward(features, Activation.Relu);
        if (_output is not null) features = _output.Forward(features);
        return features.L2Normalize();
    }
}

/// <summary>
/// Momentum contrast (He et al., arXiv:1911.05722): a query q of one view must find the key k⁺ of the other view of its picture among K keys of other
/// pictures, L = -log(exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ_K exp(q·k⁻/τ))). By <see cref="MocoConfig.Strategy"/> the same class is also the two
/// methods that the paper compares with.
/// </summary>
/// <remarks>
/// The paper shuffles the batch among devices before the key encoder so that batch norm cannot give the positive away by its statistics. The encoders
/// here have layer norm, which looks at one sample alone, and one device, so there is nothing to leak and nothing to shuffle; a backbone with
/// batch norm would need it.
/// </remarks>
/// <typeparam name="TBackbone">The image encoder.</typeparam>
public sealed class Moco<TBackbone> : PretrainingObjective<ImageViews>, IDisposable
    where TBackbone : Module, IImageEncoder
{
    private readonly Tensor _scale;
    private readonly MocoEncoder<TBackbone>? _key;
    private readonly MomentumEncoder? _momentum;
    private Tensor? _pendingFeatures;
    private IndexTensor? _pendingPictures;
    private int _negatives;

    /// <summary>Makes the encoders and what is remembered between batches.</summary>
    /// <param name="config">Sizes and rules.</param>
    /// <param name="createBackbone">Makes a backbone; it is called once for each encoder. The first may have values already, which the second then takes over.</param>
    /// <param name="device">Where everything is kept.</param>
    /// <param name="seed">Of all parameters without values, of queue and bank.</param>
    /// <exception cref="ArgumentException">The config contradicts itself.</exception>
    public Moco(MocoConfig config, Func<TBackbone> createBackbone, Device device, int seed = 0)
    {
        config.Check();
        Config = config;
        _negatives = config.Negatives;
        Encoder = new MocoEncoder<TBackbone>(createBackbone(), config.Head, config.FeatureSize);
        Encoder.InitializeMissing(device, seed);
        _scale = Tensor.CreatePersistent([1 / config.Temperature], [1], device);
        Model = Encoder;
        if (config.Strategy == MocoStrategy.MemoryBank)
        {
            Bank = new MemoryBank(config.PictureCount, Encoder.FeatureSize, device, config.BankMomentum, (ulong)seed);
            return;
        }

        _key = new MocoEncoder<TBackbone>(createBackbone(), config.Head, config.FeatureSize);
        MomentumEncoder momentum = new(Encoder, _key, MomentumSchedule.Constant(config.Momentum));
        if (config.Strategy == MocoStrategy.Queue)
        {
            _momentum = momentum;
            Queue = new FeatureQueue(config.Negatives, Encoder.FeatureSize, device, (ulong)seed);
            return;
        }

        _key.SetTrainable(true);
        Model = new EncoderPair(Encoder, _key);
    }

    /// <summary>Sizes and rules.</summary>
    public MocoConfig Config { get; }

    /// <summary>The query encoder, whose backbone is what pre-training is for.</summary>
    public MocoEncoder<TBackbone> Encoder { get; }

    /// <summary>The key encoder: a momentum encoder without gradients, or the second of the two that are trained end to end; null with a memory bank.</summary>
    public MocoEncoder<TBackbone>? KeyEncoder => _key;

    /// <summary>The queue of keys, where there is one.</summary>
    public FeatureQueue? Queue { get; }

    /// <summary>The memory bank, where there is one.</summary>
    public MemoryBank? Bank { get; }

    /// <inheritdoc/>
    public override Module Model { get; }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, ITrainingState State)> State
    {
        get
        {
            if (_momentum is not null) yield return ("key", _momentum);
            if (Queue is not null) yield return ("queue", Queue);
            if (Bank is not null) yield return ("bank", Bank);
        }
    }

    /// <inheritdoc/>
    public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize)
        => [ChanceLevel.Contrastive("contrastive", Config.Strategy == MocoStrategy.EndToEnd ? batchSize : _negatives + 1)];

    /// <summary>
    /// The contrastive loss of a batch as the part <c>contrastive</c>. While a tape records, the key encoder is updated first, and the new keys are ready
    /// for <see cref="AfterBackward"/>; otherwise nothing is changed or remembered.
    /// </summary>
    /// <param name="batch">Two views of <see cref="MocoConfig.BatchSize"/> pictures.</param>
    /// <exception cref="ShapeException">The batch has another size.</exception>
    /// <exception cref="ArgumentException">The pictures' numbers are needed.</exception>
    /// <exception cref="InvalidOperationException">All keys of the queue belong to the pictures of the batch.</exception>
    public override LossParts Loss(ImageViews batch)
    {
        int count = batch.First.Shape[0];
        if (count != Config.BatchSize) throw new ShapeException($"Moco: the batch must have the configured size {Config.BatchSize}, found views {batch.First.Shape}; leave an incomplete last batch out.");
        Tensor query = Encoder.Forward(batch.First);
        Tensor loss = Config.Strategy switch
        {
            MocoStrategy.Queue => LossOfQueue(query, batch),
            MocoStrategy.EndToEnd => query.SoftmaxContrastive(_key!.Forward(batch.Second), _scale, new() { Direction = ContrastiveDirection.ImageToText }),
            _ => LossOfBank(query, batch),
        };
        return new LossParts { { "contrastive", loss } };
    }

    /// <summary>Puts the keys of the last batch into the queue, or its queries into the bank.</summary>
    public override void AfterBackward()
    {
        if (_pendingFeatures is null) return;
        Queue?.Enqueue(_pendingFeatures, _pendingPictures);
        Bank?.Update(_pendingFeatures, _pendingPictures!);
        (_pendingFeatures, _pendingPictures) = (null, null);
    }

    /// <summary>Gives the memory of encoders, queue and bank back.</summary>
    public void Dispose()
    {
        Encoder.Dispose();
        _key?.Dispose();
        Queue?.Dispose();
        Bank?.Dispose();
        _scale.Dispose();
    }

    private Tensor LossOfQueue(Tensor query, ImageViews batch)
    {
        bool trains = Tape.IsRecording;
        IndexTensor? pictures = Config.ReadsPictures ? Pictures(batch) : null;
        if (trains) _momentum!.Update();
        Tensor key;
        using (Tape.NoGradient()) key = _key!.Forward(batch.Second);
        if (trains) (_pendingFeatures, _pendingPictures) = (key, pictures);
        return AgainstConstants(query, key, pictures is null ? Queue!.Features : KeysOfOthers(pictures));
    }

    /// <summary>The keys in the queue that belong to no picture of the batch.</summary>
    private Tensor KeysOfOthers(IndexTensor pictures)
    {
        using IDisposable pause = Tape.NoGradient();
        HashSet<int> own = [.. pictures.ToArray()];
        int[] ids = Queue!.Ids.ToArray();
        int[] rows = [.. Enumerable.Range(0, ids.Length).Where(row => !own.Contains(ids[row]))];
        if (rows.Length == 0) throw new InvalidOperationException($"Moco: all {ids.Length} keys in the queue belong to pictures of the batch, so that there is no negative; take more pictures or a smaller batch.");
        _negatives = rows.Length;
        return rows.Length == ids.Length ? Queue.Features : EncodedRows.Gather(Queue.Features, rows);
    }

    private Tensor LossOfBank(Tensor query, ImageViews batch)
    {
        IndexTensor pictures = Pictures(batch);
        Tensor positives = Bank!.Of(pictures), negatives = Bank.SampleOthers(Config.Negatives, pictures.ToArray());
        if (Tape.IsRecording)
        {
            // The backward pass gives the query's memory back before the bank takes it.
            using (Tape.NoGradient()) _pendingFeatures = query * 1f;
            _pendingPictures = pictures;
        }

        return AgainstConstants(query, positives, negatives);
    }

    private IndexTensor Pictures(ImageViews batch)
    {
        IndexTensor pictures = batch.Pictures ?? throw new ArgumentException("Moco: the numbers of the pictures in the data set are needed for a memory bank and for a queue that leaves out older keys of theirs.", nameof(batch));
        return pictures.Shape == [Config.BatchSize] ? pictures : throw new ShapeException($"Moco: the pictures' numbers must be [batch] = [{Config.BatchSize}], found {pictures.Shape}.");
    }

    private Tensor AgainstConstants(Tensor query, Tensor positives, Tensor negatives) => query.SoftmaxContrastive(positives, _scale, new()
    {
        Direction = ContrastiveDirection.ImageToText,
        TextQueue = negatives,
        InBatchNegatives = false,
    });

    /// <summary>Two encoders that are trained together.</summary>
    private sealed class EncoderPair : Module
    {
        public EncoderPair(Module query, Module key)
        {
            Add("query", query);
            Add("key", key);
        }
    }
}
