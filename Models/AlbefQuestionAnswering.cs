using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// ALBEF for visual question answering as generation (arXiv:2107.07651, section 5): the fused states of the question are the context of an answer
/// decoder, a causal copy of the fusion layers, which is asked for the likelihood of each answer. Parameter names are the original's:
/// <c>visual_encoder</c>, <c>text_encoder</c>, <c>text_decoder.bert</c>, <c>text_decoder.cls</c>.
/// </summary>
public sealed class AlbefQuestionAnswering : PretrainedModel, IAnswerRanker
{
    /// <summary>Label of a position that counts for nothing.</summary>
    private const int Ignored = -100;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes of the pre-trained model; the decoder is as deep as its fusion layers.</param>
    /// <exception cref="ArgumentException">The text network has no fusion layer.</exception>
    public AlbefQuestionAnswering(AlbefConfig config)
    {
        Config = config;
        BertConfig text = config.FusionText;
        VisionEncoder = Add("visual_encoder", new VisionTransformer(config.Vision, pooler: false));
        TextEncoder = Add("text_encoder", new Bert(text, pooler: false));
        BertConfig decoder = text with { Layers = text.Layers - text.FusionLayer!.Value, FusionLayer = 0, ContextWidth = text.Width };
        AnswerDecoder = Add("text_decoder", new BertForPreTraining(decoder, nextSentence: false));
    }

    /// <summary>Sizes of the pre-trained model.</summary>
    public AlbefConfig Config { get; }

    /// <summary>The image tower.</summary>
    public VisionTransformer VisionEncoder { get; }

    /// <summary>The text network, which reads the question.</summary>
    public Bert TextEncoder { get; }

    /// <summary>The decoder: every layer is causal and attends to the question.</summary>
    public BertForPreTraining AnswerDecoder { get; }

