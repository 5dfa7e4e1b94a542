using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>A ViLT with a head: text, picture and their states in common (arXiv:2102.03334).</summary>
public abstract class ViltWithHead : PretrainedModel
{
    private protected ViltWithHead(Vilt backbone) => Backbone = Add("vilt", backbone);

    /// <summary>The transformer.</summary>
    public Vilt Backbone { get; }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Backbone.ToConfigJson();

    private protected static TModel Load<TModel>(string folder, Device? device, Func<ConfigJson, ViltConfig, TModel> create)
        where TModel : ViltWithHead
    {
        ConfigJson json = ConfigJson.Read(folder);
        TModel model = create(json, ViltConfig.FromJson(json));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }
}

/// <summary>
/// Scores of every word piece at every text position, norm(f(dense(x))) times the word embeddings or a matrix of its own; in BERT's manner
/// (arXiv:1810.04805).
/// </summary>
internal sealed class ViltMaskedLanguageHead : Module
{
    private readonly Vilt _backbone;
    private readonly Linear _transform;
    private readonly LayerNorm _norm;
    private readonly Linear? _decoder;
    private readonly Parameter? _bias;

    public ViltMaskedLanguageHead(Vilt backbone)
    {
        ViltConfig config = backbone.Config;
        Initializer initializer = Initializers.Normal(config.InitializerRange);
        _backbone = backbone;
        _transform = Add("transform.dense", new Linear(config.Width, config.Width, initializer: initializer));
        _norm = Add("transform.LayerNorm", new LayerNorm(config.Width, config.NormEpsilon));
        if (config.TieWordEmbeddings) _bias = Add("decoder.bias", [config.VocabularySize], Initializers.Zeros);
        else _decoder = Add("decoder", new Linear(config.Width, config.VocabularySize, initializer: initializer));
    }

    /// <summary>[..., width] to [..., vocabulary].</summary>
    public Tensor Forward(Tensor states)
    {
        Tensor x = _norm.Forward(_transform.Forward(states, _backbone.Config.Activation));
        return _decoder is null ? x.Linear(_backbone.WordEmbeddings.Weight, _bias!.Value) : _decoder.Forward(x);
    }

    /// <summary>Older checkpoints hold the bias a second time beside the decoder; a tied one may hold the word embeddings again.</summary>
    public bool IgnoresKey(string key) => key == "mlm_score.bias" || (_decoder is null && key == "mlm_score.decoder.weight");
}

/// <summary>ViLT that predicts masked word pieces from text and picture. Parameter names are those of <c>ViltForMaskedLM</c>.</summary>
public sealed class ViltForMaskedLM : ViltWithHead
{
    private readonly ViltMaskedLanguageHead _head;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public ViltForMaskedLM(ViltConfig config)
        : base(new Vilt(config)) => _head = Add("mlm_score", new ViltMaskedLanguageHead(Backbone));

    /// <inheritdoc/>
    public override string Architecture => "ViltForMaskedLM";

    /// <summary>Loads a Hugging Face folder of <c>ViltForMaskedLM</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static ViltForMaskedLM FromPretrained(string folder, Device? device = null) => Load(folder, device, static (_, config) => new ViltForMaskedLM(config));

    /// <summary>Scores of every word piece [batch, text tokens, vocabulary] from the states of <see cref="ViltWithHead.Backbone"/>.</summary>
    public Tensor PredictTokens(ViltStates states) => _head.Forward(states.Text);

    /// <summary>Mean cross-entropy of the masked word pieces.</summary>
    /// <param name="text">The corrupted text.</param>
    /// <param name="images">The pictures that it describes.</param>
    /// <param name="labels">[batch, tokens], the right id where a word was masked and -100 elsewhere.</param>
    public Tensor Loss(TextBatch text, ImageBatch images, IndexTensor labels) => PredictTokens(Backbone.Forward(text, images)).CrossEntropy(labels);

    /// <inheritdoc/>
    protected override bool IgnoresKey(string key) => base.IgnoresKey(key) || _head.IgnoresKey(key);
}

/// <summary>
/// ViLT that scores how well a picture and a text belong together. Parameter names are those of <c>ViltForImageAndTextRetrieval</c>.
/// </summary>
public sealed class ViltForImageAndTextRetrieval : ViltWithHead, IMatchingModel
{
    private readonly Linear _rank;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public ViltForImageAndTextRetrieval(ViltConfig config)
        : this(new Vilt(config))
    {
    }

