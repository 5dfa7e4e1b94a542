using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>What the backward kernels read: the operands, the statistics of the forward pass, ∂loss/∂output and its product with the output.</summary>
    /// <param name="Inputs">Operands and rules.</param>
    /// <param name="Statistics">[2, batch, heads, queryLength]: maxima and inverse sums.</param>
    /// <param name="OutputGradient">∂loss/∂output.</param>
    /// <param name="Dot">[batch, heads, queryLength]: doutput_i · output_i.</param>
    internal readonly record struct AttentionBackwardInputs(AttentionInputs Inputs, ArrayView<float> Statistics, ArrayView<float> OutputGradient, ArrayView<float> Dot)
    {
        /// <summary>Computes the scores and dp of a tile: rows are queries and columns keys.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void QueryRows<TAccess>(ArrayView<Float4> shared, in AttentionPair pair, int firstQuery, int firstKey, ref ThreadTile4x4 scoreGradient)
            where TAccess : struct, IFloat4Access
        {
            ThreadTile4x4 scores = default;
            TileProduct.Add<ThreadTile4x4, StepsInside<TAccess>, StepsInside<TAccess>>(
                ref scores, shared, pair.Query.AsLines(Inputs.Query), firstQuery,
                pair.Key.AsLines(Inputs.Key), firstKey, 0, Inputs.HeadSize);
            TileProduct.Add<ThreadTile4x4, StepsInside<TAccess>, StepsInside<TAccess>>(
                ref scoreGradient, shared, pair.Output.AsLines(OutputGradient), firstQuery,
                pair.Value.AsLines(Inputs.Value), firstKey, 0, Inputs.ValueHeadSize);

            int query = firstQuery + (Group.IdxX >> 4 << 2), key = firstKey + ((Group.IdxX & 15) << 2);
            KeyQuad keys = Keys(pair, key);
            QueryRow(scores.Row0, ref scoreGradient.Row0, keys, Row(pair, query), query, key);
            QueryRow(scores.Row1, ref scoreGradient.Row1, keys, Row(pair, query + 1), query + 1, key);
            QueryRow(scores.Row2, ref scoreGradient.Row2, keys, Row(pair, query + 2), query + 2, key);
            QueryRow(scores.Row3, ref scoreGradient.Row3, keys, Row(pair, query + 3), query + 3, key);
        }

        /// <summary>The same with keys as rows and queries as columns, and with the weights.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void KeyRows<TAccess>(
            ArrayView<Float4> shared, in AttentionPair pair, int firstQuery, int firstKey, ref ThreadTile4x4 weights, ref ThreadTile4x4 scoreGradient)
            where TAccess : struct, IFloat4Access
        {
            TileProduct.Add<ThreadTile4x4, StepsInside<TAccess>, StepsInside<TAccess>>(
                ref weights, shared, pair.Key.AsLines(Inputs.Key), firstKey,
                pair.Query.AsLines(Inputs.Query), firstQuery, 0, Inputs.HeadSize);
            TileProduct.Add<ThreadTile4x4, StepsInside<TAccess>, StepsInside<TAccess>>(
                ref scoreGradient, shared, pair.Value.AsLines(Inputs.Value), firstKey,
                pair.Output.AsLines(OutputGradient), firstQuery, 0, Inputs.ValueHeadSize);

            int key = firstKey + (Group.IdxX >> 4 << 2), query = firstQuery + ((Group.IdxX & 15) << 2);
            KeyQuad keys = Keys(pair, key);
            QueryQuad queries = new(Row(pair, query), Row(pair, query + 1), Row(pair, query + 2), Row(pair, query + 3));
            KeyRow(ref weights.Row0, ref scoreGradient.Row0, keys.Bias, queries, query, key, keys.First0);
            KeyRow(ref weights.Row1, ref scoreGradient.Row1, keys.Bias, queries, query, key + 1, keys.First1);
            KeyRow(ref weights.Row2, ref scoreGradient.Row2, keys.Bias, queries, query, key + 2, keys.First2);
            KeyRow(ref weights.Row3, ref scoreGradient.Row3, keys.Bias, queries, query, key + 3, keys.First3);
        }

        private KeyQuad Keys(in AttentionPair pair, int key)
            => new(
                pair.Bias, Inputs.FirstQueryOf(pair.Batch, key), Inputs.FirstQueryOf(pair.Batch, key + 1),
                Inputs.FirstQueryOf(pair.Batch, key + 2), Inputs.FirstQueryOf(pair.Batch, key + 3));

        /// <summary>What the forward pass left of a row; a row behind the last query has weights of zero.</summary>
        private RowStatistics Row(in AttentionPair pair, int query)
        {
            if (query >= Inputs.QueryLength) return default;
            long at = pair.Rows + query;
            return new RowStatistics(Statistics[at], Statistics[(Statistics.Length / 2) + at], Dot[at]);
        }

        /// <summary>ds of four keys of one query.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void QueryRow(Float4 products, ref Float4 gradient, in KeyQuad keys, in RowStatistics row, int query, int key)
        {
            gradient.X = Weight(products.X, keys.Bias, row, query, key, keys.First0) * (gradient.X - row.Dot);
            gradient.Y = Weight(products.Y, keys.Bias, row, query, key + 1, keys.First1) * (gradient.Y - row.Dot);
            gradient.Z = Weight(products.Z, keys.Bias, row, query, key + 2, keys.First2) * (gradient.Z - row.Dot);
            gradient.W = Weight(products.W, keys.Bias, row, query, key + 3, keys.First3) * (gradient.W - row.Dot);
        }

        /// <summary>The weights and ds of one key of four queries.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void KeyRow(ref Float4 weights, ref Float4 gradient, long bias, in QueryQuad queries, int query, int key, int firstQueryOfKey)
        {
            weights.X = Weight(weights.X, bias, queries.First, query, key, firstQueryOfKey);
            weights.Y = Weight(weights.Y, bias, queries.Second, query + 1, key, firstQueryOfKey);
            weights.Z = Weight(weights.Z, bias, queries.Third, query + 2, key, firstQueryOfKey);
            weights.W = Weight(weights.W, bias, queries.Fourth, query + 3, key, firstQueryOfKey);
            gradient.X = weights.X * (gradient.X - queries.First.Dot);
            gradient.Y = weights.Y * (gradient.Y - queries.Second.Dot);
            gradient.Z = weights.Z * (gradient.Z - queries.Third.Dot);
            gradient.W = weights.W * (gradient.W - queries.Fourth.Dot);
        }

        /// <summary>p = exp(score - largest) / sum.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Weight(float product, long bias, in RowStatistics row, int query, int key, int firstQueryOfKey)
            => MathF.Exp(Inputs.Score(product, bias, query, key, firstQueryOfKey) - row.Largest) * row.InverseSum;

        /// <summary>Where the bias of the head begins, and which query is the first that may see each of four neighbouring keys.</summary>
        private readonly record struct KeyQuad(long Bias, int First0, int First1, int First2, int First3);

        private readonly record struct RowStatistics(float Largest, float InverseSum, float Dot);

        private readonly record struct QueryQuad(RowStatistics First, RowStatistics Second, RowStatistics Third, RowStatistics Fourth);
    }

    /// <summary>doutput_i · output_i for each row: 32 threads a row.</summary>
    internal readonly record struct AttentionDotKernel(
        ArrayView<float> Output, ArrayView<float> OutputGradient, ArrayView<float> Dot, int Heads, int QueryLength, int ValueHeadSize) : IGpuKernel
    {
        /// <summary>Rows of one group.</summary>
        public const int Rows = 8;

        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(Rows * 33);
            int lane = Group.IdxX % 32, slot = Group.IdxX / 32;
            long row = ((long)Grid.IdxX * Rows) + slot;
            float sum = 0f;
            if (row < Dot.Length)
            {
                for (int i = lane; i < ValueHeadSize; i += 32) sum += Output[(row * ValueHeadSize) + i] * OutputGradient[(row * ValueHeadSize) + i];
            }

            shared[(slot * 33) + lane] = sum;
            Group.Barrier();
            row = ((long)Grid.IdxX * Rows) + Group.IdxX;
            if (Group.IdxX >= Rows || row >= Dot.Length) return;
            sum = 0f;
            for (int i = 0; i < 32; i++) sum += shared[(Group.IdxX * 33) + i];
            long token = row / Heads, batch = token / QueryLength, head = row - (token * Heads);
            Dot[(((batch * Heads) + head) * QueryLength) + token - (batch * QueryLength)] = sum;
        }
    }

    /// <summary>dquery of one tile of queries of one head: dq_i = scale Σ_j ds_ij key_j, tile by tile of keys.</summary>
    internal readonly record struct AttentionQueryGradientKernel<TAccess, TWidth>(AttentionBackwardInputs Tiles, GpuTarget DQuery, int ColumnGroups) : IGpuKernel
        where TAccess : struct, IFloat4Access
        where TWidth : struct, IHeadWidth
    {
        public static int GroupSize => 256;

        public static bool IsHot => true;

        public static bool KeepsOrder => true;

        public void Execute()
        {
            ArrayView<Float4> shared = SharedMemory.Allocate<Float4>(TileProduct.Length + TileProduct.RightLength);
            AttentionInputs inputs = Tiles.Inputs;
            int queryTile = Grid.IdxX / ColumnGroups % inputs.QueryTiles, sequenceHead = Grid.IdxX / ColumnGroups / inputs.QueryTiles;
            int head = sequenceHead % inputs.Heads, batch = sequenceHead / inputs.Heads;
            int firstQuery = queryTile * AttentionTile, firstColumn = Grid.IdxX % ColumnGroups * TWidth.Tiles * 64;
            AttentionPair pair = inputs.Pair(batch, head);
            HeadSums<TWidth> sums = default;
            int visible = inputs.VisibleKeys(firstQuery);
            for (int firstKey = 0; firstKey < visible; firstKey += AttentionTile)
            {
                ThreadTile4x4 scoreGradient = default;
                Tiles.QueryRows<TAccess>(shared, pair, firstQuery, firstKey, ref scoreGradient);
                TileProduct.Stage(shared, scoreGradient);
                sums.AddStaged<TAccess>(shared, pair.Key.AsSteps(inputs.Key), firstColumn, firstKey, inputs.KeyLength);
            }

            sums.Put(DQuery, pair.Query, firstQuery, firstColumn, inputs.Scale);
        }
    }

    /// <summary>
    /// dkey and dvalue of one tile of keys of one key/value head: dk_j = scale Σ_i ds_ij query_i and dv_j = Σ_i p_ij doutput_i, tile by tile of queries,
    /// one after the other of the heads that read it.
    /// </summary>
    internal readonly record struct AttentionKeyGradientKernel<TAccess, TWidth>(AttentionBackwardInputs Tiles, GpuTarget DKey, GpuTarget DValue, int ColumnGroups) : IGpuKernel
        where TAccess : struct, IFloat4Access
        where TWidth : struct, IHeadWidth
    {
        public static int GroupSize => 256;

        public static bool IsHot => true;

        public static bool KeepsOrder => true;

        public void Execute()
        {
            ArrayView<Float4> shared = SharedMemory.Allocate<Float4>(TileProduct.Length + TileProduct.RightLength);
            AttentionInputs inputs = Tiles.Inputs;
            int keyTile = Grid.IdxX / ColumnGroups % inputs.KeyTiles, sequenceHead = Grid.IdxX / ColumnGroups / inputs.KeyTiles, start = 0;
            int keyValueHead = sequenceHead % inputs.KeyValueHeads, batch = sequenceHead / inputs.KeyValueHeads;
            int firstKey = keyTile * AttentionTile, firstColumn = Grid.IdxX % ColumnGroups * TWidth.Tiles * 64;
            int headsTogether = inputs.HeadsTogether;
            int firstVisible = firstKey - (inputs.KeyLength - inputs.QueryLength);
            if (inputs.Causal != 0 && firstVisible > 0) start = firstVisible / AttentionTile * AttentionTile;

            HeadSums<TWidth> keySums = default, valueSums = default;
            for (int head = keyValueHead * headsTogether; head < (keyValueHead + 1) * headsTogether; head++)
            {
                AttentionPair pair = inputs.Pair(batch, head);
                for (int firstQuery = start; firstQuery < inputs.QueryLength; firstQuery += AttentionTile)
                {
                    ThreadTile4x4 weights = default, scoreGradient = default;
                    Tiles.KeyRows<TAccess>(shared, pair, firstQuery, firstKey, ref weights, ref scoreGradient);
                    if (DValue.IsNeeded)
                    {
                        TileProduct.Stage(shared, weights);
                        valueSums.AddStaged<TAccess>(shared, pair.Output.AsSteps(Tiles.OutputGradient), firstColumn, firstQuery, inputs.QueryLength);
                    }

                    if (DKey.IsNeeded)
                    {
                        TileProduct.Stage(shared, scoreGradient);
                        keySums.AddStaged<TAccess>(shared, pair.Query.AsSteps(inputs.Query), firstColumn, firstQuery, inputs.QueryLength);
                    }
                }
            }

            if (DKey.IsNeeded) keySums.Put(DKey, inputs.KeyTokens(batch, keyValueHead), firstKey, firstColumn, inputs.Scale);
            if (DValue.IsNeeded) valueSums.Put(DValue, inputs.ValueTokens(batch, keyValueHead), firstKey, firstColumn, 1f);
        }
    }

    /// <summary>
    /// One tile of dbias = ds, summed in order over the sequences and heads that share it, or over a part of them: each part has a gradient of its own.
    /// </summary>
    internal readonly record struct AttentionBiasGradientKernel<TAccess>(
        AttentionBackwardInputs Tiles, GpuTarget DBias, int BiasBatches, int BiasHeads, int Sharing, int PartSharing, long PartLength) : IGpuKernel
        where TAccess : struct, IFloat4Access
    {
        public static int GroupSize => 256;

        public static bool IsHot => true;

        public static bool KeepsOrder => true;

        public void Execute()
        {
            ArrayView<Float4> shared = SharedMemory.Allocate<Float4>(TileProduct.Length + TileProduct.RightLength);
            AttentionInputs inputs = Tiles.Inputs;
            int keyTile = Grid.IdxX % inputs.KeyTiles, queryTile = Grid.IdxX / inputs.KeyTiles % inputs.QueryTiles, rest = Grid.IdxX / inputs.KeyTiles / inputs.QueryTiles;
            int biasHead = rest % BiasHeads, biasBatch = rest / BiasHeads % BiasBatches, part = rest / BiasHeads / BiasBatches;
            int firstQuery = queryTile * AttentionTile, firstKey = keyTile * AttentionTile, sharingHeads = BiasHeads == 1 ? inputs.Heads : 1;
            int end = (part + 1) * PartSharing < Sharing ? (part + 1) * PartSharing : Sharing;
            ThreadTile4x4 sums = default;
            for (int i = part * PartSharing; i < end; i++)
            {
                ThreadTile4x4 scoreGradient = default;
                AttentionPair pair = inputs.Pair(biasBatch + (i / sharingHeads), biasHead + (i % sharingHeads));
                Tiles.QueryRows<TAccess>(shared, pair, firstQuery, firstKey, ref scoreGradient);
                sums.Add(scoreGradient);
            }

            int query = firstQuery + (Group.IdxX >> 4 << 2), key = firstKey + ((Group.IdxX & 15) << 2);
            long at = (part * PartLength) + inputs.BiasOffset(biasBatch, biasHead);
            PutRow(at, query, key, sums.Row0);
            PutRow(at, query + 1, key, sums.Row1);
            PutRow(at, query + 2, key, sums.Row2);
            PutRow(at, query + 3, key, sums.Row3);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void PutRow(long at, int query, int key, Float4 row)
        {
            int keys = Tiles.Inputs.KeyLength;
            if (query >= Tiles.Inputs.QueryLength) return;
            at += ((long)query * keys) + key;
            if (key < keys) DBias.Put(at, row.X);
            if (key + 1 < keys) DBias.Put(at + 1, row.Y);
            if (key + 2 < keys) DBias.Put(at + 2, row.Z);
            if (key + 3 < keys) DBias.Put(at + 3, row.W);
        }
    }
}
