using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Driver;

/// <content>Device memory, host memory, copies.</content>
public static unsafe partial class StandInDriver
{
    private static long _allocated;
    private static int _pinnedBlocks;

    /// <summary>Bytes that the device has; tests set it low to see what happens when memory runs out.</summary>
    public static long MemoryLimit { get; set; } = 80L << 30;

    /// <summary>Bytes that are allocated now.</summary>
    public static long AllocatedBytes => Interlocked.Read(ref _allocated);

    /// <summary>Blocks of page-locked host memory that are allocated now.</summary>
    public static int PinnedBlockCount => Volatile.Read(ref _pinnedBlocks);

    /// <summary>Allocations so far.</summary>
    public static long AllocationCount { get; private set; }

    [UnmanagedCallersOnly]
    internal static int cuMemGetInfo_v2(nuint* free, nuint* total)
    {
        *total = (nuint)MemoryLimit;
        *free = (nuint)Math.Max(0, MemoryLimit - AllocatedBytes);
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuMemAlloc_v2(ulong* address, nuint bytes) => Allocate(address, bytes);

    [UnmanagedCallersOnly]
    internal static int cuMemFree_v2(ulong address) => Free(address);

    [UnmanagedCallersOnly]
    internal static int cuMemAllocHost_v2(void** pointer, nuint bytes)
    {
        *pointer = NativeMemory.AlignedAlloc(bytes, 4096);
        Interlocked.Increment(ref _pinnedBlocks);
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuMemFreeHost(void* pointer)
    {
        DrainAll();
        NativeMemory.AlignedFree(pointer);
        Interlocked.Decrement(ref _pinnedBlocks);
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuMemHostRegister_v2(void* pointer, nuint bytes, uint flags) => Success;

    [UnmanagedCallersOnly]
    internal static int cuMemHostUnregister(void* pointer) => Success;

    [UnmanagedCallersOnly]
    internal static int cuMemHostGetDevicePointer_v2(void** device, void* host, uint flags)
    {
        *device = host;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuPointerGetAttribute(void* value, int attribute, ulong pointer)
    {
        *(int*)value = 2;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuMemcpy(ulong destination, ulong source, nuint bytes) => OnStream(0, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemcpyAsync(ulong destination, ulong source, nuint bytes, nint stream) => OnStream(stream, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemcpyHtoD_v2(ulong destination, ulong source, nuint bytes) => OnStream(0, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemcpyDtoH_v2(ulong destination, ulong source, nuint bytes) => OnStream(0, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemcpyHtoDAsync_v2(ulong destination, ulong source, nuint bytes, nint stream) => OnStream(stream, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemcpyDtoHAsync_v2(ulong destination, ulong source, nuint bytes, nint stream) => OnStream(stream, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemcpyDtoDAsync_v2(ulong destination, ulong source, nuint bytes, nint stream) => OnStream(stream, () => CopyNow(destination, source, bytes));

    [UnmanagedCallersOnly]
    internal static int cuMemsetD8_v2(ulong address, byte value, nuint count) => OnStream(0, () => Set(address, value, count));

    [UnmanagedCallersOnly]
    internal static int cuMemsetD8Async(ulong address, byte value, nuint count, nint stream) => OnStream(stream, () => Set(address, value, count));

    [UnmanagedCallersOnly]
    internal static int cuMemsetD32Async(ulong address, uint value, nuint count, nint stream) => OnStream(stream, () => Set(address, value, count));

    private static int CopyNow(ulong destination, ulong source, nuint bytes)
    {
        if (bytes == 0) return Success;
        if (!IsInsideIfDevice(destination, bytes) || !IsInsideIfDevice(source, bytes)) return InvalidValue;
        NativeMemory.Copy((void*)source, (void*)destination, bytes);
        return Success;
    }

    private static int Set<T>(ulong address, T value, nuint count)
        where T : unmanaged
    {
        if (!IsInsideIfDevice(address, count * (nuint)sizeof(T))) return InvalidValue;
        for (nuint i = 0; i < count; i++) ((T*)address)[i] = value;
        return Success;
    }

    /// <summary>A range that starts in a block of the device must end in it; host memory is not known here.</summary>
    private static bool IsInsideIfDevice(ulong address, nuint bytes)
    {
        foreach (Machine.GlobalMemory.Block block in Memory.Blocks)
            if (address >= block.Start && address - block.Start < block.Bytes) return block.Bytes - (address - block.Start) >= bytes;
        return true;
    }

    private static int Allocate(ulong* address, nuint bytes)
    {
        if (bytes == 0) return InvalidValue;
        if (Interlocked.Add(ref _allocated, (long)bytes) > MemoryLimit)
        {
            Interlocked.Add(ref _allocated, -(long)bytes);
            return OutOfMemory;
        }

        AllocationCount++;
        void* pointer = NativeMemory.AlignedAlloc(bytes + 256, 512);
        NativeMemory.Fill(pointer, bytes, 0xff);
        Memory.Add((ulong)pointer, (long)bytes);
        *address = (ulong)pointer;
        return Success;
    }

    private static int Free(ulong address)
    {
        if (address == 0) return Success;
        DrainAll();
        long bytes = Memory.SizeAt(address);
        if (bytes < 0) return InvalidValue;
        Memory.Remove(address);
        Interlocked.Add(ref _allocated, -bytes);
        NativeMemory.AlignedFree((void*)address);
        return Success;
    }
}
