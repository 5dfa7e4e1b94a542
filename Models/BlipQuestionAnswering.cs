using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// BLIP for visual question answering as generation: an image-grounded encoder reads the question, a decoder that attends to its states writes the
/// answer (Li et al., arXiv:2201.12086). Parameter names are those of <c>BlipForQuestionAnswering</c>.
/// </summary>
public sealed class BlipQuestionAnswering : PretrainedModel, IAnswerRanker, IAnswerWriter
{
    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes; text and image are equally wide, since the decoder's cross-attention, made for image tokens, reads question states.</param>
    /// <exception cref="ArgumentException">Text and image differ in width.</exception>
    public BlipQuestionAnswering(BlipConfig config)
    {
        if (config.Text.Width != config.Vision.Width)
            throw new ArgumentException($"BlipQuestionAnswering: the text must be as wide as the image, {config.Vision.Width}, but it is {config.Text.Width}: the answer decoder reads question states where others read image tokens.", nameof(config));
        Config = config;
        VisionEncoder = Add("vision_model", new BlipVisionEncoder(config.Vision));
        TextEncoder = Add("text_encoder", new BlipTextNetwork(config));
        TextDecoder = Add("text_decoder", new BlipTextDecoder(config));
    }

    /// <summary>Sizes.</summary>
    public BlipConfig Config { get; }

    /// <summary>The image encoder.</summary>
    public BlipVisionEncoder VisionEncoder { get; }

    /// <summary>The encoder of the question.</summary>
    public BlipTextNetwork TextEncoder { get; }

    /// <summary>The decoder of the answer.</summary>
    public BlipTextDecoder TextDecoder { get; }