    /// <summary>Puts a new head on a transformer that has values already; <see cref="Module.InitializeMissing"/> fills the head.</summary>
    /// <param name="backbone">A transformer with a pooler.</param>
    public ViltForImageAndTextRetrieval(Vilt backbone)
        : base(backbone) => _rank = Add("rank_output", new Linear(backbone.Config.Width, 1, initializer: Initializers.Normal(backbone.Config.InitializerRange)));

    /// <inheritdoc/>
    public override string Architecture => "ViltForImageAndTextRetrieval";

    /// <summary>Loads a Hugging Face folder of <c>ViltForImageAndTextRetrieval</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static ViltForImageAndTextRetrieval FromPretrained(string folder, Device? device = null)
        => Load(folder, device, static (_, config) => new ViltForImageAndTextRetrieval(config));

    /// <summary>The score [batch, 1] of each pair from the states of <see cref="ViltWithHead.Backbone"/>; larger is better.</summary>
    public Tensor Rank(ViltStates states) => _rank.Forward(Backbone.Pool(states));

    /// <summary>The score [batch, 1] of each pair, row by row.</summary>
    public Tensor Forward(TextBatch text, ImageBatch images) => Rank(Backbone.Forward(text, images));

    /// <inheritdoc/>
    public EncodedImages EncodeImages(Tensor images) => new(images, null);

    /// <inheritdoc/>
    public EncodedTexts EncodeTexts(TextBatch text) => new(text, null, null);

    /// <inheritdoc/>
    public Tensor Match(EncodedImages images, EncodedTexts texts) => Forward(texts.Text, new ImageBatch(images.States)).Reshape([images.Count]);

    /// <summary>
    /// Cross-entropy of the right candidate among several: the fine-tuning loss of the paper, where each picture is paired with its text and 15 others.
    /// </summary>
    /// <param name="text">[groups · candidates, tokens]; the first of each group is the right one.</param>
    /// <param name="images">As many pictures.</param>
    /// <param name="candidates">Size of a group, at least 2.</param>
    /// <exception cref="ArgumentException">The batch is not whole groups of at least two.</exception>
    public Tensor Loss(TextBatch text, ImageBatch images, int candidates)
    {
        int batch = text.TokenIds.Shape[0];
        if (candidates < 2 || batch % candidates != 0) throw new ArgumentException($"ViltForImageAndTextRetrieval: {batch} pairs must be whole groups of at least two candidates, not of {candidates}.", nameof(candidates));
        int[] first = new int[batch / candidates];
        return Forward(text, images).Reshape([first.Length, candidates]).CrossEntropy(IndexTensor.FromArray(first, [first.Length], images.Pixels.Device));
    }

    /// <summary>Makes the head score by the log-odds of a pre-trained two-way matching head.</summary>
    internal void TakeMatchingHead(Linear matching)
    {
        Tensor weight = matching.Weight.Value;
        float[] rows = weight.ToArray(), bias = matching.Bias!.Value.ToArray(), difference = new float[rows.Length / 2];
        for (int i = 0; i < difference.Length; i++) difference[i] = rows[difference.Length + i] - rows[i];
        _rank.Weight.Assign(difference, weight.Device);
        _rank.Bias!.Assign([bias[1] - bias[0]], weight.Device);
    }
}

/// <summary>linear, norm (ε 1e-5), GELU, linear: the classifier on pooled states, named as the layers of a PyTorch sequence.</summary>
internal sealed class ViltClassifier : Module
{
    private readonly Linear _first;
    private readonly LayerNorm _norm;
    private readonly Linear _second;

    public ViltClassifier(int inputs, int hidden, int outputs, Initializer initializer)
    {
        _first = Add("0", new Linear(inputs, hidden, initializer: initializer));
        _norm = Add("1", new LayerNorm(hidden));
        _second = Add("3", new Linear(hidden, outputs, initializer: initializer));
    }

    /// <summary>[batch, inputs] to [batch, outputs].</summary>
    public Tensor Forward(Tensor pooled) => _second.Forward(_norm.Forward(_first.Forward(pooled)).Gelu());

    /// <summary>The usual groups, with the classifier's learning rate multiplied.</summary>
    public static IReadOnlyList<ParameterGroup> Groups(Module model, double weightDecay, double headMultiplier)
        => ParameterGroup.SplitByDecay(model.NamedParameters(), weightDecay, name => name.StartsWith("classifier.", StringComparison.Ordinal) ? headMultiplier : 1);
}

