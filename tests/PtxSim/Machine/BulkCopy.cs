namespace MiniVlp.PtxSim.Machine;

/// <summary>A copy by TMA that is under way.</summary>
internal sealed class BulkCopy
{
    public static void CompleteOne(ThreadGroup group, int index) => group.BulkCopies.RemoveAt(index);
}
