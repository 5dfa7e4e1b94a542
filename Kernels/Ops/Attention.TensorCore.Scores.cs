using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    private const float Log2OfE = 1.44269504088896f;

    /// <summary>What is added to scores or hides them, at compile time; the causal rule and the last key cost nothing inside and are not among it.</summary>
    internal interface IScoreRules
    {
        /// <summary>Whether keys may be hidden by a mask.</summary>
        static abstract bool HasKeyMask { get; }

        /// <summary>Whether a bias is added; scores are then kept in natural units, which have room for a bias as low as a float goes.</summary>
        static abstract bool HasBias { get; }
    }

    /// <summary>Scores as they are.</summary>
    internal readonly struct PlainScores : IScoreRules
    {
        public static bool HasKeyMask => false;

        public static bool HasBias => false;
    }

    /// <summary>Scores with hidden keys.</summary>
    internal readonly struct MaskedScores : IScoreRules
    {
        public static bool HasKeyMask => true;

        public static bool HasBias => false;
    }

    /// <summary>Scores with a bias, and perhaps hidden keys.</summary>
    internal readonly struct BiasedScores : IScoreRules
    {
        public static bool HasKeyMask => true;

        public static bool HasBias => true;
    }

    /// <summary>The sizes of <see cref="AttentionShape"/> as a kernel needs them; a group is one tile of one head of one sequence.</summary>
    /// <param name="QueryLength">Tokens of a query sequence.</param>
    /// <param name="KeyLength">Tokens of a key sequence.</param>
    /// <param name="Heads">Heads of the query.</param>
    /// <param name="KeyValueHeads">Heads of key and value.</param>
    /// <param name="HeadsPerKeyValueHead">Query heads that read one key/value head.</param>
    /// <param name="Scale">Factor of the dot products, above 0.</param>
    /// <param name="LastKey">Query i sees the keys up to i + LastKey: keyLength - queryLength where causal, else keyLength.</param>
    /// <param name="BiasBatchStride">Elements from one batch entry of the bias to the next.</param>
    /// <param name="BiasHeadStride">Elements from one head of the bias to the next.</param>
    internal readonly record struct AttentionSizes(
        int QueryLength, int KeyLength, int Heads, int KeyValueHeads, int HeadsPerKeyValueHead, float Scale, int LastKey, int BiasBatchStride, int BiasHeadStride)
    {
        public static AttentionSizes From(in AttentionShape shape) => new(
            shape.QueryLength, shape.KeyLength, shape.Heads, shape.KeyValueHeads, shape.Heads / shape.KeyValueHeads, shape.Scale,
            shape.Causal ? shape.KeyLength - shape.QueryLength : shape.KeyLength, shape.BiasBatchStride, shape.BiasHeadStride);

        /// <summary>Bytes from one bfloat16 row of the query to the next.</summary>
        public uint QueryStride<THead>()
            where THead : struct, IHeadSize
            => (uint)Heads * HeadTile.RowBytes<THead>();

        /// <summary>Bytes from one bfloat16 row of the key or value to the next.</summary>
        public uint KeyStride<THead>()
            where THead : struct, IHeadSize
            => (uint)KeyValueHeads * HeadTile.RowBytes<THead>();

        /// <summary>Byte offset of the first bfloat16 row of a head of the query; twice that in float32.</summary>
        public ulong QueryOffset<THead>(int batch, int head)
            where THead : struct, IHeadSize
            => ((ulong)(uint)batch * (uint)QueryLength * QueryStride<THead>()) + ((uint)head * HeadTile.RowBytes<THead>());

        /// <summary>Byte offset of the first bfloat16 row of a head of the key; twice that in float32.</summary>
        public ulong KeyOffset<THead>(int batch, int keyValueHead)
            where THead : struct, IHeadSize
            => ((ulong)(uint)batch * (uint)KeyLength * KeyStride<THead>()) + ((uint)keyValueHead * HeadTile.RowBytes<THead>());

        /// <summary>First element of the statistics of a head.</summary>
        public long StatisticsOffset(int batch, int head) => (((long)batch * Heads) + head) * QueryLength;

        /// <summary>Elements of one of the statistics.</summary>
        public long StatisticsLength(int batches) => (long)batches * Heads * QueryLength;

        /// <summary>First element of the bias of a head.</summary>
        public long BiasOffset(int batch, int head) => ((long)batch * BiasBatchStride) + ((long)head * BiasHeadStride);

        /// <summary>Tiles of keys that some query in front of <paramref name="endQuery"/> sees.</summary>
        public int VisibleTiles(int endQuery)
        {
            int keys = endQuery + LastKey;
            keys = keys < KeyLength ? keys : KeyLength;
            return keys > 0 ? (keys + HeadTile.Rows - 1) >> 6 : 0;
        }

        /// <summary>Tiles of keys that all queries from <paramref name="firstQuery"/> on see in full: those need no comparison.</summary>
        public int FullTiles(int firstQuery)
        {
            int keys = firstQuery + LastKey + 1;
            keys = keys < KeyLength ? keys : KeyLength;
            return keys > 0 ? keys >> 6 : 0;
        }

        /// <summary>The last key that a query may see.</summary>
        public int LastVisibleKey(int query)
        {
            int last = query + LastKey;
            return last < KeyLength - 1 ? last : KeyLength - 1;
        }
    }

    /// <summary>score = scale · dot + bias for the two rows of a thread in a tile of scores whose first column is <paramref name="column"/>.</summary>
    private readonly struct AddBiasRows(ArrayView<float> bias, long first, int row, int rows, int columns, float scale, int column) : IColumnsStep
    {
        private readonly ulong _above = GlobalAddress(bias) + ((ulong)(first + ((long)(row < rows ? row : rows - 1) * columns)) * 4);
        private readonly ulong _below = GlobalAddress(bias) + ((ulong)(first + ((long)(row + 8 < rows ? row + 8 : rows - 1) * columns)) * 4);
        private readonly int _last = columns - 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int ofTile)
        {
            int at = column + ofTile;
            ulong left = (ulong)(uint)(at < _last ? at : _last) * 4, right = (ulong)(uint)(at + 1 < _last ? at + 1 : _last) * 4;
            sums.X = (sums.X * scale) + LoadConstantFloat(_above + left);
            sums.Y = (sums.Y * scale) + LoadConstantFloat(_above + right);
            sums.Z = (sums.Z * scale) + LoadConstantFloat(_below + left);
            sums.W = (sums.W * scale) + LoadConstantFloat(_below + right);
        }
    }

    /// <summary>The key mask of a tile in shared memory: 64 floats, 0 or -∞, to be added to scores.</summary>
    private static class KeyMaskTile
    {
        /// <summary>Bytes of a tile.</summary>
        public const uint Bytes = HeadTile.Rows * 4;

        /// <summary>Writes the mask of the keys from <paramref name="firstKey"/> on; an absent mask hides nothing.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(uint tile, ArrayView<int> mask, long first, int firstKey, int keys, uint thread)
        {
            if (thread >= HeadTile.Rows) return;
            int key = firstKey + (int)thread;
            float value = 0f;
            if (mask.Length > 0 && mask[first + (key < keys ? key : keys - 1)] == 0) value = float.NegativeInfinity;
            StoreShared(tile + (thread * 4), value);
        }

        /// <summary>Adds the mask to scores of which this thread holds the columns 2q and 2q + 1 of each eight.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void AddTo(ref Accumulator64 scores, uint tile, uint lane)
        {
            AddMask step = new(tile + ((lane & 3) * 8));
            Accumulator64.ForEach(ref scores, ref step);
        }

        private readonly struct AddMask(uint place) : IColumnsStep
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Apply(ref Float4 sums, int column)
            {
                Float2 mask = LoadSharedFloat2(place + ((uint)column * 4));
                sums.X += mask.X;
                sums.Y += mask.Y;
                sums.Z += mask.X;
                sums.W += mask.Y;
            }
        }
    }

    /// <summary>
    /// Hides the columns behind <paramref name="last"/> (upper row) and <paramref name="lastBelow"/> (lower row): only for tiles in which the last visible
    /// key differs between the rows.
    /// </summary>
    private readonly struct HideBehindLastKey(int column, int last, int lastBelow) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int ofTile)
        {
            int at = column + ofTile;
            sums.X = at > last ? float.NegativeInfinity : sums.X;
            sums.Y = at + 1 > last ? float.NegativeInfinity : sums.Y;
            sums.Z = at > lastBelow ? float.NegativeInfinity : sums.Z;
            sums.W = at + 1 > lastBelow ? float.NegativeInfinity : sums.W;
        }
    }
}
