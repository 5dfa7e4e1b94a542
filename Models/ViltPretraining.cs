using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// ViLT with both pre-training heads: masked word pieces, and whether text and picture belong together. The parameters of <c>ViltForMaskedLM</c>
/// under its names, and <c>itm_score.fc</c>, which transformers has no class for.
/// </summary>
public sealed class ViltForPreTraining : ViltWithHead, IMatchingModel
{
    private readonly ViltMaskedLanguageHead _words;
    private readonly Linear _matching;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public ViltForPreTraining(ViltConfig config)
        : base(new Vilt(config))
    {
        _words = Add("mlm_score", new ViltMaskedLanguageHead(Backbone));
        _matching = Add("itm_score.fc", new Linear(config.Width, 2, initializer: Initializers.Normal(config.InitializerRange)));
    }

    /// <inheritdoc/>
    public override string Architecture => "ViltForPreTraining";

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static ViltForPreTraining FromPretrained(string folder, Device? device = null) => Load(folder, device, static (_, config) => new ViltForPreTraining(config));

    /// <summary>Scores of every word piece [batch, text tokens, vocabulary] from the states of <see cref="ViltWithHead.Backbone"/>.</summary>
    public Tensor PredictTokens(ViltStates states) => _words.Forward(states.Text);

    /// <summary>The same of some tokens alone: [tokens, width] to [tokens, vocabulary].</summary>
    internal Tensor PredictTokens(Tensor tokens) => _words.Forward(tokens);

    /// <summary>Scores [batch, 2] of "do not belong together" (0) and "belong together" (1).</summary>
    public Tensor PredictMatch(ViltStates states) => _matching.Forward(Backbone.Pool(states));

    /// <summary>A retrieval model on the same transformer, whose score is the log-odds of the matching head.</summary>
    public ViltForImageAndTextRetrieval ToRetrieval()
    {
        ViltForImageAndTextRetrieval retrieval = new(Backbone);
        retrieval.TakeMatchingHead(_matching);
        return retrieval;
    }

    /// <inheritdoc/>
    public EncodedImages EncodeImages(Tensor images) => new(images, null);

    /// <inheritdoc/>
    public EncodedTexts EncodeTexts(TextBatch text) => new(text, null, null);

    /// <inheritdoc/>
    public Tensor Match(EncodedImages images, EncodedTexts texts)
    {
        Tensor scores = PredictMatch(Backbone.Forward(texts.Text, new ImageBatch(images.States)));
        return (scores.Narrow(1, 1, 1) - scores.Narrow(1, 0, 1)).Reshape([images.Count]);
    }

    /// <inheritdoc/>
    protected override bool IgnoresKey(string key) => base.IgnoresKey(key) || _words.IgnoresKey(key);
}

/// <summary>How a <see cref="ViltPretraining"/> trains.</summary>
public sealed record ViltPretrainingOptions
{
    /// <summary>
    /// How words are masked: 15 % of them in the paper, whole. Its special ids (start, end, padding) are also what word-patch alignment leaves out.
    /// </summary>
    public required TokenMasking Masking { get; init; }

    /// <summary>Probability that the picture of a pair is replaced by another one of the batch.</summary>
    public double MismatchRate { get; init; } = 0.5;

    /// <summary>Factor of word-patch alignment; 0 leaves it out.</summary>
    public float AlignmentWeight { get; init; } = 0.1f;

    /// <summary>
    /// Whether the distance of replaced pairs counts against that of matching ones, Σ matching - Σ replaced over the number of pairs, as in UNITER's
    /// and ViLT's code; false takes the mean over the matching pairs alone.
    /// </summary>
    public bool AlignmentOfMismatches { get; init; } = true;

    /// <summary>Of the transport plans.</summary>
    public OptimalTransportOptions Transport { get; init; } = new();
}

/// <summary>
/// ViLT's pre-training (Kim et al., arXiv:2102.03334): does the picture belong to the text (<c>itm</c>; it is replaced with probability 0.5), how far
/// words are from patches (<c>wpa</c>, weight 0.1), and which words are masked (<c>mlm</c>, from the true picture). Captions of one picture are never
/// mismatched with it. Two passes of the transformer for each step.
/// </summary>
public sealed class ViltPretraining : PretrainingObjective<PairBatch>
{
    private readonly ViltPretrainingOptions _options;
    private readonly HashSet<int> _special;

    /// <summary>Sets up the training of a model.</summary>
    /// <param name="model">What is trained.</param>
    /// <param name="options">How.</param>
    /// <exception cref="ArgumentException">An option is out of range, or the masking knows more word pieces than the model.</exception>
    public ViltPretraining(ViltForPreTraining model, ViltPretrainingOptions options)
    {
        int vocabulary = model.Backbone.Config.VocabularySize;
        if (!(options.MismatchRate is >= 0 and <= 1)) throw new ArgumentException($"ViltPretraining: MismatchRate must be a probability, found {options.MismatchRate}.", nameof(options));
        if (!(options.AlignmentWeight >= 0)) throw new ArgumentException($"ViltPretraining: AlignmentWeight must not be negative, found {options.AlignmentWeight}.", nameof(options));
        if (options.Masking.VocabularySize > vocabulary) throw new ArgumentException($"ViltPretraining: the masking draws from {options.Masking.VocabularySize} word pieces, the model knows {vocabulary}.", nameof(options));
        Vilt = model;
        _options = options;
        _special = [.. options.Masking.SpecialIds];
    }