    /// <inheritdoc/>
    public override string Architecture => "BlipForQuestionAnswering";

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    /// <exception cref="ModelFormatException">Text and image differ in width, or a field of the config has a wrong type or value.</exception>
    public static BlipQuestionAnswering FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        BlipConfig config = BlipConfig.FromJson(json);
        if (config.Text.Width != config.Vision.Width)
            throw json.Object("text_config").Contradiction("hidden_size", $"{config.Text.Width} must equal that of vision_config, {config.Vision.Width}: the answer decoder reads question states where others read image tokens.");
        BlipQuestionAnswering model = new(config);
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <summary>A model that starts from a pre-trained one, whose shared parts part: encoder and decoder are fine-tuned separately.</summary>
    /// <param name="pretrained">The pre-trained model; it stays as it is.</param>
    /// <exception cref="ArgumentException">Text and image differ in width.</exception>
    public static BlipQuestionAnswering From(BlipForPreTraining pretrained)
    {
        BlipQuestionAnswering model = new(pretrained.Config);
        foreach ((Module source, Module target) in new (Module, Module)[] { (pretrained.VisionEncoder, model.VisionEncoder), (pretrained.TextEncoder, model.TextEncoder), (pretrained.TextDecoder, model.TextDecoder) })
            foreach (((_, Parameter from), (_, Parameter to)) in source.NamedParameters().Zip(target.NamedParameters())) to.Assign(from.Value.ToArray(), from.Value.Device);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>
    /// images [batch, 3, size, size] and questions [batch, tokens] to the questions' hidden states [batch, tokens, width], which have seen the image.
    /// </summary>
    /// <param name="images">Normalised pixels.</param>
    /// <param name="questions">Ids and mask; [ENC] takes the place of the first token where the config has one.</param>
    public Tensor Ask(Tensor images, TextBatch questions) => AskAbout(VisionEncoder.Forward(images), questions);

    /// <summary>The same for images that were encoded, [batch, 1 + patches, width]; image i for question i.</summary>
    internal Tensor AskAbout(Tensor imageTokens, TextBatch questions) => TextEncoder.Forward(BlipTokens.WithFirst(questions, Config.Text.EncodeId), imageTokens);

    /// <summary>Answers so far [batch, tokens] to scores of the next word piece [batch, tokens, vocabulary].</summary>
    /// <param name="answers">Ids as they are decoded, starting with [DEC], and mask.</param>
    /// <param name="questionStates">[batch, question tokens, width] of <see cref="Ask"/>.</param>
    /// <param name="questionMask">[batch, question tokens], 1 for a token and 0 for padding; all ones when null.</param>
    public Tensor AnswerLogits(TextBatch answers, Tensor questionStates, IndexTensor? questionMask) => TextDecoder.Forward(answers, questionStates, questionMask);

    /// <summary>Mean cross-entropy of the answers' word pieces, with <see cref="BlipTextConfig.LabelSmoothing"/>, as <c>transformers</c> has it.</summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="answers">[batch, tokens] as a tokenizer writes them: [DEC] takes the place of the first token; padding does not count.</param>
    public Tensor Loss(Tensor images, TextBatch questions, TextBatch answers)
    {
        (TextBatch decoded, IndexTensor labels) = BlipTokens.ForDecoding(answers, Config.Text);
        return TextDecoder.Loss(AnswerLogits(decoded, Ask(images, questions), questions.Mask), labels);
    }

    /// <summary>
    /// 1/batch · Σ weight · cross-entropy over all answers of all questions, each summed over its word pieces, with
    /// <see cref="BlipTextConfig.LabelSmoothing"/>: what the original is fine-tuned by (arXiv:2201.12086, section 5.3).
    /// </summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="answers">[answers, tokens] as a tokenizer writes them: [DEC] takes the place of the first token; padding does not count.</param>
    /// <param name="questionOfAnswer">The question of each answer; answer i is that of question i when null.</param>
    /// <param name="weights">Of the answers, such as the share of people who gave them; ones when null.</param>
    /// <exception cref="ShapeException">There are not as many answers as their questions and weights.</exception>
    public Tensor WeightedLoss(Tensor images, TextBatch questions, TextBatch answers, IReadOnlyList<int>? questionOfAnswer = null, IReadOnlyList<float>? weights = null)
    {
        int batch = images.Shape[0], count = answers.TokenIds.Shape[0];
        if ((questionOfAnswer?.Count ?? batch) != count || (weights?.Count ?? count) != count)
            throw new ShapeException($"BlipQuestionAnswering: {count} answers need as many questions and weights, found {questionOfAnswer?.Count ?? batch} and {weights?.Count ?? count}.");
        Tensor states = Ask(images, questions);
        IndexTensor? mask = questions.Mask;
        if (questionOfAnswer is not null) (states, mask) = EncodedRows.Gather(states, mask, [.. questionOfAnswer]);
        (TextBatch decoded, IndexTensor labels) = BlipTokens.ForDecoding(answers, Config.Text);
        Tensor losses = TextDecoder.Loss(AnswerLogits(decoded, states, mask), labels, reduction: Reduction.None).Sum(1);
        if (weights is not null) losses *= Tensor.FromArray([.. weights], [count], states.Device);
        return losses.Sum() * (1f / batch);
    }

    /// <summary>The decoder with these questions to look at, for <see cref="TextGenerator"/>.</summary>
    /// <param name="questionStates">[batch, question tokens, width] of <see cref="Ask"/>; row i for row i of the prompt.</param>
    /// <param name="questionMask">[batch, question tokens], 1 = attend; all when null.</param>
    public ICausalDecoder Decode(Tensor questionStates, IndexTensor? questionMask) => TextDecoder.Looking(questionStates, questionMask);

    /// <summary>
    /// Writes answers; with <see cref="GenerationOptions.AllowedSequences"/> those of a closed set.
    /// </summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="options">How; greedy search when null. Without stop tokens the config's end token is one, and its padding token pads.</param>
    /// <param name="attendToPadding">
    /// Lets the decoder attend to the padding of the questions too, as <c>transformers</c> does always and the original code when it generates, though it
    /// trains with the padding masked. It makes no difference to questions without padding.
    /// </param>
    public GenerationResult Answer(Tensor images, TextBatch questions, GenerationOptions? options = null, bool attendToPadding = false)
    {
        using TensorScope scope = new();
        IndexTensor start = BlipTokens.Start(null, images.Shape[0], Config.Text, images.Device);
        return TextGenerator.Generate(Decode(Ask(images, questions), attendToPadding ? null : questions.Mask), start, BlipTokens.Complete(options, Config.Text));
    }

    /// <summary>
    /// The likeliest of a closed set of answers, best first: those whose first token is likeliest are written out and compared by the likelihood of
    /// the whole.
    /// </summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="answers">Token ids of each answer without start token, the end token included.</param>
    /// <param name="candidates">How many are written out; 128 in the original.</param>
    public IReadOnlyList<RankedAnswer>[] Rank(Tensor images, TextBatch questions, IReadOnlyList<IReadOnlyList<int>> answers, int candidates = 128)
    {
        using TensorScope scope = new();
        IndexTensor start = BlipTokens.Start(null, images.Shape[0], Config.Text, images.Device);
        return AnswerRanker.Rank(Decode(Ask(images, questions), questions.Mask), start, answers, candidates);
    }

    /// <inheritdoc/>
    GenerationResult IAnswerWriter.WriteAnswers(Tensor images, TextBatch questions, GenerationOptions? options) => Answer(images, questions, options);

    /// <inheritdoc/>
    IReadOnlyList<RankedAnswer>[] IAnswerRanker.RankAnswers(Tensor images, TextBatch questions, IReadOnlyList<IReadOnlyList<int>> answers, int candidates)
        => Rank(images, questions, [.. answers.Select(answer => answer.Skip(1).ToArray())], candidates);
}
