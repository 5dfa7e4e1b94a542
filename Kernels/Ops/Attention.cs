using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// Sizes and rules of one attention: query [batch, queryLength, heads · headSize], key [batch, keyLength, keyValueHeads · headSize],
/// value [batch, keyLength, keyValueHeads · valueHeadSize], output [batch, queryLength, heads · valueHeadSize].
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Heads">Heads of the query; head h reads key/value head h / (heads / keyValueHeads).</param>
/// <param name="KeyValueHeads">Heads of key and value; it divides <paramref name="Heads"/>.</param>
/// <param name="QueryLength">Tokens of a query sequence.</param>
/// <param name="KeyLength">Tokens of a key sequence.</param>
/// <param name="HeadSize">Width of a head of query and key.</param>
/// <param name="ValueHeadSize">Width of a head of value and output.</param>
/// <param name="Scale">Factor of the dot products.</param>
/// <param name="Causal">Query i sees key j only when j ≤ i + keyLength - queryLength.</param>
/// <param name="BiasBatchStride">Elements from one batch entry of the bias to the next; 0 when all share one.</param>
/// <param name="BiasHeadStride">Elements from one head of the bias to the next; 0 when all share one.</param>
public readonly record struct AttentionShape(
    int Batch,
    int Heads,
    int KeyValueHeads,
    int QueryLength,
    int KeyLength,
    int HeadSize,
    int ValueHeadSize,
    float Scale,
    bool Causal,
    int BiasBatchStride,
    int BiasHeadStride);

/// <summary>Gradients of one attention; each may be "not needed".</summary>
/// <param name="Query">∂loss/∂query.</param>
/// <param name="Key">∂loss/∂key.</param>
/// <param name="Value">∂loss/∂value.</param>
/// <param name="Bias">∂loss/∂bias, summed over what shares it.</param>
public readonly record struct AttentionGradients(GradientTarget Query, GradientTarget Key, GradientTarget Value, GradientTarget Bias);

public partial interface IBackend
{
    /// <summary>
    /// output_i = Σ_j p_ij · value_j per head, with p_i = softmax_j(scale · query_i · key_j + bias_ij) over the keys that i may see.
    /// Scores exist only as tiles: the softmax runs online over blocks of keys (Milakov and Gimelshein, arXiv:1805.02867; Dao et al.,
    /// arXiv:2205.14135). A query that sees no key gets zeros. Writes output and statistics.
    /// </summary>
    /// <param name="shape">Sizes and rules.</param>
    /// <param name="query">[batch, queryLength, heads · headSize].</param>
    /// <param name="key">[batch, keyLength, keyValueHeads · headSize].</param>
    /// <param name="value">[batch, keyLength, keyValueHeads · valueHeadSize].</param>
    /// <param name="keyMask">int [batch, keyLength], 0 hides a key; may be absent.</param>
    /// <param name="bias">[queryLength, keyLength] blocks at the strides of the shape, added to the scaled scores; may be absent.</param>
    /// <param name="output">[batch, queryLength, heads · valueHeadSize].</param>
    /// <param name="statistics">[2, batch, heads, queryLength]: the largest score m_i of each row, then 1 / Σ_j exp(s_ij - m_i), both 0 for a row without keys.</param>
    void Attention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics);

    /// <summary>
    /// With p recomputed tile by tile from the statistics, dp_ij = doutput_i · value_j and ds_ij = p_ij (dp_ij - doutput_i · output_i):
    /// dquery_i = scale Σ_j ds_ij key_j, dkey_j = scale Σ_i ds_ij query_i, dvalue_j = Σ_i p_ij doutput_i, dbias = ds. Sums run in a fixed order.
    /// Targets of two operands may be the same buffer when the second accumulates.
    /// </summary>
    void AttentionBackward(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias,
        DeviceBuffer output, DeviceBuffer statistics, DeviceBuffer outputGradient, in AttentionGradients gradients);
}

public sealed unsafe partial class CpuBackend
{
    /// <summary>Queries of one tile; their scores are the vector lanes, so that maximum, exp and sum of the softmax need no horizontal steps.</summary>
    private const int AttentionQueryBlock = 96;

    /// <summary>Keys of one tile: it stays in the second-level cache, and long sums over keys cost little beside their beginning and end.</summary>
    private const int AttentionKeyBlock = 128;

    /// <summary>Most blocks of queries in one chunk: they share the rearranged values, and what they gather fits the second-level cache.</summary>
    private const int AttentionMostBlocks = 8;

    /// <summary>Chunks that a forward pass is divided into, about, where it has few heads.</summary>
    private const int AttentionChunks = 64;

    /// <summary>Keys of a tile of the gradient, which has two of them, weights and gradients of scores.</summary>
    private const int AttentionGradientKeyBlock = 96;

    /// <summary>Pieces that the work behind a shared bias gradient is divided into, about.</summary>
    private const int AttentionBiasParts = 16;

