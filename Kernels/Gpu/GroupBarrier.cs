using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>The barrier to use where shared memory was read and will be written again.</summary>
internal static class GroupBarrier
{
    /// <summary>
    /// Waits until all threads of the group have read. ILGPU's optimizer moves a load down to where its value is used, across
    /// <see cref="Group.Barrier"/>; a memory fence holds it.
    /// </summary>
    public static void AfterReads()
    {
        MemoryFence.GroupLevel();
        Group.Barrier();
    }
}