/// <summary>
/// ViLT that answers questions about pictures by choosing among known answers. Parameter names are those of <c>ViltForQuestionAnswering</c>.
/// </summary>
public sealed class ViltForQuestionAnswering : ViltWithHead, IAnswerClassifier
{
    private readonly ViltClassifier _classifier;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="answers">The answers to choose from; VQAv2's are 3,129.</param>
    public ViltForQuestionAnswering(ViltConfig config, IReadOnlyList<string> answers)
        : this(new Vilt(config), answers)
    {
    }

    /// <summary>Puts a new head on a transformer that has values already; <see cref="Module.InitializeMissing"/> fills the head.</summary>
    /// <param name="backbone">A transformer with a pooler.</param>
    /// <param name="answers">The answers to choose from.</param>
    public ViltForQuestionAnswering(Vilt backbone, IReadOnlyList<string> answers)
        : base(backbone)
    {
        Answers = answers;
        int width = backbone.Config.Width;
        _classifier = Add("classifier", new ViltClassifier(width, 2 * width, answers.Count, Initializers.Normal(backbone.Config.InitializerRange)));
    }

    /// <summary>The answers, as <c>id2label</c> has them.</summary>
    public IReadOnlyList<string> Answers { get; }

    /// <inheritdoc/>
    public override string Architecture => "ViltForQuestionAnswering";

    /// <summary>Loads a Hugging Face folder of <c>ViltForQuestionAnswering</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static ViltForQuestionAnswering FromPretrained(string folder, Device? device = null)
        => Load(folder, device, static (json, config) => new ViltForQuestionAnswering(config, LabelNames.Read(json)));

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => LabelNames.Write(base.ToConfigJson(), Answers);

    /// <summary>Scores of the answers [batch, answers] from the states of <see cref="ViltWithHead.Backbone"/>.</summary>
    public Tensor Classify(ViltStates states) => _classifier.Forward(Backbone.Pool(states));

    /// <summary>Scores of the answers [batch, answers] to questions about pictures, row by row.</summary>
    public Tensor Forward(TextBatch questions, ImageBatch images) => Classify(Backbone.Forward(questions, images));

    /// <inheritdoc/>
    Tensor IAnswerClassifier.AnswerLogits(Tensor images, TextBatch questions) => Forward(questions, new ImageBatch(images));

    /// <summary>Mean binary cross-entropy over all answers, times their number.</summary>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="images">The pictures that are asked about.</param>
    /// <param name="scores">[batch, answers] in [0, 1]: how right each answer is, by the number of people who gave it.</param>
    public Tensor Loss(TextBatch questions, ImageBatch images, Tensor scores)
        => Forward(questions, images).BinaryCrossEntropyWithLogits(scores) * Answers.Count;

    /// <summary>What an optimizer trains: weight decay for matrices, and a larger learning rate for the new head.</summary>
    /// <param name="weightDecay">Strength of the decay.</param>
    /// <param name="headMultiplier">Factor of the head's learning rate; 10 in the paper.</param>
    public IReadOnlyList<ParameterGroup> ParameterGroups(double weightDecay = 0.01, double headMultiplier = 10) => ViltClassifier.Groups(this, weightDecay, headMultiplier);
}

/// <summary>
/// ViLT that classifies a text about several pictures: each is read together with the text, under a modality of its own, and what is pooled is
/// put side by side (NLVR2, arXiv:1811.00491). Parameter names are those of <c>ViltForImagesAndTextClassification</c>.
/// </summary>
public sealed class ViltForImagesAndTextClassification : ViltWithHead
{
    private readonly ViltClassifier _classifier;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes; with <see cref="ViltConfig.NumImages"/> pictures and more modalities than that.</param>
    /// <param name="labels">Names of the classes.</param>
    public ViltForImagesAndTextClassification(ViltConfig config, IReadOnlyList<string> labels)
        : this(new Vilt(config), labels)
    {
    }

