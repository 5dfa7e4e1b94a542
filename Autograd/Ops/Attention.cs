using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>What an attention looks at; <c>new() { Heads = 12 }</c> is plain attention of 12 heads.</summary>
public readonly record struct AttentionOptions
{
    /// <summary>Attention with the given number of heads.</summary>
    public AttentionOptions(int heads) => Heads = heads;

    /// <summary>Heads of the query.</summary>
    public int Heads { get; init; }

    /// <summary>Heads of key and value when several query heads share one (grouped-query attention, arXiv:2305.13245); 0 means <see cref="Heads"/>.</summary>
    public int KeyValueHeads { get; init; }

    /// <summary>Factor of the dot products; 0 means 1 / √headSize.</summary>
    public float Scale { get; init; }

    /// <summary>Query i sees key j only when j ≤ i + keyLength - queryLength: the queries are the last positions of the key sequence.</summary>
    public bool Causal { get; init; }

    /// <summary>[batch, keyLength]: 1 where a key may be seen, 0 where it is padding; null: all may be seen.</summary>
    public IndexTensor? KeyMask { get; init; }

    /// <summary>
    /// Added to the scaled scores: [heads, queryLength, keyLength] or [1 or batch, 1 or heads, queryLength, keyLength]; null: nothing.
    /// It gets a gradient when it needs one.
    /// </summary>
    public Tensor? Bias { get; init; }
}

/// <summary>Scaled dot-product attention.</summary>
public static class AttentionOps
{
    extension(Tensor query)
    {
        /// <summary>
        /// output_i = Σ_j softmax_j(scale · query_i · key_j + bias_ij) value_j for every head (Vaswani et al., arXiv:1706.03762), computed in
        /// tiles: memory is linear in the lengths. Heads lie side by side in the last axis. A query that sees no key gets zeros.
        /// </summary>
        /// <param name="key">[batch, keyLength, keyValueHeads · headSize].</param>
        /// <param name="value">[batch, keyLength, keyValueHeads · valueHeadSize].</param>
        /// <param name="options">Heads, scale, masks and bias; the query is [batch, queryLength, heads · headSize].</param>
        /// <returns>[batch, queryLength, heads · valueHeadSize].</returns>
        /// <exception cref="ShapeException">The operands do not fit together.</exception>
        public Tensor Attention(Tensor key, Tensor value, AttentionOptions options)
        {
            AttentionShape shape = Check(query, key, value, options);
            return Tape.Add(new AttentionFunction(shape, query, key, value, options.KeyMask, options.Bias), query, key, value, options.Bias);
        }
    }

