using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Queries and keys of one tile of scores.</summary>
    private const int AttentionTile = 64;

    /// <summary>How many columns of a head one group keeps in registers.</summary>
    internal interface IHeadWidth
    {
        /// <summary>1 for 64 columns, 2 for 128; heads that are wider go to several groups, each of which computes the scores for itself.</summary>
        static abstract int Tiles { get; }
    }

    /// <summary>64 columns.</summary>
    internal readonly struct HeadWidth64 : IHeadWidth
    {
        public static int Tiles => 1;
    }

    /// <summary>128 columns.</summary>
    internal readonly struct HeadWidth128 : IHeadWidth
    {
        public static int Tiles => 2;
    }

    /// <summary>What one thread sums of 64 tokens by the columns of a head.</summary>
    private struct HeadSums<TWidth>
        where TWidth : struct, IHeadWidth
    {
        public ThreadTile4x4 First;
        public ThreadTile4x4 Second;

        /// <summary>Adds the staged tile of shared memory times 64 tokens of the right operand.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void AddStaged<TAccess>(ArrayView<Float4> shared, in TileOperand right, int firstColumn, int firstToken, int tokens)
            where TAccess : struct, IFloat4Access
        {
            TileProduct.AddStaged<LinesInside<TAccess>>(ref First, shared, right, firstColumn, firstToken, tokens);
            if (TWidth.Tiles > 1) TileProduct.AddStaged<LinesInside<TAccess>>(ref Second, shared, right, firstColumn + 64, firstToken, tokens);
        }

        /// <summary>Multiplies the four rows of this thread by their factors.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void ScaleRows(Float4 factors)
        {
            First.ScaleRows(factors);
            if (TWidth.Tiles > 1) Second.ScaleRows(factors);
        }

        /// <summary>Writes factor · sums, or adds them, to the tokens of a head from <paramref name="firstToken"/> on.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void Put(in GpuTarget target, in HeadTokens tokens, int firstToken, int firstColumn, float factor)
        {
            int token = firstToken + (Group.IdxX >> 4 << 2), column = firstColumn + ((Group.IdxX & 15) << 2);
            PutTile(target, tokens, token, column, factor, First);
            if (TWidth.Tiles > 1) PutTile(target, tokens, token, column + 64, factor, Second);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void PutTile(in GpuTarget target, in HeadTokens tokens, int token, int column, float factor, in ThreadTile4x4 tile)
        {
            PutRow(target, tokens, token, column, factor, tile.Row0);
            PutRow(target, tokens, token + 1, column, factor, tile.Row1);
            PutRow(target, tokens, token + 2, column, factor, tile.Row2);
            PutRow(target, tokens, token + 3, column, factor, tile.Row3);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void PutRow(in GpuTarget target, in HeadTokens tokens, int token, int column, float factor, Float4 row)
        {
            if (token >= tokens.Count) return;
            long at = tokens.Offset + ((long)token * tokens.Stride) + column;
            if (column < tokens.Width) target.Put(at, factor * row.X);
            if (column + 1 < tokens.Width) target.Put(at + 1, factor * row.Y);
            if (column + 2 < tokens.Width) target.Put(at + 2, factor * row.Z);
            if (column + 3 < tokens.Width) target.Put(at + 3, factor * row.W);
        }
    }

    /// <summary>Where the tokens of one head of one sequence lie: Count rows of Width floats, Stride apart.</summary>
    internal readonly record struct HeadTokens(long Offset, int Count, int Width, int Stride)
    {
        /// <summary>As an operand of scores: a line is a token, the sum runs over the head.</summary>
        public TileOperand AsLines(ArrayView<float> view) => new(view, Offset, Count, Stride);

        /// <summary>As the right operand of weighted sums: a line is a column of the head, the sum runs over tokens.</summary>
        public TileOperand AsSteps(ArrayView<float> view) => new(view, Offset, Width, Stride);
    }

    /// <summary>One query head of one sequence with the key/value head that it reads: where everything of it begins.</summary>
    /// <param name="Batch">Which sequence.</param>
    /// <param name="Rows">First of its rows among those of all heads.</param>
    /// <param name="Bias">First element of its bias.</param>
    /// <param name="Query">Tokens of the query.</param>
    /// <param name="Key">Tokens of the key.</param>
    /// <param name="Value">Tokens of the value.</param>
    /// <param name="Output">Tokens of the output.</param>
    internal readonly record struct AttentionPair(int Batch, long Rows, long Bias, HeadTokens Query, HeadTokens Key, HeadTokens Value, HeadTokens Output);

    /// <summary>What all kernels of attention read, and the rules of the shape.</summary>
    internal readonly record struct AttentionInputs(
        ArrayView<float> Query, ArrayView<float> Key, ArrayView<float> Value, ArrayView<int> KeyMask, ArrayView<float> Bias, int Heads, int KeyValueHeads,
        int QueryLength, int KeyLength, int HeadSize, int ValueHeadSize, float Scale, int Causal, int BiasBatchStride, int BiasHeadStride)
    {
        /// <summary>Tiles of queries.</summary>
        public int QueryTiles => (QueryLength + AttentionTile - 1) / AttentionTile;

        /// <summary>Tiles of keys.</summary>
        public int KeyTiles => (KeyLength + AttentionTile - 1) / AttentionTile;

        /// <summary>Query heads that read one key/value head.</summary>
        public int HeadsTogether => Heads / KeyValueHeads;

        public AttentionPair Pair(int batch, int head)
        {
            int keyValueHead = head / HeadsTogether;
            long rows = (((long)batch * Heads) + head) * QueryLength;
            long bias = BiasOffset(batch, head);
            return new(batch, rows, bias, QueryTokens(batch, head), KeyTokens(batch, keyValueHead), ValueTokens(batch, keyValueHead), OutputTokens(batch, head));
        }

        public HeadTokens QueryTokens(int batch, int head) => new((((long)batch * QueryLength * Heads) + head) * HeadSize, QueryLength, HeadSize, Heads * HeadSize);

        public HeadTokens OutputTokens(int batch, int head)
            => new((((long)batch * QueryLength * Heads) + head) * ValueHeadSize, QueryLength, ValueHeadSize, Heads * ValueHeadSize);

        public HeadTokens KeyTokens(int batch, int keyValueHead)
            => new((((long)batch * KeyLength * KeyValueHeads) + keyValueHead) * HeadSize, KeyLength, HeadSize, KeyValueHeads * HeadSize);

        public HeadTokens ValueTokens(int batch, int keyValueHead)
            => new((((long)batch * KeyLength * KeyValueHeads) + keyValueHead) * ValueHeadSize, KeyLength, ValueHeadSize, KeyValueHeads * ValueHeadSize);

        /// <summary>Keys that the queries of the tile from <paramref name="firstQuery"/> on may see at most.</summary>
        public int VisibleKeys(int firstQuery)
        {
            int end = firstQuery + AttentionTile < QueryLength ? firstQuery + AttentionTile : QueryLength, visible = end + KeyLength - QueryLength;
            if (Causal == 0 || visible > KeyLength) return KeyLength;
            return visible > 0 ? visible : 0;
        }

        /// <summary>The first query that may see a key; none may see what the mask hides or what lies behind the last key.</summary>
        public int FirstQueryOf(int batch, int key)
        {
            if (key >= KeyLength) return int.MaxValue;
            if (KeyMask.Length > 0 && KeyMask[((long)batch * KeyLength) + key] == 0) return int.MaxValue;
            return Causal != 0 ? key - (KeyLength - QueryLength) : 0;
        }

        /// <summary>Where in the bias, and in its gradient, the scores of a head begin.</summary>
        public long BiasOffset(int batch, int head) => ((long)batch * BiasBatchStride) + ((long)head * BiasHeadStride);

        /// <summary>scale · query · key + bias, or -∞ where the query comes before the first one that may see the key.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public float Score(float product, long biasOffset, int query, int key, int firstQueryOfKey)
        {
            if (query < firstQueryOfKey) return float.NegativeInfinity;
            float score = Scale * product;
            if (Bias.Length > 0 && query < QueryLength) score += Bias[biasOffset + ((long)query * KeyLength) + key];
            return score;
        }
    }

    /// <summary>The sizes and operands of one attention as its kernels see them.</summary>
    private static AttentionInputs Inputs(in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias)
        => new(
            Input(query), Input(key), Input(value), IntInput(keyMask), Input(bias), shape.Heads, shape.KeyValueHeads, shape.QueryLength, shape.KeyLength,
            shape.HeadSize, shape.ValueHeadSize, shape.Scale, shape.Causal ? 1 : 0, shape.BiasBatchStride, shape.BiasHeadStride);
}
