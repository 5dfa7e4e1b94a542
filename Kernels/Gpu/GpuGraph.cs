namespace MiniVlp.Kernels;

/// <summary>
/// Work that was put onto a device's stream once and can be launched again as a whole, with one call to the driver instead of one for each
/// kernel: a CUDA graph. See <see cref="GpuBackend.Capture"/> for what may be in it.
/// </summary>
/// <remarks>
/// A launch repeats the kernels with the very buffers and numbers of the capture. New input is uploaded into the same input buffers before the
/// launch; results are downloaded from the same output buffers after it. Numbers that change (a learning rate, a step count, the position of
/// a generator) are arguments of kernels: <see cref="Update"/> captures anew and puts the new numbers into the old graph.
/// All memory that the graph works in stays with it until it is disposed, even when it was returned in the meantime.
/// </remarks>
public sealed class GpuGraph : IDisposable
{
    private readonly GpuBackend _backend;
    private HeldMemory _held = new();
    private nint _executable;

    internal GpuGraph(GpuBackend backend) => _backend = backend;

    /// <summary>Whether it can be launched: not after <see cref="Dispose"/>, nor after a capture that failed.</summary>
    public bool IsValid => _executable != 0;

    /// <summary>Bytes of device memory that the graph holds.</summary>
    public long HeldBytes => _held.Bytes;

    /// <summary>Puts the whole graph onto the stream and returns; nothing waits.</summary>
    /// <exception cref="InvalidOperationException">The graph is not valid, or another one is being captured.</exception>
    public void Launch()
    {
        if (!IsValid) throw new InvalidOperationException("This graph cannot be launched: it was disposed, or its capture failed.");
        _backend.LaunchGraph(_executable);
    }

    /// <summary>Captures anew. When only arguments and sizes of launches differ, the driver changes the graph in place, which is much cheaper.</summary>
    /// <param name="body">Puts the work onto the stream.</param>
    /// <returns>Whether the graph was changed in place; false when it had to be made anew.</returns>
    /// <exception cref="InvalidOperationException">A capture is going on, or the body did something that cannot be captured; the graph is then invalid.</exception>
    public bool Update(Action body)
    {
        ArgumentNullException.ThrowIfNull(body);

        // The old graph is not launched any more, so the new one may work in its memory.
        _backend.ReleaseHeld(_held);
        HeldMemory held = new();
        nint previous = _executable;
        _executable = 0;
        try
        {
            (_executable, bool inPlace) = _backend.CaptureGraph(body, held, previous);
            _held = held;
            return inPlace;
        }
        catch
        {
            _backend.ReleaseHeld(held);
            throw;
        }
    }

    /// <summary>Frees the graph and gives its memory back to the pool.</summary>
    public void Dispose()
    {
        _backend.Forget(this, _executable);
        _executable = 0;
        _backend.ReleaseHeld(_held);
    }
}
