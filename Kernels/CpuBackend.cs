using System.Runtime.Intrinsics;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>Width of the vectors that CPU kernels run on.</summary>
public enum SimdTier
{
    /// <summary>One float at a time; the reference the others are tested against.</summary>
    Scalar,

    /// <summary>4 floats: SSE, NEON.</summary>
    Vector128,

    /// <summary>8 floats: AVX2.</summary>
    Vector256,

    /// <summary>16 floats: AVX-512.</summary>
    Vector512,
}

/// <summary>A CPU kernel: operands in fields, and a body written once over the vector type.</summary>
internal interface ICpuKernel
{
    /// <summary>Computes one chunk. What a chunk covers depends on the sizes alone, never on the number of threads.</summary>
    void Execute<V>(int chunk)
        where V : unmanaged, ISimd<V>;
}

/// <summary>The CPU: SIMD kernels on worker threads, native memory from a pool.</summary>
public sealed unsafe partial class CpuBackend : IBackend
{
    private readonly BufferPool _pool;
    private readonly WorkerPool _workers;

    /// <summary>Creates a backend with its own threads and memory pool.</summary>
    /// <param name="threads">Number of threads including the caller's; 0 means one per processor.</param>
    /// <param name="tier">Vector width; null means the widest this machine has.</param>
    /// <param name="checkGuards">Test mode: fresh buffers hold NaN and writes outside of a buffer throw when it is returned.</param>
    /// <exception cref="PlatformNotSupportedException">This machine lacks <paramref name="tier"/>.</exception>
    public CpuBackend(int threads = 0, SimdTier? tier = null, bool checkGuards = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Tier = tier ?? WidestTier;
        if (Tier > WidestTier) throw new PlatformNotSupportedException($"This machine has no {Tier} instructions; its widest tier is {WidestTier}.");
        _pool = new BufferPool(bytes => new CpuMemory(bytes), checkGuards);
        _workers = new WorkerPool(threads == 0 ? Environment.ProcessorCount : threads);
    }

    /// <summary>The widest vectors this machine has in hardware.</summary>
    public static SimdTier WidestTier { get; } =
        Vector512.IsHardwareAccelerated ? SimdTier.Vector512
        : Vector256.IsHardwareAccelerated ? SimdTier.Vector256
        : Vector128.IsHardwareAccelerated ? SimdTier.Vector128
        : SimdTier.Scalar;

    /// <summary>The vector width in use.</summary>
    public SimdTier Tier { get; }

    /// <summary>Number of threads that execute kernels, the caller's included.</summary>
    public int ThreadCount => _workers.ThreadCount;

    /// <inheritdoc/>
    public string Name => Tier switch
    {
        SimdTier.Vector512 => "cpu-512",
        SimdTier.Vector256 => "cpu-256",
        SimdTier.Vector128 => "cpu-128",
        _ => "cpu-scalar",
    };

    /// <inheritdoc/>
    public int RentedCount => _pool.RentedCount;

    /// <summary>Bytes rented out now.</summary>
    public long RentedBytes => _pool.RentedBytes;

    /// <summary>Bytes returned and kept for the next rent.</summary>
    public long CachedBytes => _pool.CachedBytes;

    /// <summary>Gives cached memory back to the system.</summary>
    public void Trim() => _pool.Trim();

    /// <inheritdoc/>
    public DeviceBuffer Rent(int length, ElementType elementType = ElementType.Float32) => new(_pool.Rent(length, elementType), 0, length);

    /// <inheritdoc/>
    public void Return(DeviceBuffer buffer) => _pool.Return((PooledMemory)buffer.Memory!);

    // A tensor that nobody disposes is freed by the garbage collector, which does not see the pointers below: the memory is kept alive by name.

    /// <inheritdoc/>
    public void Upload(ReadOnlySpan<float> source, DeviceBuffer destination)
    {
        source.CopyTo(FloatSpan(destination));
        GC.KeepAlive(destination.Memory);
    }

    /// <inheritdoc/>
    public void Upload(ReadOnlySpan<int> source, DeviceBuffer destination)
    {
        source.CopyTo(new Span<int>(Ints(destination), destination.Length));
        GC.KeepAlive(destination.Memory);
    }

    /// <inheritdoc/>
    public void Download(DeviceBuffer source, Span<float> destination)
    {
        FloatSpan(source).CopyTo(destination);
        GC.KeepAlive(source.Memory);
    }

    /// <inheritdoc/>
    public void Download(DeviceBuffer source, Span<int> destination)
    {
        new Span<int>(Ints(source), source.Length).CopyTo(destination);
        GC.KeepAlive(source.Memory);
    }

    /// <inheritdoc/>
    public void Copy(DeviceBuffer source, DeviceBuffer destination)
    {
        FloatSpan(source).CopyTo(FloatSpan(destination));
        GC.KeepAlive(source.Memory);
        GC.KeepAlive(destination.Memory);
    }

    /// <inheritdoc/>
    public void Fill(DeviceBuffer destination, float value)
    {
        FloatSpan(destination).Fill(value);
        GC.KeepAlive(destination.Memory);
    }

    /// <summary>Stops the threads and frees the cached memory.</summary>
    public void Dispose()
    {
        _workers.Dispose();
        _pool.Dispose();
    }

    /// <summary>First element of a float buffer, or null for a buffer that is absent.</summary>
    private static float* Floats(DeviceBuffer buffer)
        => buffer.Memory is null ? null : (float*)((CpuMemory)buffer.Memory).Pointer + buffer.Offset;

    /// <summary>First element of an int buffer, or null for a buffer that is absent.</summary>
    private static int* Ints(DeviceBuffer buffer) => (int*)Floats(buffer);

    private static Span<float> FloatSpan(DeviceBuffer buffer) => new(Floats(buffer), buffer.Length);

    /// <summary>Number of chunks of at most <paramref name="grain"/> items.</summary>
    private static int ChunkCount(long items, int grain) => (int)((items + grain - 1) / grain);

    /// <summary>Runs all chunks of a kernel on the workers, with the vector type of this backend's tier.</summary>
    private void Run<TKernel>(in TKernel kernel, int chunks)
        where TKernel : unmanaged, ICpuKernel
    {
        delegate*<void*, int, void> execute = Tier switch
        {
            SimdTier.Vector512 => &ExecuteChunk<TKernel, Simd512>,
            SimdTier.Vector256 => &ExecuteChunk<TKernel, Simd256>,
            SimdTier.Vector128 => &ExecuteChunk<TKernel, Simd128>,
            _ => &ExecuteChunk<TKernel, SimdScalar>,
        };
        fixed (TKernel* pointer = &kernel) _workers.Run(execute, pointer, chunks);
    }

    private static void ExecuteChunk<TKernel, V>(void* kernel, int chunk)
        where TKernel : unmanaged, ICpuKernel
        where V : unmanaged, ISimd<V>
        => ((TKernel*)kernel)->Execute<V>(chunk);
}
