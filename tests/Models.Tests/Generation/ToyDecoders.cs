using MiniVlp.Autograd;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Tests.Generation;

/// <summary>The next token depends on the last one alone, by a table of logits [vocabulary, vocabulary].</summary>
internal sealed class TableDecoder(float[,] logits) : ICausalDecoder
{
    private readonly Tensor _table = Tensor.CreatePersistent([.. logits.Cast<float>()], [logits.GetLength(0), logits.GetLength(1)], Device.Cpu);

    public int VocabularySize => logits.GetLength(1);

    public int MaxPositions => 1000;

    public Device Device => Device.Cpu;

    public Tensor Decode(IndexTensor tokens, KeyValueCache cache) => _table.GatherRows(tokens);

    public Tensor PredictTokens(Tensor hiddenStates) => hiddenStates;
}

/// <summary>Two causal blocks with a cross-attention to a context [rows, 3, 6] of which the last token may be masked.</summary>
internal sealed class ToyDecoder : ICausalDecoder
{
    private const int Width = 8;
    private readonly Embedding _tokens;
    private readonly Embedding _positions = new(12, Width, initializer: Initializers.Normal(1f));
    private readonly Transformer _blocks = new("layer", 2, new TransformerBlockOptions
    {
        Width = Width,
        Heads = 2,
        HiddenWidth = 16,
        Activation = Activation.Gelu,
        Names = TransformerBlockNames.Bert,
        NormPlacement = NormPlacement.Post,
        ContextWidth = 6,
        AttentionInitializer = Initializers.Normal(0.5f),
        HiddenInitializer = Initializers.Normal(0.4f),
        ResidualInitializer = Initializers.Normal(0.4f),
    });

    private readonly Linear _head;
    private readonly Tensor _context;
    private readonly IndexTensor _contextMask;

    /// <param name="vocabulary">Number of tokens.</param>
    /// <param name="rows">Numbers of the contexts, one for each row of the prompt.</param>
    /// <param name="seed">Of the weights.</param>
    public ToyDecoder(int vocabulary, int[] rows, int seed = 1)
    {
        VocabularySize = vocabulary;
        _tokens = new Embedding(vocabulary, Width, initializer: Initializers.Normal(1f));
        _head = new Linear(Width, vocabulary, initializer: Initializers.Normal(0.6f));
        _tokens.Initialize(Device.Cpu, seed);
        _positions.Initialize(Device.Cpu, seed + 1);
        _blocks.Initialize(Device.Cpu, seed + 2);
        _head.Initialize(Device.Cpu, seed + 3);
        float[] context = [.. rows.SelectMany(row => Enumerable.Range(0, 18).Select(i => MathF.Sin((row * 31) + (i * 1.7f)) * 2))];
        _context = Tensor.CreatePersistent(context, [rows.Length, 3, 6], Device.Cpu);
        _contextMask = IndexTensor.FromArray([.. rows.SelectMany(row => (int[])[1, 1, row % 2])], [rows.Length, 3]);
    }

    public int VocabularySize { get; }

    public int MaxPositions => 12;

    public Device Device => Device.Cpu;

    /// <summary>Number of rows of each call.</summary>
    public List<int> Calls { get; } = [];

    public Tensor Decode(IndexTensor tokens, KeyValueCache cache)
    {
        Calls.Add(tokens.Shape[0]);
        return Run(tokens, cache);
    }

    public Tensor PredictTokens(Tensor hiddenStates) => _head.Forward(hiddenStates);

    /// <summary>log p of every next token of the text of one row, without a cache, in double precision from the logits on.</summary>
    public double[] LogProbabilities(int row, IReadOnlyList<int> text)
    {
        using TensorScope scope = new();
        int rows = _context.Shape[0];
        IndexTensor tokens = IndexTensor.FromArray([.. Enumerable.Repeat(text, rows).SelectMany(ids => ids)], [rows, text.Count]);
        float[] logits = PredictTokens(Run(tokens, null)).Token(text.Count - 1).ToArray()[(row * VocabularySize)..((row + 1) * VocabularySize)];
        double largest = logits.Max(), normalizer = largest + Math.Log(logits.Sum(logit => Math.Exp(logit - largest)));
        return [.. logits.Select(logit => logit - normalizer)];
    }

    private Tensor Run(IndexTensor tokens, KeyValueCache? cache)
    {
        Tensor x = _tokens.Forward(tokens) + _positions.Weight.Value.Slice(cache?.Length ?? 0, tokens.Shape[1]);
        return _blocks.Forward(x, AttentionMask.CausalOnly, context: _context, contextMask: new AttentionMask(KeyMask: _contextMask), cache: cache);
    }
}
