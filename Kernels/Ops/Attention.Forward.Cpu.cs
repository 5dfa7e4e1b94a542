using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
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
}
