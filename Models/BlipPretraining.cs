using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// BLIP's multimodal mixture of encoder and decoder (Li et al., arXiv:2201.12086): one text network used in three ways, as a text encoder, as an
/// encoder grounded in an image, and as a decoder grounded in an image. Encoder and decoder share all parameters but those of the self-attentions
/// and their norms; the cross-attentions are shared.
/// </summary>
public sealed class BlipForPreTraining : PretrainedModel, ICaptioner, IMatchingModel
{
    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes; the text has an <see cref="BlipTextConfig.EncodeId"/>.</param>
    /// <param name="initialTemperature">Initial value of the contrastive loss's τ.</param>
    /// <exception cref="ArgumentException">The config names no [ENC], or the same token as [DEC].</exception>
    public BlipForPreTraining(BlipConfig config, float initialTemperature = 0.07f)
    {
        if (config.Text.EncodeId is not { } encode || encode == config.Text.DecodeId)
            throw new ArgumentException("BlipForPreTraining: the text config must name an EncodeId, the token [ENC], that is not its DecodeId.", nameof(config));
        Retrieval = Add(string.Empty, new BlipRetrieval(config));
        TextDecoder = Add("text_decoder", new BlipTextDecoder(config, Retrieval.TextEncoder));
        Temperature = Add("temp", [], Initializers.Constant(initialTemperature));
        Captioning = new BlipCaptioning(config, Retrieval.VisionEncoder, TextDecoder);
    }

    /// <summary>Sizes.</summary>
    public BlipConfig Config => Retrieval.Config;

    /// <summary>The image encoder.</summary>
    public BlipVisionEncoder VisionEncoder => Retrieval.VisionEncoder;

    /// <summary>The text encoder, alone and grounded in an image.</summary>
    public BlipTextNetwork TextEncoder => Retrieval.TextEncoder;

    /// <summary>The text decoder; all but its self-attentions and output layer are parts of <see cref="TextEncoder"/>.</summary>
    public BlipTextDecoder TextDecoder { get; }

    /// <summary>τ: similarities are divided by it.</summary>
    public Parameter Temperature { get; }

    /// <summary>This model as <c>BlipForImageTextRetrieval</c>: a view that has these very parameters, to be evaluated or saved, not disposed.</summary>
    public BlipRetrieval Retrieval { get; }

    /// <summary>This model as <c>BlipForConditionalGeneration</c>: a view that has these very parameters, to be evaluated or saved, not disposed.</summary>
    public BlipCaptioning Captioning { get; }

    /// <inheritdoc/>
    public override string Architecture => "BlipForPreTraining";

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote; <c>transformers</c> has no such class.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    /// <exception cref="ModelFormatException">The config names no [ENC], or a field has a wrong type or value.</exception>
    public static BlipForPreTraining FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        BlipConfig config = BlipConfig.FromJson(json);
        if (config.Text.EncodeId is not { } encode || encode == config.Text.DecodeId)
            throw json.Object("text_config").Contradiction("enc_token_id", "must name the token [ENC], another than bos_token_id, which is [DEC].");
        BlipForPreTraining model = new(config);
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <inheritdoc/>
    GenerationResult ICaptioner.Caption(Tensor images, GenerationOptions? options, IndexTensor? prompt) => Captioning.Caption(images, options, prompt);

    /// <inheritdoc/>
    EncodedImages IMatchingModel.EncodeImages(Tensor images) => Retrieval.EncodeImages(images);

    /// <inheritdoc/>
    EncodedTexts IMatchingModel.EncodeTexts(TextBatch text) => Retrieval.EncodeTexts(text);

    /// <inheritdoc/>
    Tensor IMatchingModel.Match(EncodedImages images, EncodedTexts texts) => Retrieval.Match(images, texts);
}

/// <summary>How BLIP is pre-trained; the defaults are the published ones.</summary>
public sealed record BlipPretrainingOptions
{
    /// <summary>Features that each queue holds, at least a batch; 0 for no queue.</summary>
    public int QueueSize { get; init; } = 57_600;

