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

    /// <summary>
    /// One chunk is some blocks of queries of one head. Blocks of keys go by outside, so that their values are rearranged once for all the
    /// queries of the chunk; each block of queries keeps its largest scores, sums and weighted values in scratch memory.
    /// </summary>
    private readonly record struct AttentionKernel(AttentionScores Scores, Pointer Value, Pointer Output, Pointer Statistics, int ChunksPerHead) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int head = chunk / ChunksPerHead % shape.Heads, batch = chunk / ChunksPerHead / shape.Heads;
            int blocks = ChunkCount(shape.QueryLength, AttentionQueryBlock), perChunk = ChunkCount(blocks, ChunksPerHead), firstBlock = chunk % ChunksPerHead * perChunk;
            int endBlock = Math.Min(blocks, firstBlock + perChunk);
            int row = TileMatMul.Pad<V>(Math.Min(AttentionQueryBlock, shape.QueryLength)), valueRow = TileMatMul.Pad<V>(shape.ValueHeadSize);
            int keyRow = TileMatMul.Pad<V>(shape.HeadSize), keyBlock = AttentionScores.BlockSize(shape.KeyLength, AttentionKeyBlock, TileMatMul.BlockRows);
            long stateLength = ((long)row * (shape.HeadSize + 2)) + ((long)valueRow * AttentionQueryBlock);
            float* scores = ThreadScratch.Get((((long)row + keyRow + valueRow) * keyBlock) + row + (stateLength * (endBlock - firstBlock)));
            float* key = scores + ((nint)row * keyBlock), value = key + ((nint)keyRow * keyBlock), correction = value + ((nint)valueRow * keyBlock), states = correction + row;

            for (int block = firstBlock; block < endBlock; block++) Begin<V>(batch, head, QueryBlock.At(block, shape, states + ((block - firstBlock) * stateLength), row));

            nint keyStride = (nint)shape.KeyValueHeads * shape.HeadSize, valueStride = (nint)shape.KeyValueHeads * shape.ValueHeadSize;
            float* values = (float*)Value + ((nint)batch * shape.KeyLength * valueStride) + ((nint)Scores.KeyValueHead(head) * shape.ValueHeadSize);
            int mostVisible = Scores.VisibleKeys(Math.Min(shape.QueryLength, endBlock * AttentionQueryBlock));
            for (int firstKey = 0; firstKey < mostVisible; firstKey += keyBlock)
            {
                int packed = Math.Min(keyBlock, mostVisible - firstKey);
                TileMatMul.Pack<V>(Scores.KeyRows(batch, Scores.KeyValueHead(head), firstKey), keyStride, packed, shape.HeadSize, 1f, key, keyRow);
                TileMatMul.Pack<V>(values + (firstKey * valueStride), valueStride, packed, shape.ValueHeadSize, 1f, value, valueRow);
                for (int block = firstBlock; block < endBlock; block++)
                {
                    QueryBlock state = QueryBlock.At(block, shape, states + ((block - firstBlock) * stateLength), row);
                    int keys = Scores.SeenKeys(state.First + state.Count, firstKey, packed), width = TileMatMul.Pad<V>(state.Count);
                    if (keys == 0) continue;
                    Scores.Tile<V>(batch, head, state.First, state.Count, firstKey, keys, key, keyRow, state.ScaledQuery, scores, width);
                    bool rescale = SoftmaxStep<V>(state.First, firstKey, scores, keys, width, state.Largest, state.Sum, correction);
                    if (rescale && firstKey > 0) ScaleRows<V>(state.Weighted, state.Count, valueRow, correction);
                    Scores.AddOverKeys<V>(state.First, state.Count, firstKey, keys, scores, width, value, valueRow, state.Weighted, firstKey > 0);
                }
            }

            for (int block = firstBlock; block < endBlock; block++) End<V>(batch, head, QueryBlock.At(block, shape, states + ((block - firstBlock) * stateLength), row), valueRow);
        }

        private void Begin<V>(int batch, int head, in QueryBlock block)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int width = TileMatMul.Pad<V>(block.Count);
            TileMatMul.PackTransposed(
                Scores.QueryRows(batch, head, block.First), (nint)shape.Heads * shape.HeadSize, block.Count, shape.HeadSize, shape.Scale, block.ScaledQuery, width);
            new Span<float>(block.Largest, width).Fill(float.NegativeInfinity);
            new Span<float>(block.Sum, width).Clear();
            if (Scores.VisibleKeys(block.First + block.Count) == 0) new Span<float>(block.Weighted, TileMatMul.Pad<V>(shape.ValueHeadSize) * block.Count).Clear();
        }

        private void End<V>(int batch, int head, in QueryBlock block, int valueRow)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            WriteStatistics(batch, head, block);
            float* output = (float*)Output + ((((nint)batch * shape.QueryLength) + block.First) * shape.Heads * shape.ValueHeadSize) + ((nint)head * shape.ValueHeadSize);
            nint outputStride = (nint)shape.Heads * shape.ValueHeadSize;
            for (int i = 0; i < block.Count; i++, output += outputStride)
            {
                if (i + TileMatMul.PrefetchDistance < block.Count) Prefetch.Row(output + (TileMatMul.PrefetchDistance * outputStride), shape.ValueHeadSize);
                TileMatMul.Pack<V>(block.Weighted + ((nint)i * valueRow), 0, 1, shape.ValueHeadSize, block.Sum[i], output, shape.ValueHeadSize);
            }
        }

        /// <summary>
        /// Replaces scores by exp(score - largest so far), updates largest and sum, and says how the sums so far shrink:
        /// correction = exp(old largest - new largest). Returns whether any correction differs from 1.
        /// </summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private bool SoftmaxStep<V>(int firstQuery, int firstKey, float* scores, int keys, int row, float* largest, float* sum, float* correction)
            where V : unmanaged, ISimd<V>
        {
            bool rescale = false;
            V negativeInfinity = V.Create(float.NegativeInfinity);
            for (int i = 0; i < row; i += V.Width)
            {
                V before = V.Load(largest + i), now = before;
                float* score = scores + i;
                int seen = Scores.SeenKeys(firstQuery + i + V.Width, firstKey, keys);
                for (int j = 0; j < seen; j++, score += row) now = V.Max(V.Load(score), now);
                V reference = V.Select(V.Equal(now, negativeInfinity), V.Zero, now);
                V factor = SimdMath.ExpNonPositive(before - reference), total = V.Zero;
                score = scores + i;
                for (int j = 0; j < seen; j++, score += row)
                {
                    V weight = SimdMath.ExpNonPositive(V.Load(score) - reference);
                    V.Store(weight, score);
                    total += weight;
                }

                for (int j = seen; j < keys; j++, score += row) V.Store(V.Zero, score);

                V.Store(now, largest + i);
                V.Store(V.FusedMultiplyAdd(V.Load(sum + i), factor, total), sum + i);
                V.Store(factor, correction + i);
                for (int lane = 0; lane < V.Width && !rescale; lane++) rescale = correction[i + lane] != 1f;
            }

            return rescale;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void ScaleRows<V>(float* rows, int count, int row, float* factors)
            where V : unmanaged, ISimd<V>
        {
            for (int i = 0; i < count; i++, rows += row)
            {
                V factor = V.Create(factors[i]);
                for (int c = 0; c < row; c += V.Width) V.Store(V.Load(rows + c) * factor, rows + c);
            }
        }

        /// <summary>Turns the sums into their inverses and stores both statistics.</summary>
        private void WriteStatistics(int batch, int head, in QueryBlock block)
        {
            nint rows = (nint)Scores.Shape.Batch * Scores.Shape.Heads * Scores.Shape.QueryLength;
            float* statistics = (float*)Statistics + ((((nint)batch * Scores.Shape.Heads) + head) * Scores.Shape.QueryLength) + block.First;
            for (int i = 0; i < block.Count; i++)
            {
                bool isEmpty = float.IsNegativeInfinity(block.Largest[i]);
                block.Sum[i] = isEmpty ? 0f : 1f / block.Sum[i];
                statistics[i] = isEmpty ? 0f : block.Largest[i];
                statistics[rows + i] = block.Sum[i];
            }
        }

        /// <summary>What a block of queries keeps while keys pass by.</summary>
        private readonly ref struct QueryBlock
        {
            public int First { get; private init; }

            public int Count { get; private init; }

            /// <summary>[headSize, count padded]: the queries transposed, times scale.</summary>
            public float* ScaledQuery { get; private init; }

            /// <summary>Largest score of each query so far.</summary>
            public float* Largest { get; private init; }

            /// <summary>Σ exp(score - largest) so far.</summary>
            public float* Sum { get; private init; }

            /// <summary>[count, valueRow]: Σ exp(score - largest) · value so far.</summary>
            public float* Weighted { get; private init; }

            public static QueryBlock At(int block, in AttentionShape shape, float* memory, int row)
            {
                int first = block * AttentionQueryBlock;
                float* largest = memory + ((nint)row * shape.HeadSize);
                return new QueryBlock
                {
                    First = first,
                    Count = Math.Min(AttentionQueryBlock, shape.QueryLength - first),
                    ScaledQuery = memory,
                    Largest = largest,
                    Sum = largest + row,
                    Weighted = largest + (2 * row),
                };
            }
        }
    }

    /// <summary>
    /// One chunk is one key/value head of one batch entry with all the query heads that read it (and all that share its bias gradient):
    /// nobody else adds to its dkey and dvalue, which it gathers in scratch memory linear in the length.
    /// </summary>
    private readonly record struct AttentionBackwardKernel(
        AttentionScores Scores, Pointer Value, Pointer Output, Pointer Statistics, Pointer OutputGradient,
        FloatTarget DQuery, FloatTarget DKey, FloatTarget DValue, FloatTarget DBias, int BatchesPerChunk, int HeadsPerChunk, int BiasPartLength) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int headChunks = shape.KeyValueHeads / HeadsPerChunk, group = chunk / headChunks;
            int firstBatch = group * BatchesPerChunk, endBatch = Math.Min(shape.Batch, firstBatch + BatchesPerChunk);
            int firstHead = chunk % headChunks * HeadsPerChunk, endHead = firstHead + HeadsPerChunk;
            float* biasGradient = DBias.IsNeeded ? (float*)DBias.Pointer + ((nint)group * BiasPartLength) : null;
            for (int batch = firstBatch; batch < endBatch; batch++)
                for (int head = firstHead; head < endHead; head++) KeyValueHead<V>(batch, head, biasGradient, batch == firstBatch);
        }

        private void KeyValueHead<V>(int batch, int keyValueHead, float* biasGradient, bool isFirst)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int keyRow = TileMatMul.Pad<V>(shape.HeadSize), valueRow = TileMatMul.Pad<V>(shape.ValueHeadSize), row = AttentionScores.BlockSize(shape.QueryLength, AttentionQueryBlock, 2 * V.Width);
            int keyBlock = AttentionScores.BlockSize(shape.KeyLength, AttentionGradientKeyBlock, TileMatMul.BlockRows);
            Tiles tiles = Tiles.Allocate(shape, row, keyBlock, keyRow, valueRow);
            new Span<float>(tiles.KeyGradient, shape.KeyLength * keyRow).Clear();
            new Span<float>(tiles.ValueGradient, shape.KeyLength * valueRow).Clear();
            TileMatMul.Pack<V>(
                Scores.KeyRows(batch, keyValueHead, 0), (nint)shape.KeyValueHeads * shape.HeadSize, shape.KeyLength, shape.HeadSize, 1f, tiles.Key, keyRow);
            nint keyStride = (nint)shape.KeyValueHeads * shape.HeadSize, valueStride = (nint)shape.KeyValueHeads * shape.ValueHeadSize;
            float* values = (float*)Value + ((nint)batch * shape.KeyLength * valueStride) + ((nint)keyValueHead * shape.ValueHeadSize);
            TileMatMul.Pack<V>(values, valueStride, shape.KeyLength, shape.ValueHeadSize, 1f, tiles.Value, valueRow);

            int group = shape.Heads / shape.KeyValueHeads;
            for (int head = keyValueHead * group; head < (keyValueHead + 1) * group; head++)
            {
                if (biasGradient != null && !DBias.Accumulate && (shape.BiasBatchStride != 0 || isFirst) && (shape.BiasHeadStride != 0 || head == 0))
                    new Span<float>(biasGradient + Scores.BiasOffset(batch, head, 0, 0), shape.QueryLength * shape.KeyLength).Clear();
                for (int firstQuery = 0; firstQuery < shape.QueryLength; firstQuery += row)
                    QueryBlock<V>(batch, head, firstQuery, Math.Min(row, shape.QueryLength - firstQuery), keyBlock, tiles, keyRow, valueRow, biasGradient);
            }

            WriteRows<V>(DKey, ((nint)batch * shape.KeyLength * keyStride) + ((nint)keyValueHead * shape.HeadSize), keyStride, tiles.KeyGradient, keyRow, shape.KeyLength, shape.HeadSize, 1f);
            WriteRows<V>(DValue, ((nint)batch * shape.KeyLength * valueStride) + ((nint)keyValueHead * shape.ValueHeadSize), valueStride, tiles.ValueGradient, valueRow, shape.KeyLength, shape.ValueHeadSize, 1f);
        }

        private void QueryBlock<V>(int batch, int head, int firstQuery, int queries, int keyBlock, in Tiles tiles, int keyRow, int valueRow, float* biasGradient)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int row = TileMatMul.Pad<V>(queries);
            nint queryStride = (nint)shape.Heads * shape.HeadSize, outputStride = (nint)shape.Heads * shape.ValueHeadSize;
            nint outputOffset = ((((nint)batch * shape.QueryLength) + firstQuery) * outputStride) + ((nint)head * shape.ValueHeadSize);
            float* query = Scores.QueryRows(batch, head, firstQuery), outputGradient = (float*)OutputGradient + outputOffset;
            TileMatMul.PackTransposed(query, queryStride, queries, shape.HeadSize, shape.Scale, tiles.QueryTransposed, row);
            TileMatMul.Pack<V>(query, queryStride, queries, shape.HeadSize, shape.Scale, tiles.Query, keyRow);
            TileMatMul.PackTransposed(outputGradient, outputStride, queries, shape.ValueHeadSize, 1f, tiles.OutputGradientTransposed, row);
            TileMatMul.Pack<V>(outputGradient, outputStride, queries, shape.ValueHeadSize, 1f, tiles.OutputGradient, valueRow);
            LoadStatistics<V>(batch, head, firstQuery, queries, row, (float*)Output + outputOffset, outputGradient, outputStride, tiles);
            new Span<float>(tiles.QueryGradient, queries * keyRow).Clear();

            int visible = Scores.VisibleKeys(firstQuery + queries);
            for (int firstKey = 0; firstKey < visible; firstKey += keyBlock)
            {
                int keys = Math.Min(keyBlock, visible - firstKey);
                float* key = tiles.Key + ((nint)firstKey * keyRow);
                Scores.Tile<V>(batch, head, firstQuery, queries, firstKey, keys, key, keyRow, tiles.QueryTransposed, tiles.Weights, row);
                Scores.Products<V>(
                    firstQuery, firstKey, keys, shape.ValueHeadSize, tiles.Value + ((nint)firstKey * valueRow), valueRow, tiles.OutputGradientTransposed, tiles.ScoreGradient, row);
                WeightsAndScoreGradient<V>(firstQuery, firstKey, keys, row, tiles);
                if (DValue.IsNeeded) AddOverQueries<V>(firstQuery, queries, firstKey, keys, tiles.Weights, row, tiles.OutputGradient, valueRow, tiles.ValueGradient);
                if (DKey.IsNeeded) AddOverQueries<V>(firstQuery, queries, firstKey, keys, tiles.ScoreGradient, row, tiles.Query, keyRow, tiles.KeyGradient);
                if (DQuery.IsNeeded) Scores.AddOverKeys<V>(firstQuery, queries, firstKey, keys, tiles.ScoreGradient, row, key, keyRow, tiles.QueryGradient, true);
                if (biasGradient != null)
                    TileMatMul.AddTransposed(tiles.ScoreGradient, row, keys, queries, biasGradient + Scores.BiasOffset(batch, head, firstQuery, firstKey), shape.KeyLength);
            }

            nint queryOffset = ((((nint)batch * shape.QueryLength) + firstQuery) * queryStride) + ((nint)head * shape.HeadSize);
            WriteRows<V>(DQuery, queryOffset, queryStride, tiles.QueryGradient, keyRow, queries, shape.HeadSize, shape.Scale);
        }

        /// <summary>gradient_j += Σ_i tile_ji · rows_i over the queries of a block, for the keys of a tile; where i cannot see j, the tile is 0 and left out.</summary>
        private void AddOverQueries<V>(int firstQuery, int queries, int firstKey, int keys, float* tile, int row, float* rows, int width, float* gradient)
            where V : unmanaged, ISimd<V>
        {
            int step = Scores.Shape.Causal ? 2 * TileMatMul.BlockRows : keys;
            for (int j = 0; j < keys; j += step)
            {
                int blind = Scores.BlindQueries(firstKey + j, firstQuery, queries);
                TileMatMul.Multiply<V>(
                    Math.Min(step, keys - j), width, queries - blind, tile + ((nint)j * row) + blind, row, 1, rows + ((nint)blind * width), width,
                    gradient + ((nint)(firstKey + j) * width), width, true);
            }
        }

        /// <summary>Row maxima, inverse sums and doutput_i · output_i of a block of queries; zeros in the lanes behind the last query.</summary>
        private void LoadStatistics<V>(int batch, int head, int firstQuery, int queries, int row, float* output, float* outputGradient, nint outputStride, in Tiles tiles)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            nint rows = (nint)shape.Batch * shape.Heads * shape.QueryLength;
            float* statistics = (float*)Statistics + ((((nint)batch * shape.Heads) + head) * shape.QueryLength) + firstQuery;
            for (int i = 0; i < row; i++)
            {
                bool isQuery = i < queries;
                if (i + TileMatMul.PrefetchDistance < queries) Prefetch.Row(output + ((i + TileMatMul.PrefetchDistance) * outputStride), shape.ValueHeadSize);
                tiles.Largest[i] = isQuery ? statistics[i] : 0f;
                tiles.InverseSum[i] = isQuery ? statistics[rows + i] : 0f;
                tiles.Dot[i] = isQuery ? RowSums.Dot<V>(output + (i * outputStride), outputGradient + (i * outputStride), shape.ValueHeadSize) : 0f;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void WeightsAndScoreGradient<V>(int firstQuery, int firstKey, int keys, int row, in Tiles tiles)
            where V : unmanaged, ISimd<V>
        {
            for (int i = 0; i < row; i += V.Width)
            {
                V largest = V.Load(tiles.Largest + i), inverseSum = V.Load(tiles.InverseSum + i), dot = V.Load(tiles.Dot + i);
                float* weights = tiles.Weights + i, gradient = tiles.ScoreGradient + i;
                int j = 0, seen = Scores.SeenKeys(firstQuery + i + V.Width, firstKey, keys);
                for (; j < seen; j++, weights += row, gradient += row)
                {
                    V weight = SimdMath.ExpNonPositive(V.Load(weights) - largest) * inverseSum;
                    V.Store(weight, weights);
                    V.Store(weight * (V.Load(gradient) - dot), gradient);
                }

                for (; j < keys; j++, weights += row, gradient += row)
                {
                    V.Store(V.Zero, weights);
                    V.Store(V.Zero, gradient);
                }
            }
        }

        /// <summary>The scratch memory of one chunk.</summary>
        private readonly ref struct Tiles
        {
            public readonly float* Key, Value, KeyGradient, ValueGradient, QueryTransposed, Query, OutputGradientTransposed, OutputGradient, QueryGradient;
            public readonly float* Weights, ScoreGradient, Largest, InverseSum, Dot;

            private Tiles(float* memory, in AttentionShape shape, int row, int keyBlock, int keyRow, int valueRow)
            {
                Key = memory;
                Value = Key + ((nint)shape.KeyLength * keyRow);
                KeyGradient = Value + ((nint)shape.KeyLength * valueRow);
                ValueGradient = KeyGradient + ((nint)shape.KeyLength * keyRow);
                QueryTransposed = ValueGradient + ((nint)shape.KeyLength * valueRow);
                OutputGradientTransposed = QueryTransposed + ((nint)row * shape.HeadSize);
                Query = OutputGradientTransposed + ((nint)row * shape.ValueHeadSize);
                QueryGradient = Query + ((nint)row * keyRow);
                OutputGradient = QueryGradient + ((nint)row * keyRow);
                Weights = OutputGradient + ((nint)row * valueRow);
                ScoreGradient = Weights + ((nint)row * keyBlock);
                Largest = ScoreGradient + ((nint)row * keyBlock);
                InverseSum = Largest + row;
                Dot = InverseSum + row;
            }

            public static Tiles Allocate(in AttentionShape shape, int row, int keyBlock, int keyRow, int valueRow)
            {
                long length = ((long)shape.KeyLength * 2 * (keyRow + valueRow))
                    + ((long)row * (shape.HeadSize + shape.ValueHeadSize + (2 * keyRow) + valueRow + (2 * keyBlock) + 3));
                return new Tiles(ThreadScratch.Get(length), shape, row, keyBlock, keyRow, valueRow);
            }
        }
    }
}