    /// <summary>Puts a new head on a transformer that has values already; <see cref="Module.InitializeMissing"/> fills the head.</summary>
    /// <param name="backbone">A transformer with a pooler, whose config is as above.</param>
    /// <param name="labels">Names of the classes.</param>
    public ViltForImagesAndTextClassification(Vilt backbone, IReadOnlyList<string> labels)
        : base(backbone)
    {
        ViltConfig config = backbone.Config;
        if (config.NumImages < 1 || config.ModalityTypes <= config.NumImages)
            throw new ArgumentException($"ViltForImagesAndTextClassification: NumImages must be at least 1 and ModalityTypes above it, found {config.NumImages} and {config.ModalityTypes}.", nameof(backbone));
        Labels = labels;
        int width = config.Width * config.NumImages;
        _classifier = Add("classifier", new ViltClassifier(width, width, labels.Count, Initializers.Normal(config.InitializerRange)));
    }

    /// <summary>Names of the classes, as <c>id2label</c> has them.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <inheritdoc/>
    public override string Architecture => "ViltForImagesAndTextClassification";

    /// <summary>Loads a Hugging Face folder of <c>ViltForImagesAndTextClassification</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static ViltForImagesAndTextClassification FromPretrained(string folder, Device? device = null) => Load(folder, device, static (json, config) =>
    {
        if (config.NumImages < 1) throw json.Contradiction("num_images", $"{config.NumImages} is below 1, the number of pictures that the model sees together.");
        if (config.ModalityTypes <= config.NumImages) throw json.Contradiction("modality_type_vocab_size", $"{config.ModalityTypes} is not above num_images {config.NumImages}.");
        return new ViltForImagesAndTextClassification(config, LabelNames.Read(json));
    });

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => LabelNames.Write(base.ToConfigJson(), Labels);

    /// <summary>Logits [batch, classes].</summary>
    /// <param name="text">[batch, tokens].</param>
    /// <param name="images">One batch of pictures for each place, <see cref="ViltConfig.NumImages"/> of them.</param>
    /// <exception cref="ArgumentException">There are more or fewer places.</exception>
    public Tensor Forward(TextBatch text, IReadOnlyList<ImageBatch> images)
    {
        int places = Backbone.Config.NumImages;
        if (images.Count != places) throw new ArgumentException($"ViltForImagesAndTextClassification: the model sees {places} pictures together, not {images.Count}.", nameof(images));
        return _classifier.Forward(Tensor.Concatenate(1, [.. images.Select((image, i) => Backbone.Pool(Backbone.Forward(text, image, i + 1)))]));
    }

    /// <summary>Mean cross-entropy of the logits against labels [batch].</summary>
    public Tensor Loss(TextBatch text, IReadOnlyList<ImageBatch> images, IndexTensor labels) => Forward(text, images).CrossEntropy(labels);

    /// <summary>What an optimizer trains: weight decay for matrices, and a larger learning rate for the new head.</summary>
    /// <param name="weightDecay">Strength of the decay.</param>
    /// <param name="headMultiplier">Factor of the head's learning rate; 10 in the paper.</param>
    public IReadOnlyList<ParameterGroup> ParameterGroups(double weightDecay = 0.01, double headMultiplier = 10) => ViltClassifier.Groups(this, weightDecay, headMultiplier);
}

/// <summary>ViLT that labels every word piece. Parameter names are those of <c>ViltForTokenClassification</c>.</summary>
public sealed class ViltForTokenClassification : ViltWithHead
{
    private readonly Linear _classifier;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="labels">Names of the classes.</param>
    public ViltForTokenClassification(ViltConfig config, IReadOnlyList<string> labels)
        : base(new Vilt(config, pooler: false))
    {
        Labels = labels;
        _classifier = Add("classifier", new Linear(config.Width, labels.Count, initializer: Initializers.Normal(config.InitializerRange)));
    }

    /// <summary>Names of the classes, as <c>id2label</c> has them.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <inheritdoc/>
    public override string Architecture => "ViltForTokenClassification";

    /// <summary>Loads a Hugging Face folder of <c>ViltForTokenClassification</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static ViltForTokenClassification FromPretrained(string folder, Device? device = null)
        => Load(folder, device, static (json, config) => new ViltForTokenClassification(config, LabelNames.Read(json)));

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => LabelNames.Write(base.ToConfigJson(), Labels);

    /// <summary>Logits [batch, text tokens, classes].</summary>
    public Tensor Forward(TextBatch text, ImageBatch images) => _classifier.Forward(Backbone.Forward(text, images).Text);

    /// <summary>Mean cross-entropy of the logits against labels [batch, tokens]; -100 counts for nothing.</summary>
    public Tensor Loss(TextBatch text, ImageBatch images, IndexTensor labels) => Forward(text, images).CrossEntropy(labels);
}
