namespace MiniVlp.PtxSim.Machine;

/// <summary>The wgmma of a warp that have not been waited for.</summary>
internal sealed class WarpgroupQueue
{
    public int Count { get; private set; }

    public void Clear() => Count = 0;

    public void Check(Warp warp, Instruction instruction)
    {
    }
}
