using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// A cp.async of one thread: the bytes are taken at once, but come into shared memory when the thread waits for the group that the copy was
/// committed in. Until then the words are in flight, and any use of them is an error.
/// </summary>
[StructLayout(LayoutKind.Auto)]
internal unsafe struct AsyncCopy
{
    private Bytes16 _bytes;

    /// <summary>Address in shared memory.</summary>
    public ulong Destination { get; private set; }

    public int Size { get; private set; }

    public int Lane { get; private set; }

    /// <summary>The lane's group of copies, counted from 0.</summary>
    public int Group { get; private set; }

    /// <summary>Starts a copy; of the source only so many bytes are read, the rest becomes zero.</summary>
    public static void Start(Warp warp, int lane, ulong destination, ulong source, int size, int sourceBytes)
    {
        if (sourceBytes < 0 || sourceBytes > size) throw new SimulationException($"cp.async takes {sourceBytes} of {size} bytes");
        AsyncCopy copy = new() { Destination = destination, Size = size, Lane = lane, Group = warp.CopyGroups[lane] };
        if ((source & (ulong)(size - 1)) != 0) throw new SimulationException($"cp.async from 0x{source:x}, which is not aligned to {size} bytes");
        if (sourceBytes > 0) new ReadOnlySpan<byte>(warp.Group.Global.Range(source, sourceBytes), sourceBytes).CopyTo(copy._bytes);
        warp.Group.Shared.StartCopy(warp, destination, size);
        warp.Copies.Add(copy);
    }

    /// <summary>cp.async.commit_group.</summary>
    public static void Commit(Warp warp, uint mask)
    {
        for (int lane = 0; lane < 32; lane++) if ((mask >> lane & 1) != 0) warp.CopyGroups[lane]++;
    }

    /// <summary>cp.async.wait_group: all but the newest groups have come; with a negative count also what is not committed.</summary>
    public static void Wait(Warp warp, uint mask, int newest)
    {
        int kept = 0;
        for (int i = 0; i < warp.Copies.Count; i++)
        {
            AsyncCopy copy = warp.Copies[i];
            bool hasCome = (mask >> copy.Lane & 1) != 0 && (newest < 0 || copy.Group < warp.CopyGroups[copy.Lane] - newest);
            if (!hasCome)
            {
                warp.Copies[kept++] = copy;
                continue;
            }

            byte* destination = warp.Group.Shared.EndCopy(copy.Destination, copy.Size, warp.Index, warp.Clock[warp.Index]);
            ((ReadOnlySpan<byte>)copy._bytes)[..copy.Size].CopyTo(new Span<byte>(destination, copy.Size));
        }

        warp.Copies.RemoveRange(kept, warp.Copies.Count - kept);
    }

    /// <summary>A warp ends: nothing may still be under way.</summary>
    public static void CheckDone(Warp warp)
    {
        if (warp.Copies.Count > 0)
            throw new SimulationException($"{warp.Group.Kernel.Name}, group {warp.Group.Position}, warp {warp.Index}: ended while {warp.Copies.Count} cp.async were in flight");
    }

    [InlineArray(16)]
    private struct Bytes16
    {
        private byte _first;
    }
}
