using System.Runtime.InteropServices;

namespace MiniVlp.Kernels;

/// <summary>A piece of memory of the running thread for packed panels and tiles; it lives as long as the thread and only grows.</summary>
internal sealed unsafe class ThreadScratch
{
    [ThreadStatic]
    private static ThreadScratch? _current;

    private float* _memory;
    private long _length;

    ~ThreadScratch() => NativeMemory.AlignedFree(_memory);

    /// <summary>
    /// At least <paramref name="length"/> floats with undefined contents, 64-byte aligned. One chunk calls this once and divides what it
    /// gets: the next call on the same thread returns the same memory.
    /// </summary>
    public static float* Get(long length)
    {
        ThreadScratch scratch = _current ??= new ThreadScratch();
        if (scratch._length < length)
        {
            NativeMemory.AlignedFree(scratch._memory);
            scratch._memory = null;
            scratch._length = 0;
            scratch._memory = (float*)NativeMemory.AlignedAlloc((nuint)(length * sizeof(float)), 64);
            scratch._length = length;
        }

        return scratch._memory;
    }
}