    /// <inheritdoc/>
    public void Attention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics)
    {
        AttentionScores scores = new(shape, Floats(query), Floats(key), Floats(keyMask), Floats(bias));
        int heads = shape.Batch * shape.Heads, blocks = ChunkCount(shape.QueryLength, AttentionQueryBlock);
        int blocksPerChunk = Math.Clamp((int)((long)blocks * heads / AttentionChunks), 1, AttentionMostBlocks), chunksPerHead = ChunkCount(blocks, blocksPerChunk);
        Run(new AttentionKernel(scores, Floats(value), Floats(output), Floats(statistics), chunksPerHead), heads * chunksPerHead);
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias,
        DeviceBuffer output, DeviceBuffer statistics, DeviceBuffer outputGradient, in AttentionGradients gradients)
    {
        AttentionScores scores = new(shape, Floats(query), Floats(key), Floats(keyMask), Floats(bias));

        // Chunks write disjoint gradients. Heads that share a bias gradient stay in one chunk; sequences that share one are divided into a
        // few groups, each with a partial gradient of its own, and the parts are summed in order.
        bool sharesBatch = gradients.Bias.IsNeeded && shape.BiasBatchStride == 0, sharesHeads = gradients.Bias.IsNeeded && shape.BiasHeadStride == 0;
        int headsPerChunk = sharesHeads ? shape.KeyValueHeads : 1, headChunks = shape.KeyValueHeads / headsPerChunk;
        int batchesPerChunk = sharesBatch ? Math.Max(1, shape.Batch / Math.Max(1, AttentionBiasParts / headChunks)) : 1;
        int groups = ChunkCount(shape.Batch, batchesPerChunk);
        bool hasParts = sharesBatch && groups != 1;
        GradientTarget biasTarget = hasParts ? new GradientTarget(Rent(groups * gradients.Bias.Buffer.Length), Accumulate: false) : gradients.Bias;
        Run(
            new AttentionBackwardKernel(
                scores, Floats(value), Floats(output), Floats(statistics), Floats(outputGradient),
                FloatTarget.From(gradients.Query), FloatTarget.From(gradients.Key), FloatTarget.From(gradients.Value), FloatTarget.From(biasTarget),
                batchesPerChunk, headsPerChunk, hasParts ? gradients.Bias.Buffer.Length : 0),
            groups * headChunks);
        if (!hasParts) return;
        SumMiddle(biasTarget.Buffer, new Broadcast(1, groups, gradients.Bias.Buffer.Length), 1f, gradients.Bias);
        Return(biasTarget.Buffer);
    }

    /// <summary>A gradient target as a kernel sees it; the pointer is null when the gradient is not needed.</summary>
    private readonly record struct FloatTarget(Pointer Pointer, bool Accumulate)
    {
        public bool IsNeeded => (float*)Pointer != null;

        public static FloatTarget From(GradientTarget target) => new(Floats(target.Buffer), target.Accumulate);
    }

    /// <summary>target[offset + r·stride + c] (+)= scale · gradient[r·row + c] for a block of rows gathered in scratch memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WriteRows<V>(FloatTarget target, nint offset, nint stride, float* gradient, int row, int rows, int columns, float scale)
        where V : unmanaged, ISimd<V>
    {
        if (!target.IsNeeded) return;
        float* destination = (float*)target.Pointer + offset;
        V factor = V.Create(scale);
        for (int r = 0; r < rows; r++, destination += stride, gradient += row)
        {
            if (r + TileMatMul.PrefetchDistance < rows) Prefetch.Row(destination + (TileMatMul.PrefetchDistance * stride), columns);
            int c = 0;
            for (; c <= columns - V.Width; c += V.Width)
            {
                V value = factor * V.Load(gradient + c);
                V.Store(target.Accumulate ? V.Load(destination + c) + value : value, destination + c);
            }

            for (; c < columns; c++) destination[c] = (target.Accumulate ? destination[c] : 0f) + (scale * gradient[c]);
        }
    }

    /// <summary>Computes tiles of scores, transposed: keys are rows, queries are lanes. Shared by the forward and the backward kernel.</summary>
    private readonly record struct AttentionScores(AttentionShape Shape, Pointer Query, Pointer Key, Pointer KeyMask, Pointer Bias)
    {
        public int KeyValueHead(int head) => head / (Shape.Heads / Shape.KeyValueHeads);

        public float* QueryRows(int batch, int head, int firstQuery)
            => (float*)Query + ((((nint)batch * Shape.QueryLength) + firstQuery) * Shape.Heads * Shape.HeadSize) + ((nint)head * Shape.HeadSize);

        public float* KeyRows(int batch, int keyValueHead, int firstKey)
            => (float*)Key + ((((nint)batch * Shape.KeyLength) + firstKey) * Shape.KeyValueHeads * Shape.HeadSize) + ((nint)keyValueHead * Shape.HeadSize);

        /// <summary>Number of keys that the queries in front of <paramref name="endQuery"/> may see at most.</summary>
        public int VisibleKeys(int endQuery)
            => Shape.Causal ? Math.Clamp(endQuery + Shape.KeyLength - Shape.QueryLength, 0, Shape.KeyLength) : Shape.KeyLength;

        /// <summary>Of the keys firstKey .. firstKey + keys - 1, how many the queries in front of <paramref name="endQuery"/> may see at most: the first ones.</summary>
        public int SeenKeys(int endQuery, int firstKey, int keys)
            => Shape.Causal ? Math.Clamp(endQuery + Shape.KeyLength - Shape.QueryLength - firstKey, 0, keys) : keys;

        /// <summary>Of the queries firstQuery .. firstQuery + queries - 1, how many in front do not see the key.</summary>
        public int BlindQueries(int key, int firstQuery, int queries)
            => Shape.Causal ? Math.Clamp(key - (Shape.KeyLength - Shape.QueryLength) - firstQuery, 0, queries) : 0;

        /// <summary>Size of blocks of about equal size, at most <paramref name="most"/> items when that is a multiple of <paramref name="unit"/>.</summary>
        public static int BlockSize(int items, int most, int unit)
        {
            int size = ChunkCount(items, Math.Max(1, ChunkCount(items, most)));
            return (size + unit - 1) / unit * unit;
        }

        /// <summary>
        /// scores[j, i] = scale · query_i · key_j + bias_ij for the keys firstKey + j and queries firstQuery + i, -∞ where i may not see j.
        /// </summary>
        /// <param name="key">[keys, keyRow]: the keys, padded.</param>
        /// <param name="scaledQuery">[headSize, row]: the queries transposed, times scale.</param>
        /// <param name="row">Floats from one row of a tile to the next, a multiple of the vector width.</param>
        public void Tile<V>(
            int batch, int head, int firstQuery, int queries, int firstKey, int keys, float* key, int keyRow, float* scaledQuery, float* scores, int row)
            where V : unmanaged, ISimd<V>
        {
            Products<V>(firstQuery, firstKey, keys, Shape.HeadSize, key, keyRow, scaledQuery, scores, row);
            if ((float*)Bias != null) TileMatMul.AddTransposed((float*)Bias + BiasOffset(batch, head, firstQuery, firstKey), Shape.KeyLength, queries, keys, scores, row);
            if ((float*)KeyMask != null)
            {
                int* mask = (int*)(float*)KeyMask + ((nint)batch * Shape.KeyLength) + firstKey;
                for (int j = 0; j < keys; j++)
                    if (mask[j] == 0) new Span<float>(scores + ((nint)j * row), row).Fill(float.NegativeInfinity);
            }

            if (!Shape.Causal) return;
            for (int j = 0; j < keys; j++)
            {
                int hidden = firstKey + j - (Shape.KeyLength - Shape.QueryLength) - firstQuery;
                if (hidden > 0) new Span<float>(scores + ((nint)j * row), Math.Min(hidden, row)).Fill(float.NegativeInfinity);
            }
        }

        /// <summary>tile[j, i] = Σ_c rows_jc · transposed_ci for the keys and queries of a tile; in a causal one, what no query of a panel of lanes sees is left out.</summary>
        public void Products<V>(int firstQuery, int firstKey, int keys, int depth, float* rows, int width, float* transposed, float* tile, int row)
            where V : unmanaged, ISimd<V>
        {
            int panel = Shape.Causal ? 2 * V.Width : row;
            for (int i = 0; i < row; i += panel)
            {
                int lanes = Math.Min(panel, row - i), seen = SeenKeys(firstQuery + i + lanes, firstKey, keys);
                TileMatMul.Multiply<V>(seen, lanes, depth, rows, width, 1, transposed + i, row, tile + i, row, false);
            }
        }

        /// <summary>sums_i (+)= Σ_j tile_ji · rows_j over the keys of a tile, for the queries of a block; where i cannot see j, the tile is 0 and left out.</summary>
        public void AddOverKeys<V>(int firstQuery, int queries, int firstKey, int keys, float* tile, int row, float* rows, int width, float* sums, bool accumulate)
            where V : unmanaged, ISimd<V>
        {
            int step = Shape.Causal ? 2 * TileMatMul.BlockRows : queries;
            for (int i = 0; i < queries; i += step)
            {
                int count = Math.Min(step, queries - i), seen = SeenKeys(firstQuery + i + count, firstKey, keys);
                TileMatMul.Multiply<V>(count, width, seen, tile + i, 1, row, rows, width, sums + ((nint)i * width), width, accumulate);
            }
        }

        public nint BiasOffset(int batch, int head, int query, int key)
            => ((nint)batch * Shape.BiasBatchStride) + ((nint)head * Shape.BiasHeadStride) + ((nint)query * Shape.KeyLength) + key;
    }
}
