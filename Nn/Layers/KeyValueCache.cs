using System.Diagnostics.CodeAnalysis;
using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>
/// What causal decoding keeps between calls, so that each call computes its new tokens alone: the keys and values of all earlier tokens for
/// every self-attention, and those of the context for every cross-attention, computed once. Pass the same cache to every call; the
/// attentions find themselves in it. It has no gradient and belongs to no scope: dispose it.
/// </summary>
public sealed class KeyValueCache : IDisposable
{
    private readonly Dictionary<MultiHeadAttention, Entry> _entries = [];
    private readonly Dictionary<IndexTensor, GatheredMask> _masks = [];
    private Entry? _first;
    private int[] _contextRows = [];

    /// <summary>Number of sequences; 0 before the first call.</summary>
    public int Rows => _contextRows.Length;

    /// <summary>Number of tokens of each sequence that were decoded: the position of the next one. A model reads it before its first block.</summary>
    public int Length => _first?.Tokens ?? 0;

    /// <summary>
    /// Makes row i the continuation of what was row rows[i]: to reorder beams, to repeat a prompt for several continuations, or to drop
    /// sequences that have ended. Keys and values of a context are moved only where a row comes to read another row of it.
    /// </summary>
    /// <param name="rows">At least one row, each 0 .. <see cref="Rows"/> - 1; repeated ones are copied.</param>
    /// <exception cref="InvalidOperationException">Nothing was decoded yet, or a tape is recording.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no row, or one of them is not in the cache.</exception>
    public void Gather(ReadOnlySpan<int> rows)
    {
        RequireNoTape();
        if (Rows == 0) throw new InvalidOperationException("KeyValueCache: there are no rows to gather before the first call.");
        if (rows.IsEmpty) throw new ArgumentOutOfRangeException(nameof(rows), "KeyValueCache: Gather needs at least one row; dispose a cache that is no longer needed.");
        int[] contextRows = new int[rows.Length];
        bool same = rows.Length == Rows;
        for (int i = 0; i < rows.Length; i++)
        {
            if (rows[i] < 0 || rows[i] >= Rows) throw new ArgumentOutOfRangeException(nameof(rows), rows[i], $"KeyValueCache: rows must be 0 .. {Rows - 1}.");
            contextRows[i] = _contextRows[rows[i]];
            same &= rows[i] == i;
        }

        if (same) return;
        bool sameContext = contextRows.AsSpan().SequenceEqual(_contextRows);
        using TensorScope scope = new();
        IndexTensor? ids = null;
        foreach (Entry entry in _entries.Values)
        {
            if (entry.IsContext && sameContext) continue;
            ids ??= IndexTensor.FromArray(rows, [rows.Length], entry.Device);
            entry.Gather(ids);
        }

        _contextRows = contextRows;
    }

    /// <summary>Gives all memory back.</summary>
    public void Dispose()
    {
        foreach (Entry entry in _entries.Values) entry.Dispose();
        foreach (GatheredMask mask in _masks.Values) mask.Dispose();
        _entries.Clear();
        _masks.Clear();
        (_first, _contextRows) = (null, []);
    }

    /// <summary>Appends the keys and values of new tokens [rows, new, width] of a self-attention; returns those of all tokens so far.</summary>
    internal (Tensor Keys, Tensor Values) Append(MultiHeadAttention attention, Tensor keys, Tensor values)
    {
        RequireNoTape();
        RequireRows(keys.Shape[0]);
        if (!_entries.TryGetValue(attention, out Entry? entry)) entry = Add(attention, keys, values, isContext: false);
        else entry.Append(keys, values);
        _first ??= entry;
        return (entry.Keys, entry.Values);
    }

    /// <summary>
    /// Whether the context's keys and values of a cross-attention are there, [rows, context tokens, width]; then the mask, which speaks of the
    /// rows of the first call, becomes that of the rows now.
    /// </summary>
    internal bool TryGetContext(MultiHeadAttention attention, ref IndexTensor? mask, [NotNullWhen(true)] out Tensor? keys, [NotNullWhen(true)] out Tensor? values)
    {
        RequireNoTape();
        (keys, values) = (null, null);
        if (!_entries.TryGetValue(attention, out Entry? entry)) return false;
        (keys, values) = (entry.Keys, entry.Values);
        if (mask is null) return true;
        if (!_masks.TryGetValue(mask, out GatheredMask? gathered)) _masks.Add(mask, gathered = new GatheredMask(mask));
        mask = gathered.For(_contextRows);
        return true;
    }

