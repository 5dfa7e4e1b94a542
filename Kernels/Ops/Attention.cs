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

    /// <summary>Keys of one tile.</summary>
    private const int AttentionKeyBlock = 64;

    /// <summary>Pieces that the work behind a shared bias gradient is divided into, about.</summary>
    private const int AttentionBiasParts = 16;

    /// <inheritdoc/>
    public void Attention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics)
    {
        AttentionScores scores = new(shape, Floats(query), Floats(key), Floats(keyMask), Floats(bias));
        int chunks = shape.Batch * shape.Heads * ChunkCount(shape.QueryLength, AttentionQueryBlock);
        Run(new AttentionKernel(scores, Floats(value), Floats(output), Floats(statistics)), chunks);
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

        /// <summary>
        /// scores[j, i] = scale · query_i · key_j + bias_ij for the keys firstKey + j and queries firstQuery + i, -∞ where i may not see j.
        /// </summary>
        /// <param name="scaledQuery">[headSize, row]: the queries transposed, times scale.</param>
        /// <param name="row">Floats from one row of a tile to the next, a multiple of the vector width.</param>
        public void Tile<V>(int batch, int head, int firstQuery, int queries, int firstKey, int keys, float* scaledQuery, float* scores, int row)
            where V : unmanaged, ISimd<V>
        {
            float* key = KeyRows(batch, KeyValueHead(head), firstKey);
            TileMatMul.Multiply<V>(keys, row, Shape.HeadSize, key, (nint)Shape.KeyValueHeads * Shape.HeadSize, 1, scaledQuery, row, scores, row, false);
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

        public nint BiasOffset(int batch, int head, int query, int key)
            => ((nint)batch * Shape.BiasBatchStride) + ((nint)head * Shape.BiasHeadStride) + ((nint)query * Shape.KeyLength) + key;
    }

    /// <summary>One chunk is one block of queries of one head.</summary>
    private readonly record struct AttentionKernel(AttentionScores Scores, Pointer Value, Pointer Output, Pointer Statistics) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int blocks = ChunkCount(shape.QueryLength, AttentionQueryBlock);
            int block = chunk % blocks, head = chunk / blocks % shape.Heads, batch = chunk / blocks / shape.Heads;
            int firstQuery = block * AttentionQueryBlock, queries = Math.Min(AttentionQueryBlock, shape.QueryLength - firstQuery);
            int row = TileMatMul.Pad<V>(queries), valueRow = TileMatMul.Pad<V>(shape.ValueHeadSize);

            float* scaledQuery = ThreadScratch.Get(
                ((long)row * (shape.HeadSize + AttentionKeyBlock + 3)) + ((long)valueRow * (AttentionKeyBlock + AttentionQueryBlock)));
            float* scores = scaledQuery + ((nint)row * shape.HeadSize), largest = scores + ((nint)row * AttentionKeyBlock);
            float* sum = largest + row, correction = sum + row, value = correction + row, weighted = value + ((nint)valueRow * AttentionKeyBlock);
            TileMatMul.PackTransposed(
                Scores.QueryRows(batch, head, firstQuery), (nint)shape.Heads * shape.HeadSize, queries, shape.HeadSize, shape.Scale, scaledQuery, row);
            new Span<float>(largest, row).Fill(float.NegativeInfinity);
            new Span<float>(sum, row).Clear();
            new Span<float>(weighted, valueRow * queries).Clear();

            nint keyRow = (nint)shape.KeyValueHeads * shape.ValueHeadSize;
            float* values = (float*)Value + ((nint)batch * shape.KeyLength * keyRow) + ((nint)Scores.KeyValueHead(head) * shape.ValueHeadSize);
            int visible = Scores.VisibleKeys(firstQuery + queries);
            for (int firstKey = 0; firstKey < visible; firstKey += AttentionKeyBlock)
            {
                int keys = Math.Min(AttentionKeyBlock, visible - firstKey);
                Scores.Tile<V>(batch, head, firstQuery, queries, firstKey, keys, scaledQuery, scores, row);
                bool rescale = SoftmaxStep<V>(scores, keys, row, largest, sum, correction);
                if (rescale && firstKey > 0) ScaleRows<V>(weighted, queries, valueRow, correction);
                TileMatMul.Pack<V>(values + (firstKey * keyRow), keyRow, keys, shape.ValueHeadSize, 1f, value, valueRow);
                TileMatMul.Multiply<V>(queries, valueRow, keys, scores, 1, row, value, valueRow, weighted, valueRow, firstKey > 0);
            }

            WriteStatistics(batch, head, firstQuery, queries, largest, sum);
            float* output = (float*)Output + ((((nint)batch * shape.QueryLength) + firstQuery) * shape.Heads * shape.ValueHeadSize) + ((nint)head * shape.ValueHeadSize);
            for (int i = 0; i < queries; i++, output += (nint)shape.Heads * shape.ValueHeadSize)
                TileMatMul.Pack<V>(weighted + ((nint)i * valueRow), 0, 1, shape.ValueHeadSize, sum[i], output, shape.ValueHeadSize);
        }

        /// <summary>
        /// Replaces scores by exp(score - largest so far), updates largest and sum, and says how the sums so far shrink:
        /// correction = exp(old largest - new largest). Returns whether any correction differs from 1.
        /// </summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static bool SoftmaxStep<V>(float* scores, int keys, int row, float* largest, float* sum, float* correction)
            where V : unmanaged, ISimd<V>
        {
            bool rescale = false;
            V negativeInfinity = V.Create(float.NegativeInfinity);
            for (int i = 0; i < row; i += V.Width)
            {
                V before = V.Load(largest + i), now = before;
                float* score = scores + i;
                for (int j = 0; j < keys; j++, score += row) now = V.Max(V.Load(score), now);
                V reference = V.Select(V.Equal(now, negativeInfinity), V.Zero, now);
                V factor = SimdMath.ExpNonPositive(before - reference), total = V.Zero;
                score = scores + i;
                for (int j = 0; j < keys; j++, score += row)
                {
                    V weight = SimdMath.ExpNonPositive(V.Load(score) - reference);
                    V.Store(weight, score);
                    total += weight;
                }

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
        private void WriteStatistics(int batch, int head, int firstQuery, int queries, float* largest, float* sum)
        {
            nint rows = (nint)Scores.Shape.Batch * Scores.Shape.Heads * Scores.Shape.QueryLength;
            float* statistics = (float*)Statistics + ((((nint)batch * Scores.Shape.Heads) + head) * Scores.Shape.QueryLength) + firstQuery;
            for (int i = 0; i < queries; i++)
            {
                bool isEmpty = float.IsNegativeInfinity(largest[i]);
                sum[i] = isEmpty ? 0f : 1f / sum[i];
                statistics[i] = isEmpty ? 0f : largest[i];
                statistics[rows + i] = sum[i];
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
            int keyRow = TileMatMul.Pad<V>(shape.HeadSize), valueRow = TileMatMul.Pad<V>(shape.ValueHeadSize), row = TileMatMul.Pad<V>(AttentionQueryBlock);
            Tiles tiles = Tiles.Allocate(shape, row, keyRow, valueRow);
            new Span<float>(tiles.KeyGradient, shape.KeyLength * keyRow).Clear();
            new Span<float>(tiles.ValueGradient, shape.KeyLength * valueRow).Clear();
            TileMatMul.Pack<V>(
                Scores.KeyRows(batch, keyValueHead, 0), (nint)shape.KeyValueHeads * shape.HeadSize, shape.KeyLength, shape.HeadSize, 1f, tiles.Key, keyRow);

            int group = shape.Heads / shape.KeyValueHeads;
            for (int head = keyValueHead * group; head < (keyValueHead + 1) * group; head++)
            {
                if (biasGradient != null && !DBias.Accumulate && (shape.BiasBatchStride != 0 || isFirst) && (shape.BiasHeadStride != 0 || head == 0))
                    new Span<float>(biasGradient + Scores.BiasOffset(batch, head, 0, 0), shape.QueryLength * shape.KeyLength).Clear();
                for (int firstQuery = 0; firstQuery < shape.QueryLength; firstQuery += AttentionQueryBlock)
                    QueryBlock<V>(batch, head, firstQuery, Math.Min(AttentionQueryBlock, shape.QueryLength - firstQuery), tiles, keyRow, valueRow, biasGradient);
            }

            nint keyStride = (nint)shape.KeyValueHeads * shape.HeadSize, valueStride = (nint)shape.KeyValueHeads * shape.ValueHeadSize;
            WriteRows<V>(DKey, ((nint)batch * shape.KeyLength * keyStride) + ((nint)keyValueHead * shape.HeadSize), keyStride, tiles.KeyGradient, keyRow, shape.KeyLength, shape.HeadSize, 1f);
            WriteRows<V>(DValue, ((nint)batch * shape.KeyLength * valueStride) + ((nint)keyValueHead * shape.ValueHeadSize), valueStride, tiles.ValueGradient, valueRow, shape.KeyLength, shape.ValueHeadSize, 1f);
        }

        private void QueryBlock<V>(int batch, int head, int firstQuery, int queries, in Tiles tiles, int keyRow, int valueRow, float* biasGradient)
            where V : unmanaged, ISimd<V>
        {
            AttentionShape shape = Scores.Shape;
            int row = TileMatMul.Pad<V>(queries), keyValueHead = Scores.KeyValueHead(head);
            nint queryStride = (nint)shape.Heads * shape.HeadSize, outputStride = (nint)shape.Heads * shape.ValueHeadSize;
            nint outputOffset = ((((nint)batch * shape.QueryLength) + firstQuery) * outputStride) + ((nint)head * shape.ValueHeadSize);
            float* query = Scores.QueryRows(batch, head, firstQuery), outputGradient = (float*)OutputGradient + outputOffset;
            TileMatMul.PackTransposed(query, queryStride, queries, shape.HeadSize, shape.Scale, tiles.QueryTransposed, row);
            TileMatMul.Pack<V>(query, queryStride, queries, shape.HeadSize, shape.Scale, tiles.Query, keyRow);
            TileMatMul.PackTransposed(outputGradient, outputStride, queries, shape.ValueHeadSize, 1f, tiles.OutputGradientTransposed, row);
            TileMatMul.Pack<V>(outputGradient, outputStride, queries, shape.ValueHeadSize, 1f, tiles.OutputGradient, valueRow);
            LoadStatistics<V>(batch, head, firstQuery, queries, row, (float*)Output + outputOffset, outputGradient, outputStride, tiles);
            new Span<float>(tiles.QueryGradient, queries * keyRow).Clear();

            nint valueStride = (nint)shape.KeyValueHeads * shape.ValueHeadSize;
            float* values = (float*)Value + ((nint)batch * shape.KeyLength * valueStride) + ((nint)keyValueHead * shape.ValueHeadSize);
            int visible = Scores.VisibleKeys(firstQuery + queries);
            for (int firstKey = 0; firstKey < visible; firstKey += AttentionKeyBlock)
            {
                int keys = Math.Min(AttentionKeyBlock, visible - firstKey);
                Scores.Tile<V>(batch, head, firstQuery, queries, firstKey, keys, tiles.QueryTransposed, tiles.Weights, row);
                TileMatMul.Multiply<V>(
                    keys, row, shape.ValueHeadSize, values + (firstKey * valueStride), valueStride, 1, tiles.OutputGradientTransposed, row, tiles.ScoreGradient, row, false);
                WeightsAndScoreGradient<V>(keys, row, tiles);
                if (DValue.IsNeeded)
                    TileMatMul.Multiply<V>(keys, valueRow, queries, tiles.Weights, row, 1, tiles.OutputGradient, valueRow, tiles.ValueGradient + ((nint)firstKey * valueRow), valueRow, true);
                if (DKey.IsNeeded)
                    TileMatMul.Multiply<V>(keys, keyRow, queries, tiles.ScoreGradient, row, 1, tiles.Query, keyRow, tiles.KeyGradient + ((nint)firstKey * keyRow), keyRow, true);
                if (DQuery.IsNeeded)
                    TileMatMul.Multiply<V>(queries, keyRow, keys, tiles.ScoreGradient, 1, row, tiles.Key + ((nint)firstKey * keyRow), keyRow, tiles.QueryGradient, keyRow, true);
                if (biasGradient != null)
                    TileMatMul.AddTransposed(tiles.ScoreGradient, row, keys, queries, biasGradient + Scores.BiasOffset(batch, head, firstQuery, firstKey), shape.KeyLength);
            }

            nint queryOffset = ((((nint)batch * shape.QueryLength) + firstQuery) * queryStride) + ((nint)head * shape.HeadSize);
            WriteRows<V>(DQuery, queryOffset, queryStride, tiles.QueryGradient, keyRow, queries, shape.HeadSize, shape.Scale);
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
                tiles.Largest[i] = isQuery ? statistics[i] : 0f;
                tiles.InverseSum[i] = isQuery ? statistics[rows + i] : 0f;
                tiles.Dot[i] = isQuery ? RowSums.Dot<V>(output + (i * outputStride), outputGradient + (i * outputStride), shape.ValueHeadSize) : 0f;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void WeightsAndScoreGradient<V>(int keys, int row, in Tiles tiles)
            where V : unmanaged, ISimd<V>
        {
            for (int i = 0; i < row; i += V.Width)
            {
                V largest = V.Load(tiles.Largest + i), inverseSum = V.Load(tiles.InverseSum + i), dot = V.Load(tiles.Dot + i);
                float* weights = tiles.Weights + i, gradient = tiles.ScoreGradient + i;
                for (int j = 0; j < keys; j++, weights += row, gradient += row)
                {
                    V weight = SimdMath.ExpNonPositive(V.Load(weights) - largest) * inverseSum;
                    V.Store(weight, weights);
                    V.Store(weight * (V.Load(gradient) - dot), gradient);
                }
            }
        }

        /// <summary>The scratch memory of one chunk.</summary>
        private readonly ref struct Tiles
        {
            public readonly float* Key, KeyGradient, ValueGradient, QueryTransposed, Query, OutputGradientTransposed, OutputGradient, QueryGradient;
            public readonly float* Weights, ScoreGradient, Largest, InverseSum, Dot;

            private Tiles(float* memory, in AttentionShape shape, int row, int keyRow, int valueRow)
            {
                Key = memory;
                KeyGradient = Key + ((nint)shape.KeyLength * keyRow);
                ValueGradient = KeyGradient + ((nint)shape.KeyLength * keyRow);
                QueryTransposed = ValueGradient + ((nint)shape.KeyLength * valueRow);
                OutputGradientTransposed = QueryTransposed + ((nint)row * shape.HeadSize);
                Query = OutputGradientTransposed + ((nint)row * shape.ValueHeadSize);
                QueryGradient = Query + ((nint)row * keyRow);
                OutputGradient = QueryGradient + ((nint)row * keyRow);
                Weights = OutputGradient + ((nint)row * valueRow);
                ScoreGradient = Weights + ((nint)row * AttentionKeyBlock);
                Largest = ScoreGradient + ((nint)row * AttentionKeyBlock);
                InverseSum = Largest + row;
                Dot = InverseSum + row;
            }

            public static Tiles Allocate(in AttentionShape shape, int row, int keyRow, int valueRow)
            {
                long length = ((long)shape.KeyLength * ((2 * keyRow) + valueRow))
                    + ((long)row * (shape.HeadSize + shape.ValueHeadSize + (2 * keyRow) + valueRow + (2 * AttentionKeyBlock) + 3));
                return new Tiles(ThreadScratch.Get(length), shape, row, keyRow, valueRow);
            }
        }
    }
}
