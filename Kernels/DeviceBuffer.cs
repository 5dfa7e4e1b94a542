namespace MiniVlp.Kernels;

/// <summary>The type of one element of a <see cref="DeviceBuffer"/>.</summary>
public enum ElementType
{
    /// <summary>IEEE 754 single precision, 4 bytes.</summary>
    Float32,

    /// <summary>Signed 32-bit integer, 4 bytes.</summary>
    Int32,
}

/// <summary>One block of memory that a backend rented out; it goes back with <see cref="IBackend.Return"/>.</summary>
public abstract class DeviceMemory
{
    /// <summary>Number of elements that were asked for.</summary>
    public int Length { get; internal set; }

    /// <summary>Type of the elements.</summary>
    public ElementType ElementType { get; internal set; }

    /// <summary>Whether the block is rented out; false once it was returned.</summary>
    public bool IsRented { get; internal set; }
}

/// <summary>
/// A range of elements in the memory of one device: what every kernel reads and writes.
/// The default value is "no buffer" (<see cref="IsNull"/>) and stands for an operand that is absent.
/// </summary>
/// <param name="Memory">The memory the range lies in.</param>
/// <param name="Offset">First element of the range.</param>
/// <param name="Length">Number of elements in the range.</param>
public readonly record struct DeviceBuffer(DeviceMemory? Memory, int Offset, int Length)
{
    /// <summary>Whether there is no buffer at all, as for a bias that a layer does not have.</summary>
    public bool IsNull => Memory is null;

    /// <summary>The range of <paramref name="length"/> elements that starts <paramref name="start"/> elements into this one.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range does not lie inside this buffer.</exception>
    public DeviceBuffer Slice(int start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)start + length, Length, nameof(length));
        return new DeviceBuffer(Memory, Offset + start, length);
    }
}

/// <summary>
/// Where a backward kernel puts one gradient: it adds to <see cref="Buffer"/> when <see cref="Accumulate"/> is set and overwrites
/// it otherwise, so that no buffer is cleared before its first use. The default value means "nobody needs this gradient".
/// </summary>
/// <param name="Buffer">The gradient, as long as the operand it belongs to.</param>
/// <param name="Accumulate">True: add to what is there. False: what is there is undefined and every element must be written.</param>
public readonly record struct GradientTarget(DeviceBuffer Buffer, bool Accumulate)
{
    /// <summary>Whether the gradient is wanted; a kernel skips the work when it is not.</summary>
    public bool IsNeeded => !Buffer.IsNull;
}