    /// <inheritdoc/>
    public override string Architecture => "AlbefForQuestionAnswering";

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static AlbefQuestionAnswering FromPretrained(string folder, Device? device = null)
    {
        AlbefQuestionAnswering model = new(AlbefConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <summary>
    /// A model that starts from a pre-trained one: the decoder from its fusion layers, its word embeddings and its masked-language head.
    /// </summary>
    /// <param name="pretrained">The pre-trained model; it stays as it is.</param>
    /// <param name="seed">Of projections that cannot start from it, where image and text differ in width.</param>
    public static AlbefQuestionAnswering From(Albef pretrained, int seed = 0)
    {
        AlbefQuestionAnswering model = new(pretrained.Config);
        model.Initialize(pretrained.Temperature.Value.Device, seed);
        int first = model.TextEncoder.Config.FusionLayer!.Value;

        // The decoder's cross-attention reads question states instead of image tokens: where both are equally wide it starts from the pre-trained one.
        bool sameContext = pretrained.Config.Vision.Width == pretrained.Config.Text.Width;
        StateDict.Copy(pretrained, model, name =>
        {
            if (!name.StartsWith("text_decoder.", StringComparison.Ordinal)) return AlbefNames.OfBackbone(name);
            bool readsContext = name.Contains("crossattention.self.key", StringComparison.Ordinal) || name.Contains("crossattention.self.value", StringComparison.Ordinal);
            return readsContext && !sameContext ? null : AlbefNames.WithLayer("text_encoder." + name["text_decoder.".Length..], layer => first + layer);
        });
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>images [batch, channels, height, width] and questions [batch, tokens] to fused question states [batch, tokens, width].</summary>
    public Tensor Ask(Tensor images, TextBatch questions)
        => TextEncoder.Fuse(TextEncoder.Encode(questions), new AttentionMask(KeyMask: questions.Mask), VisionEncoder.Forward(images));

    /// <summary>Answers so far [batch, tokens] to the logits [batch, tokens, vocabulary] of the token behind each.</summary>
    /// <param name="answers">Starting with the token that starts every text.</param>
    /// <param name="questionStates">[batch, question tokens, width] of <see cref="Ask"/>.</param>
    /// <param name="questionMask">[batch, question tokens], 1 for a token and 0 for padding; all ones when null.</param>
    public Tensor AnswerLogits(TextBatch answers, Tensor questionStates, IndexTensor? questionMask)
    {
        Bert decoder = AnswerDecoder.Backbone;
        AttentionMask causal = new(Causal: true, KeyMask: answers.Mask);
        return AnswerDecoder.PredictTokens(decoder.Fuse(decoder.Encode(answers), causal, questionStates, new AttentionMask(KeyMask: questionMask)));
    }

    /// <summary>
    /// Σ_t log p(token t | tokens before it, question, image) of each answer, its end included and its first token given: [batch].
    /// </summary>
    /// <param name="answers">[batch, tokens], from the token that starts every text to the one that ends it, with a mask where there is padding.</param>
    /// <param name="questionStates">[batch, question tokens, width] of <see cref="Ask"/>.</param>
    /// <param name="questionMask">[batch, question tokens]; all ones when null.</param>
    /// <exception cref="ShapeException">The answers have fewer than two tokens.</exception>
    public Tensor LogLikelihoods(TextBatch answers, Tensor questionStates, IndexTensor? questionMask)
    {
        Shape shape = answers.TokenIds.Shape;
        if (shape.Rank != 2 || shape[1] < 2) throw new ShapeException($"AlbefQuestionAnswering: answers must be [batch, tokens] with at least two tokens, start and end, found {shape}.");
        (int batch, int tokens) = (shape[0], shape[1]);
        int[] ids = answers.TokenIds.ToArray();
        int[]? mask = answers.Mask?.ToArray();
        int[] labels = new int[batch * (tokens - 1)];
        for (int i = 0; i < labels.Length; i++)
        {
            int next = (i / (tokens - 1) * tokens) + (i % (tokens - 1)) + 1;
            labels[i] = mask is null || mask[next] != 0 ? ids[next] : Ignored;
        }

        Tensor logits = AnswerLogits(answers, questionStates, questionMask).Narrow(1, 0, tokens - 1);
        return -logits.CrossEntropy(IndexTensor.FromArray(labels, [batch, tokens - 1], logits.Device), Ignored, reduction: Reduction.None).Sum(1);
    }

    /// <summary>-1/batch · Σ weight · log-likelihood over all answers of all questions, as the original.</summary>
    /// <param name="images">[batch, channels, height, width].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="answers">[answers, tokens].</param>
    /// <param name="questionOfAnswer">The question of each answer; answer i is that of question i when null.</param>
    /// <param name="weights">Of the answers, such as the share of people who gave them; ones when null.</param>
    /// <exception cref="ShapeException">There are not as many answers as their questions and weights.</exception>
    public Tensor Loss(Tensor images, TextBatch questions, TextBatch answers, IReadOnlyList<int>? questionOfAnswer = null, IReadOnlyList<float>? weights = null)
    {
        int batch = images.Shape[0], count = answers.TokenIds.Shape[0];
        if ((questionOfAnswer?.Count ?? batch) != count || (weights?.Count ?? count) != count)
            throw new ShapeException($"AlbefQuestionAnswering: {count} answers need as many questions and weights, found {questionOfAnswer?.Count ?? batch} and {weights?.Count ?? count}.");
        Tensor states = Ask(images, questions);
        IndexTensor? mask = questions.Mask;
        if (questionOfAnswer is not null) (states, mask) = EncodedRows.Gather(states, mask, [.. questionOfAnswer]);
        Tensor likelihoods = LogLikelihoods(answers, states, mask);
        if (weights is not null) likelihoods *= Tensor.FromArray([.. weights], [count], states.Device);
        return likelihoods.Sum() * (-1f / batch);
    }

    /// <summary>The decoder with a batch of questions in front of it, one row for each: what ranks answers or writes them.</summary>
    /// <param name="questionStates">[batch, question tokens, width] of <see cref="Ask"/>.</param>
    /// <param name="questionMask">[batch, question tokens]; all ones when null.</param>
    public ICausalDecoder Answering(Tensor questionStates, IndexTensor? questionMask) => new AnswerWriter(this, questionStates, questionMask);

    /// <inheritdoc/>
    IReadOnlyList<RankedAnswer>[] IAnswerRanker.RankAnswers(Tensor images, TextBatch questions, IReadOnlyList<IReadOnlyList<int>> answers, int candidates)
        => RankAnswers(images, questions, answers[0][0], [.. answers.Select(answer => answer.Skip(1).ToArray())], candidates);

    /// <summary>The likeliest answers of a set to each question, best first, by <see cref="AnswerRanker"/>.</summary>
    /// <param name="images">[batch, channels, height, width].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="startId">The token that starts every text.</param>
    /// <param name="answers">Ids of each answer behind that token, up to the one that ends every text.</param>
    /// <param name="candidates">k: how many answers are chosen by their first token and looked at as a whole; 128 of 3128 in the original.</param>
    public IReadOnlyList<RankedAnswer>[] RankAnswers(Tensor images, TextBatch questions, int startId, IReadOnlyList<IReadOnlyList<int>> answers, int candidates = 128)
    {
        using TensorScope scope = new();
        using IDisposable pause = Tape.NoGradient();
        int[] starts = new int[images.Shape[0]];
        Array.Fill(starts, startId);
        IndexTensor prompt = IndexTensor.FromArray(starts, [starts.Length, 1], images.Device);
        return AnswerRanker.Rank(Answering(Ask(images, questions), questions.Mask), prompt, answers, candidates);
    }

    private sealed class AnswerWriter(AlbefQuestionAnswering model, Tensor questionStates, IndexTensor? questionMask) : ICausalDecoder
    {
        private readonly Bert _decoder = model.AnswerDecoder.Backbone;

        public int VocabularySize => _decoder.Config.VocabularySize;

        public int MaxPositions => _decoder.Config.MaxPositions;

        public Device Device => questionStates.Device;

        public Tensor Decode(IndexTensor tokens, KeyValueCache cache) => _decoder.Fuse(
            _decoder.Encode(new TextBatch(tokens), cache), AttentionMask.CausalOnly, questionStates, new AttentionMask(KeyMask: questionMask), cache);

        public Tensor PredictTokens(Tensor hiddenStates) => model.AnswerDecoder.PredictTokens(hiddenStates);
    }
}
