namespace MiniVlp.Kernels.Gpu;

/// <summary>What the memory of a device has to know about the capture of graphs.</summary>
internal sealed class GraphRecorder
{
    /// <summary>The memory of the graph that is being captured; null when none is.</summary>
    public HeldMemory? Held { get; private set; }

    /// <summary>Counts the beginnings and ends of captures and the launches of graphs.</summary>
    public long Epoch { get; private set; }

    /// <summary>Graphs that can still be launched.</summary>
    public int Graphs { get; set; }

    public void Begin(HeldMemory held)
    {
        Held = held;
        Epoch++;
    }

    public void End()
    {
        Held = null;
        Epoch++;
    }

    public void OnLaunch() => Epoch++;
}