    /// <summary>The model that is trained.</summary>
    public ViltForPreTraining Vilt { get; }

    /// <inheritdoc/>
    public override Module Model => Vilt;

    /// <summary>The paper's optimizer: AdamW with weight decay for matrices alone.</summary>
    /// <param name="model">What is trained.</param>
    /// <param name="learningRate">At the peak of the schedule; 1e-4 in the paper.</param>
    /// <param name="weightDecay">0.01 in the paper.</param>
    public static AdamW CreateOptimizer(Module model, double learningRate = 1e-4, double weightDecay = 0.01)
        => new(ParameterGroup.SplitByDecay(model.NamedParameters(), weightDecay), learningRate);

    /// <summary>The paper's schedule: up in a straight line for a tenth of the steps, then down to 0.</summary>
    /// <param name="learningRate">At the peak.</param>
    /// <param name="totalSteps">Steps of the training.</param>
    public static LearningRateSchedule Schedule(double learningRate, int totalSteps) => LearningRateSchedule.Linear(learningRate, totalSteps / 10, totalSteps);

    /// <inheritdoc/>
    public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize)
        => [.. ChanceLevel.Matching("itm", 1, 1), ChanceLevel.Tokens("mlm", Vilt.Backbone.Config.VocabularySize)];

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The batch has fewer than two pairs, or not as many pictures, texts and ids.</exception>
    public override LossParts Loss(PairBatch batch)
    {
        int count = batch.Text.TokenIds.Shape[0];
        if (count < 2) throw new ArgumentException($"ViltPretraining: a batch of {count} has no other picture for a mismatched pair; at least 2 are needed.", nameof(batch));
        if (batch.Images.Shape.Rank != 4 || batch.Images.Shape[0] != count || batch.ImageIds.Shape.Length != count)
            throw new ArgumentException($"ViltPretraining: there must be one picture and one id for each text, found {batch.Images.Shape}, {batch.ImageIds.Shape} and texts {batch.Text.TokenIds.Shape}.", nameof(batch));
        Device device = batch.Images.Device;
        (int[] sources, int[] matches) = Mismatch(new BatchPairs(batch), count);
        LossParts parts = [];

        ViltStates pairs = Vilt.Backbone.Forward(batch.Text, new ImageBatch(EncodedRows.Gather(batch.Images, sources)));
        parts.Add("itm", Vilt.PredictMatch(pairs).CrossEntropy(IndexTensor.FromArray(matches, [count], device)));
        if (_options.AlignmentWeight > 0) parts.Add("wpa", AlignmentLoss(pairs, batch.Text, matches), _options.AlignmentWeight);

        MaskedTokens masked = _options.Masking.Apply(batch.Text.TokenIds);
        if (masked.Count == 0) return parts;
        ViltStates words = Vilt.Backbone.Forward(batch.Text with { TokenIds = masked.Ids }, new ImageBatch(batch.Images));

        // The head has as many outputs as there are word pieces: it reads the masked places alone.
        (int[] places, IndexTensor labels) = EncodedRows.Labelled(masked.Labels);
        Tensor text = words.Text.Reshape([masked.Labels.Shape.Length, words.Text.Shape[-1]]);
        parts.Add("mlm", Vilt.PredictTokens(EncodedRows.Gather(text, places)).CrossEntropy(labels));
        return parts;
    }

    /// <summary>For each pair the row that its picture is taken from, and whether it is its own: 1 for a match. A pair whose text belongs to every picture of the batch stays.</summary>
    private (int[] Sources, int[] Matches) Mismatch(BatchPairs pairs, int count)
    {
        Generator generator = Generator.Current;
        int[] sources = new int[count], matches = new int[count];
        for (int i = 0; i < count; i++)
        {
            int[] own = pairs.ImagesOf(i);
            int others = count - own.Length;
            bool stays = generator.NextUniform() >= _options.MismatchRate || others == 0;
            sources[i] = stays ? i : RowOfOther(generator.Next(others), own);
            matches[i] = stays ? 1 : 0;
        }

        return (sources, matches);

        // The rows that are right come in order: each that is not above the row so far moves it on.
        static int RowOfOther(int row, int[] own)
        {
            foreach (int taken in own) if (taken <= row) row++;
            return row;
        }
    }

    private Tensor AlignmentLoss(ViltStates pairs, TextBatch text, int[] matches)
    {
        IndexTensor ids = text.TokenIds;
        int[] words = ids.ToArray(), mask = text.Mask?.ToArray() ?? [];
        for (int i = 0; i < words.Length; i++) words[i] = _special.Contains(words[i]) || (mask.Length > 0 && mask[i] == 0) ? 0 : 1;
        Tensor distance = OptimalTransport.Distance(
            OptimalTransport.CosineCost(pairs.Text, pairs.Patches), IndexTensor.FromArray(words, ids.Shape, ids.Device), pairs.PatchMask, _options.Transport);
        float positives = Math.Max(1, matches.Sum());
        float[] weights = [.. matches.Select(match => !_options.AlignmentOfMismatches ? match / positives : ((2 * match) - 1) / (float)matches.Length)];
        return (distance * Tensor.FromArray(weights, [weights.Length], ids.Device)).Sum();
    }
}
