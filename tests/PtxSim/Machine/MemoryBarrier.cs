namespace MiniVlp.PtxSim.Machine;

/// <summary>An mbarrier in shared memory: counts arrivals and bytes, and changes its phase when both are complete.</summary>
internal sealed class MemoryBarrier
{
    public int Expected { get; init; }
    public int Pending { get; set; }
    public long Bytes { get; set; }
    public int Phase { get; private set; }
}
