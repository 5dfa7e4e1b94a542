using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// Where each register of a kernel lies in the register file of a warp. Immediates and special registers have places there too, so that
/// an instruction reads all of its operands in the same way.
/// </summary>
internal sealed unsafe class RegisterLayout
{
    private readonly Dictionary<string, Place> _registers = new(StringComparer.Ordinal);
    private readonly Dictionary<(ulong Value, int Width), int> _constants = [];
    private readonly Dictionary<(string Name, int Width), int> _specials = [];

    /// <summary>Size of the register file.</summary>
    public int Bytes { get; private set; }

    /// <summary>How much of it is cleared before a group runs: the registers, which lie in front of the constants.</summary>
    public int ClearedBytes { get; private set; }

    public void Declare(string name, string type)
    {
        int width = type == "pred" ? 0 : Text.PtxReader.SizeOf(type) == 8 ? 8 : 4;
        _registers[name] = new Place(Take(width), width);
        ClearedBytes = Bytes;
    }

    /// <summary>The place of a register, or null where there is none of this name; width 0 is a predicate.</summary>
    public Place? Find(string name) => _registers.TryGetValue(name, out Place place) ? place : null;

    /// <summary>A constant of 4 or 8 bytes, the same in all lanes, or (width 0) a predicate.</summary>
    public int Constant(ulong value, int width)
    {
        if (width != 8) value = (uint)value;
        if (!_constants.TryGetValue((value, width), out int offset)) _constants[(value, width)] = offset = Take(width);
        return offset;
    }

    /// <summary>A special register.</summary>
    public int Special(string name, int width)
    {
        if (!_specials.TryGetValue((name, width), out int offset)) _specials[(name, width)] = offset = Take(width);
        return offset;
    }

    public void FillConstants(Warp warp)
    {
        foreach (((ulong value, int width), int offset) in _constants) Fill(warp, offset, width, _ => value);
    }

    public void FillSpecials(Warp warp)
    {
        ThreadGroup group = warp.Group;
        KernelLaunch launch = group.Launch;
        foreach (((string name, int width), int offset) in _specials)
        {
            Func<int, ulong> value = name switch
            {
                "%tid.x" => lane => (ulong)(((warp.Index * 32) + lane) % launch.Threads.X),
                "%tid.y" => lane => (ulong)(((warp.Index * 32) + lane) / launch.Threads.X % launch.Threads.Y),
                "%tid.z" => lane => (ulong)(((warp.Index * 32) + lane) / (launch.Threads.X * launch.Threads.Y)),
                "%laneid" => lane => (ulong)lane,
                "%lanemask_lt" => lane => (1u << lane) - 1,
                "%lanemask_le" => lane => (2u << lane) - 1,
                "%lanemask_gt" => lane => ~((2u << lane) - 1),
                "%lanemask_ge" => lane => ~((1u << lane) - 1),
                "%lanemask_eq" => lane => 1u << lane,
                _ => Uniform(name),
            };
            Fill(warp, offset, width, value);
        }

        Func<int, ulong> Uniform(string name)
        {
            ulong value = name switch
            {
                "%ntid.x" => (ulong)launch.Threads.X,
                "%ntid.y" => (ulong)launch.Threads.Y,
                "%ntid.z" => (ulong)launch.Threads.Z,
                "%ctaid.x" => (ulong)group.Position.X,
                "%ctaid.y" => (ulong)group.Position.Y,
                "%ctaid.z" => (ulong)group.Position.Z,
                "%nctaid.x" => (ulong)launch.Groups.X,
                "%nctaid.y" => (ulong)launch.Groups.Y,
                "%nctaid.z" => (ulong)launch.Groups.Z,
                "%warpid" => (ulong)warp.Index,
                "%nwarpid" => (ulong)launch.WarpsPerGroup,
                "%cluster_ctarank" => (ulong)group.Rank,
                "%cluster_nctarank" => (ulong)group.Cluster.Count,
                "%smid" => 0,
                "%nsmid" => 1,
                "%clock" or "%clock64" or "%globaltimer" => (ulong)warp.Statistics.WarpInstructions,
                "%dynamic_smem_size" => (ulong)launch.DynamicSharedBytes,
                "%total_smem_size" => (ulong)(group.Kernel.DynamicSharedOffset + launch.DynamicSharedBytes),
                _ => throw new SimulationException($"The special register {name} is not modelled."),
            };
            return _ => value;
        }
    }

    private static void Fill(Warp warp, int offset, int width, Func<int, ulong> value)
    {
        if (width == 0) *(uint*)(warp.Registers + offset) = value(0) != 0 ? uint.MaxValue : 0;
        else if (width == 4) for (int lane = 0; lane < 32; lane++) ((uint*)(warp.Registers + offset))[lane] = (uint)value(lane);
        else for (int lane = 0; lane < 32; lane++) ((ulong*)(warp.Registers + offset))[lane] = value(lane);
    }

    private int Take(int width)
    {
        int offset = Bytes;
        Bytes += width == 0 ? 32 : 32 * width;
        return offset;
    }

    /// <summary>The place of a register.</summary>
    /// <param name="Offset">Byte in the register file.</param>
    /// <param name="Width">Bytes of a lane: 4 (also for narrower types) or 8; 0 for a predicate.</param>
    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Place(int Offset, int Width);
}
