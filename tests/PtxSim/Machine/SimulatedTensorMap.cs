using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// What TMA knows of a tensor, in the simulator's own 128 bytes: NVIDIA's format is not public, and the driver makes it in both worlds.
/// Axis 0 is the contiguous one. NVIDIA does not say how TMA rounds to TF32: here to nearest, ties away from zero.
/// </summary>
public sealed record SimulatedTensorMap(ulong Address, int ElementBytes, long[] Sizes, long[] Strides, int[] Box, int Swizzle, bool RoundsToTf32 = false)
{
    /// <summary>CUtensorMapDataType of float32 that is rounded to TF32 on its way.</summary>
    public const int TensorFloat32Type = 11;

    /// <summary>Bytes of an encoded map.</summary>
    public const int EncodedBytes = 128;

    private const uint Magic = 0x50414d54;

    /// <summary>Bytes of one box in shared memory.</summary>
    public int BoxBytes => Box.Aggregate(ElementBytes, (product, size) => product * size);

    /// <summary>Bytes of an element of CUtensorMapDataType.</summary>
    public static int ElementBytesOf(int type) => type switch
    {
        0 => 1,
        1 or 6 or 9 => 2,
        2 or 3 or 7 or 10 or 11 or 12 => 4,
        4 or 5 or 8 => 8,
        _ => throw new SimulationException($"there is no tensor map data type {type}"),
    };

    /// <summary>Checks what the driver checks, and writes the map.</summary>
    /// <exception cref="SimulationException">The driver would refuse it; the message says why.</exception>
    public byte[] Encode()
    {
        if (Sizes.Length is < 1 or > 5 || Box.Length != Sizes.Length || Strides.Length != Sizes.Length - 1) throw new SimulationException("a tensor map has one to five axes");
        if (Address % 16 != 0) throw new SimulationException($"a tensor map of 0x{Address:x}, which is not aligned to 16 bytes");
        if (Sizes.Any(size => size is < 1 or > uint.MaxValue)) throw new SimulationException($"a tensor map with sizes {string.Join(", ", Sizes)}");
        if (Strides.Any(stride => stride % 16 != 0 || stride is < 1 or >= 1L << 40)) throw new SimulationException($"a tensor map with strides {string.Join(", ", Strides)}: each must be a multiple of 16 bytes below 2^40");
        if (Box.Any(size => size is < 1 or > 256)) throw new SimulationException($"a tensor map with a box of {string.Join(" x ", Box)}: at most 256 along an axis");
        int row = Box[0] * ElementBytes, widest = Swizzle switch { 0 => int.MaxValue, 1 => 32, 2 => 64, 3 => 128, _ => throw new SimulationException($"there is no swizzle mode {Swizzle}") };
        if (row % 16 != 0 || row > widest) throw new SimulationException($"a tensor map whose box has rows of {row} bytes: a multiple of 16, at most {widest}");
        byte[] bytes = new byte[EncodedBytes];
        MemoryMarshal.Write(bytes, Magic);
        bytes[4] = (byte)ElementBytes;
        bytes[5] = (byte)Sizes.Length;
        bytes[6] = (byte)Swizzle;
        bytes[7] = (byte)(RoundsToTf32 ? 1 : 0);
        MemoryMarshal.Write(bytes.AsSpan(8), Address);
        Sizes.CopyTo(MemoryMarshal.Cast<byte, long>(bytes.AsSpan(16, 40)));
        Strides.CopyTo(MemoryMarshal.Cast<byte, long>(bytes.AsSpan(56, 32)));
        Box.Select(size => (short)size).ToArray().CopyTo(MemoryMarshal.Cast<byte, short>(bytes.AsSpan(88, 10)));
        return bytes;
    }

    /// <summary>Reads an encoded map.</summary>
    public static SimulatedTensorMap Decode(ReadOnlySpan<byte> bytes)
    {
        if (MemoryMarshal.Read<uint>(bytes) != Magic) throw new SimulationException("these 128 bytes are no tensor map");
        int rank = bytes[5];
        long[] sizes = MemoryMarshal.Cast<byte, long>(bytes.Slice(16, 40))[..rank].ToArray();
        long[] strides = MemoryMarshal.Cast<byte, long>(bytes.Slice(56, 32))[..(rank - 1)].ToArray();
        int[] box = [.. MemoryMarshal.Cast<byte, short>(bytes.Slice(88, 10))[..rank].ToArray().Select(size => (int)size)];
        return new SimulatedTensorMap(MemoryMarshal.Read<ulong>(bytes[8..]), bytes[4], sizes, strides, box, bytes[6], bytes[7] != 0);
    }

    /// <summary>Where a byte of an unswizzled tile lies: 16-byte chunks of a row of 128 bytes change places by the row within eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Swizzled(uint address, int mode) => address ^ ((address >> 7 & ((1u << mode) - 1)) << 4);
}
