using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
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
