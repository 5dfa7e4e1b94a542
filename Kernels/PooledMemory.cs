namespace MiniVlp.Kernels;

/// <summary>A block of memory that a <see cref="BufferPool"/> keeps: it has a capacity of a size class and, in test mode, guards around it.</summary>
/// <param name="capacityBytes">Usable bytes.</param>
internal abstract class PooledMemory(long capacityBytes) : DeviceMemory
{
    /// <summary>Bytes in front of and behind the data that are filled and checked when guards are on.</summary>
    public const int GuardBytes = 64;

    /// <summary>What the guards hold.</summary>
    protected const byte GuardPattern = 0xA5;

    public long CapacityBytes => capacityBytes;

    /// <summary>Captured graphs that work in this block; while there are any, it is not rented to anybody else.</summary>
    public int HoldCount { get; set; }

    /// <summary>Whether the guards were written, so that they can be checked.</summary>
    public bool HasGuards { get; set; }

    /// <summary>Fills the elements with NaN and writes the guards.</summary>
    public abstract void Poison();

    public abstract bool GuardsAreIntact();

    /// <summary>Gives the memory back to the system.</summary>
    public abstract void Free();
}