    /// <summary>Keeps the keys and values of a context, [rows, context tokens, width].</summary>
    internal void AddContext(MultiHeadAttention attention, Tensor keys, Tensor values)
    {
        RequireRows(keys.Shape[0]);
        for (int i = 0; i < Rows; i++)
            if (_contextRows[i] != i) throw new InvalidOperationException("KeyValueCache: a context must be attended to before rows are gathered.");
        Add(attention, keys, values, isContext: true);
    }

    private Entry Add(MultiHeadAttention attention, Tensor keys, Tensor values, bool isContext)
    {
        Entry entry = new(keys, values, isContext);
        _entries.Add(attention, entry);
        return entry;
    }

    private void RequireRows(int rows)
    {
        if (Rows == 0) _contextRows = [.. Enumerable.Range(0, rows)];
        if (Rows != rows) throw new ShapeException($"KeyValueCache: it holds {Rows} sequences, but {rows} are given; Gather tells the cache about rows that were repeated, reordered or dropped.");
    }

    private static void RequireNoTape()
    {
        if (Tape.IsRecording)
            throw new InvalidOperationException("KeyValueCache: what is kept between calls has no gradient; decode without a recording tape, or inside Tape.NoGradient().");
    }

    /// <summary>Keys and values of one attention in memory of their own.</summary>
    private sealed class Entry : IDisposable
    {
        private readonly int _keyWidth;
        private readonly int _valueWidth;
        private Tensor _keys;
        private Tensor _values;
        private int _rows;

        public Entry(Tensor keys, Tensor values, bool isContext)
        {
            (IsContext, _rows, Tokens, _keyWidth, _valueWidth) = (isContext, keys.Shape[0], keys.Shape[1], keys.Shape[2], values.Shape[2]);
            _keys = Copy(keys);
            _values = Copy(values);
        }

        public bool IsContext { get; }

        public int Tokens { get; private set; }

        public Device Device => _keys.Device;

        public Tensor Keys => _keys.Reshape([_rows, Tokens, _keyWidth]);

        public Tensor Values => _values.Reshape([_rows, Tokens, _valueWidth]);

        public void Append(Tensor keys, Tensor values)
        {
            Tensor allKeys = Tensor.Concatenate(1, Keys, keys), allValues = Tensor.Concatenate(1, Values, values);
            Tokens += keys.Shape[1];
            Replace(allKeys, allValues);
        }

        public void Gather(IndexTensor rows)
        {
            Tensor keys = _keys.Reshape([_rows, Tokens * _keyWidth]).GatherRows(rows), values = _values.Reshape([_rows, Tokens * _valueWidth]).GatherRows(rows);
            _rows = rows.Shape[0];
            Replace(keys, values);
        }

        public void Dispose()
        {
            _keys.Dispose();
            _values.Dispose();
        }

        private void Replace(Tensor keys, Tensor values)
        {
            Dispose();
            _keys = TensorScope.Release(keys);
            _values = TensorScope.Release(values);
        }

        private static Tensor Copy(Tensor source)
        {
            Tensor copy = Tensor.CreatePersistent(source.Shape, source.Device);
            copy.CopyFrom(source);
            return copy;
        }
    }

    /// <summary>A mask of the context, [context rows, context tokens], with its rows as the sequences read them.</summary>
    private sealed class GatheredMask(IndexTensor mask) : IDisposable
    {
        private readonly int[] _values = mask.ToArray();
        private int[] _rows = [];
        private IndexTensor? _gathered;

        public IndexTensor For(int[] rows)
        {
            if (_gathered is not null && ReferenceEquals(rows, _rows)) return _gathered;
            int tokens = mask.Shape[1];
            int[] values = new int[rows.Length * tokens];
            for (int i = 0; i < rows.Length; i++) _values.AsSpan(rows[i] * tokens, tokens).CopyTo(values.AsSpan(i * tokens));
            _gathered?.Dispose();
            _gathered = TensorScope.Release(IndexTensor.FromArray(values, [rows.Length, tokens], mask.Device));
            _rows = rows;
            return _gathered;
        }

        public void Dispose() => _gathered?.Dispose();
    }
}