    /// <summary>Steps in which the batch alone counts and the queues only fill; see <see cref="AlbefPretrainingOptions.QueueWarmUp"/>.</summary>
    public int QueueWarmUp { get; init; }

    /// <summary>m of the momentum encoders, in [0, 1].</summary>
    public double Momentum { get; init; } = 0.995;

    /// <summary>α: share of the contrastive target that the momentum encoders' similarities give.</summary>
    public float Alpha { get; init; } = 0.4f;

    /// <summary>Epochs in which α grows from 0; needs <see cref="PretrainingObjective.StepsPerEpoch"/>.</summary>
    public int AlphaEpochs { get; init; } = 2;

    /// <summary>How the wrong partners of the matching loss are chosen; hard ones need the contrastive loss, whose similarities tell how hard they are.</summary>
    public NegativeStrategy Negatives { get; init; } = NegativeStrategy.Hard;

    /// <summary>Weight of the image-text contrastive loss. A loss of weight 0 is not computed: a filter, say, is fine-tuned without the language loss.</summary>
    public float ContrastiveWeight { get; init; } = 1f;

    /// <summary>Weight of the image-text matching loss.</summary>
    public float MatchingWeight { get; init; } = 1f;

    /// <summary>Weight of the language-modelling loss.</summary>
    public float LanguageWeight { get; init; } = 1f;
}

/// <summary>
/// BLIP's pre-training: image-text contrast with momentum encoders, queues and soft targets, image-text matching with hard negatives, and
/// image-grounded language modelling, summed (arXiv:2201.12086, section 3.2). Parts of the loss: <c>itc</c>, <c>itm</c>, <c>lm</c>. Captions of
/// the same picture, in the batch or in the queues, are never negatives of each other. Until a queue is full, only what has entered it counts: the
/// published code begins with random vectors there, which are no features of anything and matter in its first steps alone.
/// </summary>
public sealed class BlipPretraining : PretrainingObjective<PairBatch>, IDisposable
{
    private const string CrossAttention = ".crossattention.";
    private readonly BlipForPreTraining _model;
    private readonly BlipPretrainingOptions _options;
    private readonly BlipRetrieval _momentumModel;
    private readonly MomentumEncoder _momentum;
    private readonly PairContrast _contrast;
    private readonly HardNegativeSampler _negatives;

    /// <summary>Makes momentum encoders equal to the model, and queues on its device; there are none without the contrastive loss.</summary>
    /// <param name="model">What is trained; its parameters have values. It is not disposed with this.</param>
    /// <param name="options">The published ones when null.</param>
    /// <param name="seed">Of the queues' first contents.</param>
    /// <exception cref="ArgumentException">All weights are 0, or hard negatives are asked for without the contrastive loss that tells how hard they are.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of its range.</exception>
    public BlipPretraining(BlipForPreTraining model, BlipPretrainingOptions? options = null, ulong seed = 0)
    {
        _model = model;
        _options = options ??= new BlipPretrainingOptions();
        if (!(options.Alpha is >= 0f and <= 1f)) throw new ArgumentOutOfRangeException(nameof(options), options.Alpha, "BlipPretraining: Alpha must lie in [0, 1].");
        foreach (float weight in new[] { options.ContrastiveWeight, options.MatchingWeight, options.LanguageWeight })
            if (!(weight >= 0f)) throw new ArgumentOutOfRangeException(nameof(options), weight, "BlipPretraining: a weight must be at least 0.");
        if (options.ContrastiveWeight + options.MatchingWeight + options.LanguageWeight == 0) throw new ArgumentException("BlipPretraining: at least one of the three weights must be positive.", nameof(options));
        if (options.ContrastiveWeight == 0 && options.MatchingWeight > 0 && options.Negatives == NegativeStrategy.Hard)
            throw new ArgumentException("BlipPretraining: hard negatives are chosen by the similarities of the contrastive loss; without it Negatives must be Random.", nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.QueueSize, "options.QueueSize");
        ArgumentOutOfRangeException.ThrowIfNegative(options.AlphaEpochs, "options.AlphaEpochs");

        // The copy encodes images and texts alone: what reads both stays without values.
        _momentumModel = new BlipRetrieval(model.Config);
        _momentum = new MomentumEncoder(Unimodal(model.Retrieval), Unimodal(_momentumModel), MomentumSchedule.Constant(options.Momentum));
        _negatives = new HardNegativeSampler { Strategy = options.Negatives };
        _contrast = new PairContrast(model.Temperature, model.Config.ProjectionSize, options.ContrastiveWeight > 0 ? options.QueueSize : 0, options.QueueWarmUp, readsImageIds: true, seed);
    }

