using ILGPU.Runtime.Cuda;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// Uploads that return as soon as the host's data is copied into page-locked memory. Large ones travel on a stream of their own, beside the kernels,
/// into device memory that only the ring uses; a copy on the device, ordered between the kernels before and after, brings them to their place.
/// So the next batch is on its way while the current step still computes, whatever block of memory the pool gave it.
/// </summary>
internal sealed unsafe class UploadRing : IDisposable
{
    /// <summary>Uploads from this size on travel on the stream of their own; for smaller ones a second copy is not worth it.</summary>
    public const long LargeBytes = 256 * 1024;

    /// <summary>Blocks under way at a time; the next upload waits for the oldest.</summary>
    private const int MaxBlocks = 8;

    private const long SmallBlockBytes = 64 * 1024;

    private readonly CudaAccelerator _accelerator;
    private readonly CudaStream _compute, _copies;
    private readonly BufferPool _pool;
    private readonly Lock _lock = new();
    private readonly List<Block> _small = [], _large = [];

    /// <param name="accelerator">The device.</param>
    /// <param name="compute">The stream that kernels are on.</param>
    /// <param name="pool">Gives back what it keeps where the device has no memory for a block.</param>
    public UploadRing(CudaAccelerator accelerator, CudaStream compute, BufferPool pool)
    {
        _accelerator = accelerator;
        _compute = compute;
        _pool = pool;
        _copies = (CudaStream)accelerator.CreateStream();
    }

    /// <summary>Page-locked bytes in use.</summary>
    public long PinnedBytes => _small.Sum(block => block.Bytes) + _large.Sum(block => block.Bytes);

    /// <summary>Copies the source to device memory; kernels that are launched from now on see it.</summary>
    /// <exception cref="OutOfMemoryException">There is no memory for a block.</exception>
    public void Upload(ReadOnlySpan<byte> source, nint destination)
    {
        lock (_lock) UploadLocked(source, destination);
    }

    /// <summary>Frees the blocks that are not under way.</summary>
    public void Trim()
    {
        lock (_lock)
        {
            _accelerator.Bind();
            foreach (List<Block> blocks in (List<Block>[])[_small, _large])
            {
                foreach (Block block in blocks.Where(block => block.IsFree).ToArray())
                {
                    blocks.Remove(block);
                    block.Dispose();
                }
            }
        }
    }

    public void Dispose()
    {
        _accelerator.Bind();
        _copies.Synchronize();
        foreach (Block block in _small.Concat(_large)) block.Dispose();
        _small.Clear();
        _large.Clear();
        _copies.Dispose();
    }

    private void UploadLocked(ReadOnlySpan<byte> source, nint destination)
    {
        _accelerator.Bind();
        bool isLarge = source.Length >= LargeBytes;
        Block block = Take(isLarge ? _large : _small, source.Length, isLarge);
        source.CopyTo(new Span<byte>((void*)block.Host, source.Length));
        CudaAPI driver = CudaAPI.CurrentAPI;
        if (isLarge)
        {
            CudaException.ThrowIfFailed(driver.MemcpyAsync(block.Device, block.Host, source.Length, _copies));
            CudaException.ThrowIfFailed(driver.RecordEvent(block.Arrived, _copies.StreamPtr));
            CudaDriver.ThrowIfFailed(CudaDriver.WaitForEvent(_compute.StreamPtr, block.Arrived, 0));
            CudaException.ThrowIfFailed(driver.MemcpyAsync(destination, block.Device, source.Length, _compute));
        }
        else
        {
            CudaException.ThrowIfFailed(driver.MemcpyAsync(destination, block.Host, source.Length, _compute));
        }

        CudaException.ThrowIfFailed(driver.RecordEvent(block.Free, _compute.StreamPtr));
    }

    /// <summary>A block that is large enough and whose last upload is done; the oldest one is waited for when there are as many as may be.</summary>
    private Block Take(List<Block> blocks, long bytes, bool onDevice)
    {
        // The list is in the order of use, so the first that fits is the most likely to be done.
        int fitting = blocks.FindIndex(block => block.Bytes >= bytes && block.IsFree);
        if (fitting < 0 && blocks.Count >= MaxBlocks)
        {
            fitting = blocks.FindIndex(block => block.Bytes >= bytes);
            if (fitting < 0)
            {
                blocks[0].Wait();
                blocks[0].Dispose();
                blocks.RemoveAt(0);
            }
            else
            {
                blocks[fitting].Wait();
            }
        }

        Block taken;
        if (fitting >= 0)
        {
            taken = blocks[fitting];
            blocks.RemoveAt(fitting);
        }
        else
        {
            taken = _pool.Allocate(Math.Max(SmallBlockBytes, bytes), size => new Block(size, onDevice));
        }

        blocks.Add(taken);
        return taken;
    }

    /// <summary>Page-locked memory, with device memory of the same size where the upload is large.</summary>
    private sealed class Block : IDisposable
    {
        public Block(long bytes, bool onDevice)
        {
            Bytes = bytes;
            CudaAPI driver = CudaAPI.CurrentAPI;
            try
            {
                ThrowIfFull(driver.AllocateHostMemory(out nint host, (nint)bytes), "page-locked memory", bytes);
                Host = host;
                if (onDevice)
                {
                    ThrowIfFull(driver.AllocateMemory(out nint device, (nint)bytes), "memory of the device", bytes);
                    Device = device;
                    Arrived = NewEvent();
                }

                Free = NewEvent();
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        public long Bytes { get; }

        public nint Host { get; }

        public nint Device { get; }

        /// <summary>The data is in <see cref="Device"/>.</summary>
        public nint Arrived { get; }

        /// <summary>The data is at its place, and the block can be used again.</summary>
        public nint Free { get; }

        public bool IsFree => CudaAPI.CurrentAPI.QueryEvent(Free) == CudaError.CUDA_SUCCESS;

        public void Wait() => CudaException.ThrowIfFailed(CudaAPI.CurrentAPI.SynchronizeEvent(Free));

        public void Dispose()
        {
            CudaAPI driver = CudaAPI.CurrentAPI;
            if (Host != 0) driver.FreeHostMemory(Host);
            if (Device != 0) driver.FreeMemory(Device);
            if (Arrived != 0) driver.DestroyEvent(Arrived);
            if (Free != 0) driver.DestroyEvent(Free);
        }

        private static void ThrowIfFull(CudaError result, string what, long bytes)
        {
            if (result == CudaError.CUDA_ERROR_OUT_OF_MEMORY) throw new InsufficientMemoryException($"There are no {ByteSize.Text(bytes)} of {what} left for an upload.");
            CudaException.ThrowIfFailed(result);
        }

        private static nint NewEvent()
        {
            CudaException.ThrowIfFailed(CudaAPI.CurrentAPI.CreateEvent(out nint created, CudaEventFlags.CU_EVENT_DISABLE_TIMING));
            return created;
        }
    }
}
