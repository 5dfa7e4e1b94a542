using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>What a tensor map says: bfloat16 matrices, one behind the other, that the TMA unit copies in boxes of 64 columns with the 128-byte swizzle.</summary>
/// <param name="Address">The first element; a multiple of 16.</param>
/// <param name="Columns">Elements of a row.</param>
/// <param name="Rows">Rows of a matrix.</param>
/// <param name="Matrices">Number of matrices.</param>
/// <param name="LeadingBytes">From one row to the next; a multiple of 16.</param>
/// <param name="StrideBytes">From one matrix to the next; a multiple of 16.</param>
/// <param name="BoxRows">Rows of a box.</param>
internal readonly record struct TensorMap(nint Address, int Columns, int Rows, int Matrices, long LeadingBytes, long StrideBytes, int BoxRows);

/// <summary>
/// Tensor maps in global memory, where kernels can name them by address. A map is encoded by the driver once for each tensor that is met; since
/// the pool hands out the same addresses again, a steady state encodes none. When the place is used up, it is filled from its start again.
/// </summary>
internal sealed unsafe class TensorMaps(Accelerator accelerator) : IDisposable
{
    private const int Capacity = 4096, MapBytes = 128, MapFloats = MapBytes / sizeof(float);
    private const int BFloat16Type = 9, Swizzle128Bytes = 3, PromoteTo256Bytes = 3;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> _memory = accelerator.Allocate1D<float>(Capacity * MapFloats);
    private readonly Dictionary<TensorMap, int> _places = [];

    /// <summary>The place of a map on the device; what is put there goes onto the stream.</summary>
    public ArrayView<float> Get(AcceleratorStream stream, in TensorMap map)
    {
        if (!_places.TryGetValue(map, out int place))
        {
            if (_places.Count == Capacity) _places.Clear();
            place = _places.Count;
            float[] words = Encode(map);
            View(place).CopyFromCPU(stream, words);
            _places.Add(map, place);
        }

        return View(place);
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private ArrayView<float> View(int place) => _memory.View.BaseView.SubView(place * MapFloats, MapFloats);

    private static float[] Encode(in TensorMap map)
    {
        const uint Rank = 3;
        ulong* sizes = stackalloc ulong[] { (ulong)map.Columns, (ulong)map.Rows, (ulong)map.Matrices }, strides = stackalloc ulong[] { (ulong)map.LeadingBytes, (ulong)map.StrideBytes };
        uint* box = stackalloc uint[] { 64, (uint)map.BoxRows, 1 }, elementStrides = stackalloc uint[] { 1, 1, 1 };

        // The driver wants the map aligned to 64 bytes.
        byte* room = stackalloc byte[MapBytes + 64], aligned = (byte*)(((nint)room + 63) & ~63);
        CudaDriver.ThrowIfFailed(CudaDriver.EncodeTensorMap(
            aligned, BFloat16Type, Rank, map.Address, sizes, strides, box, elementStrides, interleave: 0, Swizzle128Bytes, PromoteTo256Bytes, fill: 0));
        return MemoryMarshal.Cast<byte, float>(new ReadOnlySpan<byte>(aligned, MapBytes)).ToArray();
    }
}