    /// <inheritdoc/>
    public override Module Model => _model;

    /// <summary>The momentum encoders; evaluated, never trained.</summary>
    public BlipRetrieval MomentumModel => _momentumModel;

    /// <summary>Momentum features of earlier images; null without queues.</summary>
    public FeatureQueue? ImageQueue => _contrast.ImageQueue;

    /// <summary>Momentum features of earlier texts; null without queues.</summary>
    public FeatureQueue? TextQueue => _contrast.TextQueue;

    /// <inheritdoc/>
    public override LearnedTemperature Temperature => new(_model.Temperature, 0.001f, 0.5f);

    /// <inheritdoc/>
    public override IEnumerable<(string Name, ITrainingState State)> State => [("momentum", _momentum), .. _contrast.State];

    /// <inheritdoc/>
    public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) =>
    [
        .. _options.ContrastiveWeight > 0 ? [ChanceLevel.Contrastive("itc", batchSize + _contrast.CountingRows(Step))] : Array.Empty<ChanceLevel>(),
        .. _options.MatchingWeight > 0 ? ChanceLevel.Matching("itm", positives: 1, negatives: 2) : [],
        .. _options.LanguageWeight > 0 ? [ChanceLevel.Tokens("lm", _model.Config.Text.VocabularySize)] : Array.Empty<ChanceLevel>(),
    ];

    /// <inheritdoc/>
    /// <exception cref="ShapeException">There are fewer than two pairs, more than a queue holds, or not one text and id for each image.</exception>
    public override LossParts Loss(PairBatch batch)
    {
        Check(batch);
        Tensor imageTokens = _model.VisionEncoder.Forward(batch.Images);
        LossParts parts = [];
        if (_options.ContrastiveWeight > 0 || _options.MatchingWeight > 0) AddAlignment(parts, batch, imageTokens);
        if (_options.LanguageWeight > 0) parts.Add("lm", LanguageLoss(batch, imageTokens), _options.LanguageWeight);
        return parts;
    }

    /// <summary>Puts the momentum features of the step into the queues.</summary>
    public override void AfterBackward() => _contrast.Enqueue();

    /// <summary>Keeps the temperature between 0.001 and 0.5.</summary>
    /// <param name="step">Number of the step, from 1.</param>
    public override void AfterUpdate(int step) => Temperature.Clamp();

    /// <summary>Gives the memory of queues and momentum encoders back.</summary>
    public void Dispose()
    {
        _contrast.Dispose();
        _momentumModel.Dispose();
    }

    /// <summary>Contrast and matching; the wrong partners of the matching come from the similarities of the contrast, and are drawn without any where there is none.</summary>
    private void AddAlignment(LossParts parts, PairBatch batch, Tensor imageTokens)
    {
        Tensor imageToText, textToImage;
        if (_options.ContrastiveWeight > 0)
        {
            if (Tape.IsRecording) _momentum.Update();
            (Tensor contrast, imageToText, textToImage) = Align(batch, imageTokens);
            parts.Add("itc", contrast, _options.ContrastiveWeight);
        }
        else
        {
            imageToText = textToImage = Tensor.Zeros([batch.Count, batch.Count], imageTokens.Device);
        }

        if (_options.MatchingWeight == 0) return;
        ((int[], bool[]) images, (int[], bool[]) texts) = PairContrast.Choose(_negatives, imageToText, textToImage, new BatchPairs(batch));
        parts.Add("itm", MatchingLoss(batch, imageTokens, images, texts), _options.MatchingWeight);
    }

    private (Tensor Loss, Tensor ImageToText, Tensor TextToImage) Align(PairBatch batch, Tensor imageTokens)
    {
        Tensor imageMomentum, textMomentum;
        using (Tape.NoGradient())
        {
            imageMomentum = _momentumModel.EncodeImage(batch.Images);
            textMomentum = _momentumModel.EncodeText(batch.Text);
        }

        float alpha = _options.Alpha * Ramp(_options.AlphaEpochs * StepsPerEpoch);
        return _contrast.Align(_model.Retrieval.ProjectImage(imageTokens), _model.Retrieval.EncodeText(batch.Text), imageMomentum, textMomentum, batch.ImageIds, alpha, Step);
    }

    /// <summary>Cross-entropy of "match" for the pairs, and of "no match" for each text with a wrong image and each image with a wrong text.</summary>
    private Tensor MatchingLoss(PairBatch batch, Tensor imageTokens, (int[] Rows, bool[] Found) wrongImages, (int[] Rows, bool[] Found) wrongTexts)
    {
        int pairs = batch.Count;
        List<int> imageRows = [.. Enumerable.Range(0, pairs)], textRows = [.. imageRows], labels = [.. imageRows.Select(_ => 1)];
        for (int i = 0; i < pairs; i++) if (wrongImages.Found[i]) Add(wrongImages.Rows[i], i);
        for (int i = 0; i < pairs; i++) if (wrongTexts.Found[i]) Add(i, wrongTexts.Rows[i]);

        TextBatch all = batch.Text;
        Device device = imageTokens.Device;
        int tokens = all.TokenIds.Shape[1];
        int[] rows = [.. textRows];
        TextBatch text = new(EncodedRows.Gather(all.TokenIds.ToArray(), tokens, rows, device), all.Mask is { } mask ? EncodedRows.Gather(mask.ToArray(), tokens, rows, device) : null);
        Tensor grounded = _model.Retrieval.Ground(EncodedRows.Gather(imageTokens, [.. imageRows]), text);
        return _model.Retrieval.PredictMatch(grounded).CrossEntropy(IndexTensor.FromArray([.. labels], [labels.Count], device));

        void Add(int image, int text)
        {
            imageRows.Add(image);
            textRows.Add(text);
            labels.Add(0);
        }
    }

    private Tensor LanguageLoss(PairBatch batch, Tensor imageTokens)
    {
        (TextBatch decoded, IndexTensor labels) = BlipTokens.ForDecoding(batch.Text, _model.Config.Text);
        return _model.TextDecoder.Loss(_model.TextDecoder.Forward(decoded, imageTokens), labels);
    }

    private void Check(PairBatch batch)
    {
        int pairs = batch.Count;
        Shape text = batch.Text.TokenIds.Shape;
        if (pairs < 2) throw new ShapeException($"BlipPretraining: a batch needs at least two pairs, since a wrong partner is looked for in it; found {pairs}.");
        if (text.Rank != 2 || text[0] != pairs || batch.ImageIds.Shape != [pairs])
            throw new ShapeException($"BlipPretraining: {pairs} images need as many texts [batch, tokens] and ids [batch], found {text} and {batch.ImageIds.Shape}.");
        if (ImageQueue is { } queue && pairs > queue.Capacity) throw new ShapeException($"BlipPretraining: a batch of {pairs} pairs does not fit into queues of {queue.Capacity} features.");
    }

    private static IEnumerable<(string Name, Parameter Parameter)> Unimodal(BlipRetrieval model)
        => model.NamedParameters().Where(named => !named.Name.Contains(CrossAttention, StringComparison.Ordinal) && !named.Name.StartsWith("itm_head.", StringComparison.Ordinal));
}
