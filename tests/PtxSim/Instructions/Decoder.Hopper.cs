using System.Globalization;
using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>mbarrier, TMA, wgmma and clusters: what sm_90 adds.</content>
internal sealed partial class Decoder
{
    private Instruction? Hopper(PtxStatement s) => s.Parts[0] switch
    {
        "mbarrier" => MemoryBarriers(s),
        "cp" when s.Has("tensor") && s.Parts.Any(part => part.StartsWith("mbarrier", StringComparison.Ordinal)) => TensorCopy(s),
        "wgmma" => Warpgroup(s),
        _ => null,
    };

    private static ActionInstruction Fence(PtxStatement s) => s.Has("proxy") && s.Parts.Any(part => part.StartsWith("async", StringComparison.Ordinal))
        ? new ActionInstruction(Schedule.Plain, static (warp, _) => warp.FenceProxy())
        : new ActionInstruction(Schedule.Plain, static (_, _) => { });

    private Instruction ClusterBarrier(PtxStatement s)
    {
        if (s.Has("arrive")) return new ActionInstruction(Schedule.Converged, static (warp, _) => warp.Group.Cluster.Arrive(warp));
        return new ActionInstruction(Schedule.Barrier, static (warp, _) => warp.Group.Cluster.Wait(warp));
    }

    private Instruction MemoryBarriers(PtxStatement s)
    {
        string[] o = s.Operands;
        switch (s.Parts[1])
        {
            case "init":
                return InitializeBarrier(AddressOf(o[0]), Source(o[1], 4));
            case "inval":
                Address invalid = AddressOf(o[0]);
                return ForEachLane((warp, lane) => warp.Group.Shared.Barriers.Remove((uint)invalid.Of(warp, lane)));
            case "arrive" when s.Has("noComplete"):
                throw NotModelled(s.Opcode);
            case "arrive" or "expect_tx":
                bool announces = s.Has("expect_tx"), arrives = s.Parts[1] == "arrive";
                int at = arrives && !o[0].StartsWith('[') ? 1 : 0;
                return ArriveAt(AddressOf(o[at]), o.Length > at + 1 ? Source(o[at + 1], 4) : -1, announces, arrives);
            case "try_wait" or "test_wait" when s.Has("parity"):
                return WaitAt(Destination(o[0], 0), AddressOf(o[1]), Source(o[2], 4));
            default:
                throw NotModelled(s.Opcode);
        }
    }

    private static ActionInstruction ForEachLane(Action<Warp, int> action, Schedule schedule = Schedule.Plain) => new(schedule, (warp, mask) =>
    {
        for (int lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            warp.Lane = lane;
            action(warp, lane);
        }

        warp.Lane = -1;
    });

    private static unsafe ActionInstruction InitializeBarrier(Address address, int count) => ForEachLane((warp, lane) =>
    {
        ulong place = address.Of(warp, lane);
        warp.Group.Shared.Write(warp, place, 8);
        warp.Group.Shared.Barriers[(uint)place] = new MemoryBarrier(((int*)(warp.Registers + count))[lane], warp.Index, warp.Clock[warp.Index], warp.Clock.Length);
    });

    private static unsafe ActionInstruction ArriveAt(Address address, int count, bool announces, bool arrives) => ForEachLane((warp, lane) =>
    {
        int number = count < 0 ? 1 : ((int*)(warp.Registers + count))[lane];
        MemoryBarrier.At(warp, address.Of(warp, lane)).Arrive(warp, !arrives ? 0 : announces ? 1 : number, announces ? number : 0);
    });

    private static unsafe ActionInstruction WaitAt(int destination, Address address, int parity) => new(Schedule.Spin, (warp, mask) =>
    {
        uint ended = 0;
        for (int lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            warp.Lane = lane;
            if (MemoryBarrier.At(warp, address.Of(warp, lane)).HasEnded(warp, ((int*)(warp.Registers + parity))[lane])) ended |= 1u << lane;
        }

        warp.Lane = -1;
        Put(warp, destination, mask, ended);
        warp.HasSpun = ended != mask;
    });

    private ActionInstruction TensorCopy(PtxStatement s)
    {
        if (s.Has("multicast::cluster") || s.Parts.Any(part => part.StartsWith("im2col", StringComparison.Ordinal))) throw NotModelled(s.Opcode);
        string[] o = s.Operands;
        List<string> source = PtxReader.SplitOperands(o[1].Trim('[', ']'));
        int map = Source(source[0], 8);
        return TensorCopyOf(AddressOf(o[0]), map, Sources(source[1], 4), AddressOf(o[2]));
    }

    private static unsafe ActionInstruction TensorCopyOf(Address destination, int map, int[] coordinates, Address barrier) => ForEachLane((warp, lane) =>
    {
        int[] start = [.. coordinates.Select(register => ((int*)(warp.Registers + register))[lane])];
        BulkCopy.Start(warp, ((ulong*)(warp.Registers + map))[lane], start, destination.Of(warp, lane), barrier.Of(warp, lane));
    });

    private Instruction Warpgroup(PtxStatement s)
    {
        switch (s.Parts[1])
        {
            case "fence":
                return new ActionInstruction(Schedule.WholeWarp, static (_, _) => { });
            case "commit_group":
                return new ActionInstruction(Schedule.WholeWarp, static (warp, _) => warp.Warpgroup.Commit());
            case "wait_group":
                int newest = Number(s.Operands[0]);
                return new ActionInstruction(Schedule.WholeWarp, (warp, _) => warp.Warpgroup.Wait(newest));
            case "mma_async":
                return WarpgroupMultiplication(s);
            default:
                throw NotModelled(s.Opcode);
        }
    }

    private WarpgroupMultiplyInstruction WarpgroupMultiplication(PtxStatement s)
    {
        string[] o = s.Operands;
        string shape = s.Parts.First(part => part.StartsWith("m64n", StringComparison.Ordinal));
        int columns = int.Parse(shape.AsSpan(4, shape.IndexOf('k', StringComparison.Ordinal) - 4), CultureInfo.InvariantCulture);
        string[] types = s.Parts[^3..];
        if (types[0] != "f32" || types[1] != types[2] || types[1] is not ("bf16" or "f16" or "tf32")) throw NotModelled(s.Opcode);
        int[] d = Destinations(o[0], 4);
        if (d.Length * 2 != columns) throw new SimulationException($"{d.Length} accumulators for {columns} columns");
        bool isInRegisters = o[1].StartsWith('{');
        int transposes = o.Length - 6;
        bool transposesB = transposes > 0 && Immediate(o[^1]) != 0, transposesA = !isInRegisters && transposes > 1 && Immediate(o[^2]) != 0;
        return new WarpgroupMultiplyInstruction(
            types[1], columns, d, isInRegisters ? Sources(o[1], 4) : null, isInRegisters ? -1 : Source(o[1], 8), Source(o[2], 8),
            Predicate(o[3].TrimStart('!')), o[3].StartsWith('!'), transposesA, transposesB, (long)Immediate(o[4]) < 0, (long)Immediate(o[5]) < 0);
    }
}
