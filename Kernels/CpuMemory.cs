using System.Runtime.InteropServices;

namespace MiniVlp.Kernels;

/// <summary>Native memory of the CPU backend, 64-byte aligned so that a 512-bit load never crosses a cache line.</summary>
internal sealed unsafe class CpuMemory : PooledMemory
{
    private readonly byte* _allocation;

    public CpuMemory(long capacityBytes)
        : base(capacityBytes)
    {
        _allocation = (byte*)NativeMemory.AlignedAlloc((nuint)(capacityBytes + (2 * GuardBytes)), 64);
        Pointer = _allocation + GuardBytes;

        // The collector sees a small object; without this, tensors that nobody disposes pile up before it takes the trouble.
        GC.AddMemoryPressure(capacityBytes);
    }

    /// <summary>A tensor that nobody disposed: the memory goes back to the system instead of the pool.</summary>
    ~CpuMemory() => Release();

    public byte* Pointer { get; }

    public override void Poison()
    {
        new Span<float>(Pointer, Length).Fill(float.NaN);
        new Span<byte>(_allocation, GuardBytes).Fill(GuardPattern);
        new Span<byte>(Pointer + ((long)Length * sizeof(float)), GuardBytes).Fill(GuardPattern);
    }

    public override bool GuardsAreIntact()
        => !new Span<byte>(_allocation, GuardBytes).ContainsAnyExcept(GuardPattern)
        && !new Span<byte>(Pointer + ((long)Length * sizeof(float)), GuardBytes).ContainsAnyExcept(GuardPattern);

    public override void Free()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    private void Release()
    {
        if (_allocation is null) return;                // the system had no memory to give
        NativeMemory.AlignedFree(_allocation);
        GC.RemoveMemoryPressure(CapacityBytes);
    }
}
