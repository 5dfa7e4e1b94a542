using MiniVlp.PtxSim.Instructions;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// A copy of a box by TMA that is under way: its words are in flight until some later moment, when they are written and the bytes are counted
/// at its mbarrier. What lies outside of the tensor becomes zero.
/// </summary>
internal sealed unsafe class BulkCopy(SimulatedTensorMap map, int[] start, uint destination, MemoryBarrier barrier)
{
    private readonly int[] _start = start;

    /// <summary>Starts a copy.</summary>
    public static void Start(Warp warp, ulong map, int[] start, ulong destination, ulong barrier)
    {
        if (map % 64 != 0) throw new SimulationException($"a tensor map at 0x{map:x}, which is not aligned to 64 bytes");
        SimulatedTensorMap tensor = SimulatedTensorMap.Decode(new ReadOnlySpan<byte>(warp.Group.Global.Range(map, SimulatedTensorMap.EncodedBytes), SimulatedTensorMap.EncodedBytes));
        if (start.Length != tensor.Box.Length) throw new SimulationException($"a copy with {start.Length} coordinates by a map with {tensor.Box.Length} axes");
        int alignment = tensor.Swizzle == 3 ? 1024 : tensor.Swizzle == 2 ? 512 : tensor.Swizzle == 1 ? 256 : 128;
        if (destination % (ulong)alignment != 0) throw new SimulationException($"a copy by TMA to shared address {(long)destination - SharedMemory.Base}, which is not aligned to {alignment} bytes");
        warp.Group.Shared.StartCopy(warp, destination, tensor.BoxBytes);
        warp.Group.BulkCopies.Add(new BulkCopy(tensor, start, (uint)destination, MemoryBarrier.At(warp, barrier)));
    }

    /// <summary>Finishes one of the copies that are under way.</summary>
    public static void CompleteOne(ThreadGroup group, int index)
    {
        BulkCopy copy = group.BulkCopies[index];
        group.BulkCopies.RemoveAt(index);
        try
        {
            copy.Complete(group);
        }
        catch (SimulationException exception)
        {
            throw new SimulationException($"{group.Kernel.Name}, group {group.Position}, a copy by TMA at ({string.Join(", ", copy._start)}): {exception.Message}", exception);
        }
    }

    private void Complete(ThreadGroup group)
    {
        int clock = ++group.CopyClock, agent = group.Launch.WarpsPerGroup;
        group.Shared.EndCopy(destination, map.BoxBytes, agent, clock);
        int rowBytes = map.Box[0] * map.ElementBytes, rows = map.BoxBytes / rowBytes;
        for (int row = 0; row < rows; row++)
        {
            long offset = 0;
            bool isInside = true;
            for (int axis = 1, rest = row; axis < map.Box.Length; rest /= map.Box[axis++])
            {
                long at = _start[axis] + (rest % map.Box[axis]);
                isInside &= at >= 0 && at < map.Sizes[axis];
                offset += at * map.Strides[axis - 1];
            }

            for (int chunk = 0; chunk < rowBytes; chunk += 16)
            {
                byte* target = group.Shared.At((long)SimulatedTensorMap.Swizzled(destination + (uint)((row * rowBytes) + chunk), map.Swizzle) - SharedMemory.Base);
                for (int i = 0; i < 16; i += map.ElementBytes)
                {
                    long x = _start[0] + ((chunk + i) / map.ElementBytes);
                    if (isInside && x >= 0 && x < map.Sizes[0]) new ReadOnlySpan<byte>(group.Global.Range(map.Address + (ulong)(offset + (x * map.ElementBytes)), map.ElementBytes), map.ElementBytes).CopyTo(new Span<byte>(target + i, map.ElementBytes));
                    else new Span<byte>(target + i, map.ElementBytes).Clear();
                }
            }
        }

        if (map.RoundsToTf32) RoundToTf32(group);
        barrier.Complete(agent, clock, map.BoxBytes);
    }

    /// <summary>Ten bits of mantissa stay; every word has the same rounding, wherever the swizzle put it.</summary>
    private void RoundToTf32(ThreadGroup group)
    {
        foreach (ref uint word in new Span<uint>(group.Shared.At((long)destination - SharedMemory.Base), map.BoxBytes / 4))
            if (float.IsFinite(NarrowMath.Float(word))) word = (word + 0x1000) & 0xffffe000;
    }
}