    private static AttentionShape Check(Tensor query, Tensor key, Tensor value, AttentionOptions options)
    {
        int heads = options.Heads, keyValueHeads = options.KeyValueHeads == 0 ? heads : options.KeyValueHeads;
        if (heads < 1) throw new ArgumentOutOfRangeException(nameof(options), heads, "Attention: Heads must be at least 1; write new AttentionOptions(heads).");
        if (keyValueHeads < 1 || heads % keyValueHeads != 0)
            throw new ArgumentException($"Attention: KeyValueHeads ({keyValueHeads}) must divide Heads ({heads}).", nameof(options));
        if (query.Shape.Rank != 3 || key.Shape.Rank != 3 || value.Shape.Rank != 3)
            throw new ShapeException($"Attention: query, key and value must be [batch, tokens, heads * headSize], but query is {query.Shape}, key is {key.Shape} and value is {value.Shape}.");
        int batch = query.Shape[0], queryLength = query.Shape[1], keyLength = key.Shape[1];
        if (key.Shape[0] != batch || value.Shape[0] != batch || value.Shape[1] != keyLength)
            throw new ShapeException($"Attention: query, key and value must have the same batch, key and value the same tokens, but query is {query.Shape}, key is {key.Shape} and value is {value.Shape}.");
        if (query.Shape[2] % heads != 0 || key.Shape[2] % keyValueHeads != 0 || value.Shape[2] % keyValueHeads != 0)
            throw new ShapeException($"Attention: the widths must be multiples of the number of heads ({heads}, key/value {keyValueHeads}), but query is {query.Shape}, key is {key.Shape} and value is {value.Shape}.");
        int headSize = query.Shape[2] / heads, valueHeadSize = value.Shape[2] / keyValueHeads;
        if (key.Shape[2] / keyValueHeads != headSize)
            throw new ShapeException($"Attention: heads of query and key must be equally wide, but query {query.Shape} has {heads} heads of {headSize} and key {key.Shape} has {keyValueHeads} of {key.Shape[2] / keyValueHeads}.");
        if (options.KeyMask is { } mask && mask.Shape != [batch, keyLength])
            throw new ShapeException($"Attention: KeyMask must be [batch, keyLength] = [{batch}, {keyLength}], but it is {mask.Shape}.");
        SameDevice.Require("Attention", query, key, value, options.Bias);
        SameDevice.Require("Attention", query, options.KeyMask);

        (int biasBatchStride, int biasHeadStride) = CheckBias(options.Bias, batch, heads, queryLength, keyLength);
        float scale = options.Scale == 0f ? 1f / MathF.Sqrt(headSize) : options.Scale;
        return new AttentionShape(batch, heads, keyValueHeads, queryLength, keyLength, headSize, valueHeadSize, scale, options.Causal, biasBatchStride, biasHeadStride);
    }

    private static (int BatchStride, int HeadStride) CheckBias(Tensor? bias, int batch, int heads, int queryLength, int keyLength)
    {
        if (bias is null) return (0, 0);
        int rank = bias.Shape.Rank, matrix = queryLength * keyLength;
        int biasHeads = rank is 3 or 4 ? bias.Shape[-3] : 0, biasBatch = rank == 4 ? bias.Shape[0] : 1;
        bool fits = rank is 3 or 4 && bias.Shape[-2] == queryLength && bias.Shape[-1] == keyLength
            && (biasHeads == heads || biasHeads == 1) && (biasBatch == batch || biasBatch == 1);
        if (!fits)
            throw new ShapeException($"Attention: Bias must be [heads, queryLength, keyLength] or [1 or batch, 1 or heads, queryLength, keyLength] with batch {batch}, heads {heads}, queryLength {queryLength}, keyLength {keyLength}, but it is {bias.Shape}.");
        return (biasBatch == 1 ? 0 : biasHeads * matrix, biasHeads == 1 ? 0 : matrix);
    }

    private sealed class AttentionFunction : Function
    {
        private readonly AttentionShape _shape;
        private readonly Tensor _query, _key, _value, _statistics;
        private readonly IndexTensor? _keyMask;
        private readonly Tensor? _bias;

        public AttentionFunction(AttentionShape shape, Tensor query, Tensor key, Tensor value, IndexTensor? keyMask, Tensor? bias)
        {
            (_shape, _query, _key, _value, _keyMask, _bias) = (shape, query, key, value, keyMask, bias);
            Output = Allocate([shape.Batch, shape.QueryLength, shape.Heads * shape.ValueHeadSize], query.Device);
            _statistics = Save(Allocate([2, shape.Batch, shape.Heads, shape.QueryLength], query.Device));
            query.Device.Backend.Attention(
                shape, query.Buffer, key.Buffer, value.Buffer, keyMask?.Buffer ?? default, bias?.Buffer ?? default, Output.Buffer, _statistics.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            AttentionGradients gradients = new(_query.GradientTarget(), _key.GradientTarget(), _value.GradientTarget(), _bias?.GradientTarget() ?? default);
            _query.Device.Backend.AttentionBackward(
                _shape, _query.Buffer, _key.Buffer, _value.Buffer, _keyMask?.Buffer ?? default, _bias?.Buffer ?? default,
                Output.Buffer, _statistics.Buffer, outputGradient, gradients);
        }
    }
}
