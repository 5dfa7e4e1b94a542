using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>What a tensor map says: matrices of bfloat16, or of float32 to be rounded to TF32, one behind the other, that the TMA unit copies in boxes of 128 bytes of columns with the 128-byte swizzle.</summary>
/// <param name="Address">The first element; a multiple of 16.</param>
/// <param name="Columns">Elements of a row.</param>
/// <param name="Rows">Rows of a matrix.</param>
/// <param name="Matrices">Number of matrices.</param>
/// <param name="LeadingBytes">From one row to the next; a multiple of 16.</param>
/// <param name="StrideBytes">From one matrix to the next; a multiple of 16.</param>
/// <param name="BoxRows">Rows of a box.</param>
/// <param name="IsTensorFloat32">Whether elements are float32, which the TMA unit rounds to TF32 as it copies them.</param>
internal readonly record struct TensorMap(
    nint Address, int Columns, int Rows, int Matrices, long LeadingBytes, long StrideBytes, int BoxRows, bool IsTensorFloat32 = false);

/// <summary>
/// Tensor maps in global memory, where kernels can name them by address. A map is encoded by the driver once for each tensor that is met; since
/// the pool hands out the same addresses again, a steady state encodes none. When the places are used up they are used again, but for those of the
/// last few maps, which may belong to the launch that is being prepared; and not while there are captured graphs, which go on reading the maps that
/// they were captured with.
/// </summary>
/// <param name="accelerator">Where the maps lie.</param>
/// <param name="recorder">Knows of captured graphs.</param>
/// <param name="uploads">Brings maps to the device in the order of the kernels.</param>
/// <param name="capacity">Maps that have room, more than <see cref="MapsOfLaunch"/>.</param>
internal sealed unsafe class TensorMaps(Accelerator accelerator, GraphRecorder recorder, UploadRing uploads, int capacity) : IDisposable
{
    private const int MapBytes = 128, MapFloats = MapBytes / sizeof(float);
    private const int BFloat16Type = 9, TensorFloat32Type = 11, Swizzle128Bytes = 3, PromoteTo256Bytes = 3;
    private readonly List<MemoryBuffer1D<float, Stride1D.Dense>> _memory = [accelerator.Allocate1D<float>(capacity * MapFloats)];
    private readonly Dictionary<TensorMap, Entry> _entries = [];
    private readonly Stack<int> _free = new();
    private AcceleratorStream? _aside;
    private int _used;
    private long _uses;

    /// <summary>No launch has more maps than this.</summary>
    public const int MapsOfLaunch = 8;

    /// <summary>The place of a map on the device, where the kernels from now on find it.</summary>
    public ArrayView<float> Get(in TensorMap map)
    {
        _uses++;
        ref Entry entry = ref CollectionsMarshal.GetValueRefOrNullRef(_entries, map);
        if (!Unsafe.IsNullRef(ref entry))
        {
            entry.LastUse = _uses;
            return View(entry.Place);
        }

        int place = NextPlace();
        Put(View(place), Encode(map));
        _entries.Add(map, new Entry { Place = place, LastUse = _uses });
        return View(place);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _aside?.Dispose();
        foreach (MemoryBuffer1D<float, Stride1D.Dense> memory in _memory) memory.Dispose();
    }

    /// <summary>
    /// A place for a map. One that is used again is written on the stream, behind the last launch that reads it; what is written during a capture is
    /// not, and takes a place that was never used.
    /// </summary>
    private int NextPlace()
    {
        bool isCapturing = recorder.Held is not null;
        if (!isCapturing && _free.Count == 0 && _used == capacity * _memory.Count && recorder.Graphs == 0)
        {
            foreach ((TensorMap map, Entry entry) in _entries)
            {
                if (entry.LastUse > _uses - MapsOfLaunch) continue;
                _free.Push(entry.Place);
                _entries.Remove(map);
            }
        }

        if (!isCapturing && _free.TryPop(out int free)) return free;
        if (_used == capacity * _memory.Count) _memory.Add(accelerator.Allocate1D<float>(capacity * MapFloats));
        return _used++;
    }

    private ArrayView<float> View(int place) => _memory[place / capacity].View.BaseView.SubView(place % capacity * MapFloats, MapFloats);

    /// <summary>A captured copy would read the host's words when the graph is launched; during a capture the map goes there at once, on another stream.</summary>
    private void Put(ArrayView<float> place, float[] words)
    {
        if (recorder.Held is null)
        {
            uploads.Upload(MemoryMarshal.AsBytes(words.AsSpan()), ViewArgument.Address(ref place));
            return;
        }

        _aside ??= accelerator.CreateStream();
        place.CopyFromCPU(_aside, words);
        _aside.Synchronize();
    }

    private static float[] Encode(in TensorMap map)
    {
        const uint Rank = 3;
        ulong* sizes = stackalloc ulong[] { (ulong)map.Columns, (ulong)map.Rows, (ulong)map.Matrices }, strides = stackalloc ulong[] { (ulong)map.LeadingBytes, (ulong)map.StrideBytes };
        uint* box = stackalloc uint[] { map.IsTensorFloat32 ? 32u : 64u, (uint)map.BoxRows, 1 }, elementStrides = stackalloc uint[] { 1, 1, 1 };

        // The driver wants the map aligned to 64 bytes.
        byte* room = stackalloc byte[MapBytes + 64], aligned = (byte*)(((nint)room + 63) & ~63);
        CudaDriver.ThrowIfFailed(CudaDriver.EncodeTensorMap(
            aligned, map.IsTensorFloat32 ? TensorFloat32Type : BFloat16Type, Rank, map.Address, sizes, strides, box, elementStrides, interleave: 0, Swizzle128Bytes, PromoteTo256Bytes, fill: 0));
        return MemoryMarshal.Cast<byte, float>(new ReadOnlySpan<byte>(aligned, MapBytes)).ToArray();
    }

    private struct Entry
    {
        public int Place;
        public long LastUse;
    }
}
