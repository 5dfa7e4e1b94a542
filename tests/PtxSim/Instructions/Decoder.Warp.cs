using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>What lanes and warps do together: barriers, shuffles, votes.</content>
internal sealed partial class Decoder
{
    private Instruction Barrier(PtxStatement s)
    {
        string[] o = s.Operands;
        if (s.Parts[1] == "warp") return new ActionInstruction(Schedule.Converged, static (_, _) => { });
        if (s.Has("cluster")) return ClusterBarrier(s);
        if (s.Has("red")) return ReducingBarrier(s);
        bool waits = !s.Has("arrive");
        int threads = o.Length > 1 ? Source(o[1], 4) : -1;
        return SimpleBarrier(Source(o[0], 4), threads, waits);
    }

    private static unsafe ActionInstruction SimpleBarrier(int barrier, int threads, bool waits) => new(Schedule.Barrier, (warp, _) =>
        warp.Group.Arrive(warp, *(int*)(warp.Registers + barrier), threads < 0 ? 0 : *(int*)(warp.Registers + threads), waits));

    private unsafe ActionInstruction ReducingBarrier(PtxStatement s)
    {
        string[] o = s.Operands;
        string reduction = s.Parts.First(part => part is "popc" or "and" or "or");
        int destination = Destination(o[0], reduction == "popc" ? 4 : 0), barrier = Source(o[1], 4);
        int threads = o.Length > 3 ? Source(o[2], 4) : -1;
        bool isNegated = o[^1].StartsWith('!');
        int predicate = Predicate(o[^1].TrimStart('!'));
        return new ActionInstruction(Schedule.Barrier, (warp, mask) =>
        {
            uint bits = *(uint*)(warp.Registers + predicate);
            int number = *(int*)(warp.Registers + barrier);
            warp.Group.Barrier(number).Collect(warp, reduction, isNegated ? ~bits : bits, mask, destination);
            warp.Group.Arrive(warp, number, threads < 0 ? 0 : *(int*)(warp.Registers + threads), waits: true);
        });
    }

    private unsafe ActionInstruction Shuffle(PtxStatement s)
    {
        string[] o = s.Operands, results = o[0].Split('|', StringSplitOptions.TrimEntries);
        string mode = s.Parts.First(part => part is "up" or "down" or "bfly" or "idx");
        int destination = Destination(results[0], 4), valid = results.Length > 1 ? Destination(results[1], 0) : -1;
        int source = Source(o[1], 4), distance = Source(o[2], 4), clamp = Source(o[3], 4), members = o.Length > 4 ? Source(o[4], 4) : -1;
        return new ActionInstruction(Schedule.Converged, (warp, mask) =>
        {
            uint* x = (uint*)(warp.Registers + source), result = (uint*)(warp.Registers + destination);
            uint* values = stackalloc uint[32];
            for (int lane = 0; lane < 32; lane++) values[lane] = x[lane];
            uint isValid = 0;
            for (int lane = 0; lane < 32; lane++)
            {
                if ((mask >> lane & 1) == 0) continue;
                if (members >= 0 && (((uint*)(warp.Registers + members))[lane] >> lane & 1) == 0) throw new SimulationException($"lane {lane} runs a shuffle that it is no member of");
                int b = ((int*)(warp.Registers + distance))[lane] & 31, c = ((int*)(warp.Registers + clamp))[lane];
                int segment = c >> 8 & 31, limit = (lane & segment) | (c & 31 & ~segment), lowest = lane & segment;
                int from = mode switch { "up" => lane - b, "down" => lane + b, "bfly" => lane ^ b, _ => lowest | (b & ~segment) };
                bool isInside = mode == "up" ? from >= limit : from <= limit;
                if (!isInside) from = lane;
                else isValid |= 1u << lane;
                if ((mask >> from & 1) == 0) throw new SimulationException($"lane {lane} takes a value from lane {from}, which does not take part in the shuffle");
                result[lane] = values[from];
            }

            if (valid >= 0) Put(warp, valid, mask, isValid);
        });
    }

    private unsafe ActionInstruction Vote(PtxStatement s)
    {
        string[] o = s.Operands;
        if (s.Parts[0] == "activemask")
        {
            int active = Destination(o[0], 4);
            return new ActionInstruction(Schedule.Plain, (warp, mask) => Broadcast(warp, active, mask, mask));
        }

        if (s.Parts[0] == "match") throw NotModelled(s.Opcode);
        if (s.Parts[0] == "redux")
        {
            string operation = s.Parts[2], type = s.Type;
            int value = Source(o[1], 4), reduced = Destination(o[0], 4);
            return new ActionInstruction(Schedule.Converged, (warp, mask) =>
            {
                ulong total = 0;
                bool isFirst = true;
                for (int lane = 0; lane < 32; lane++)
                {
                    if ((mask >> lane & 1) == 0) continue;
                    ulong x = ((uint*)(warp.Registers + value))[lane];
                    total = isFirst ? x : operation switch { "and" => total & x, "or" => total | x, "xor" => total ^ x, _ => NarrowMath.Binary(operation, type, total, x) };
                    isFirst = false;
                }

                Broadcast(warp, reduced, mask, (uint)total);
            });
        }

        string kind = s.Parts.First(part => part is "ballot" or "any" or "all" or "uni");
        bool isNegated = o[1].StartsWith('!');
        int predicate = Predicate(o[1].TrimStart('!')), destination = Destination(o[0], kind == "ballot" ? 4 : 0);
        return new ActionInstruction(Schedule.Converged, (warp, mask) =>
        {
            uint bits = *(uint*)(warp.Registers + predicate);
            bits = (isNegated ? ~bits : bits) & mask;
            if (kind == "ballot") Broadcast(warp, destination, mask, bits);
            else Put(warp, destination, mask, (kind switch { "any" => bits != 0, "all" => bits == mask, _ => bits == 0 || bits == mask }) ? uint.MaxValue : 0);
        });
    }

    private static unsafe void Broadcast(Warp warp, int destination, uint mask, uint value)
    {
        for (int lane = 0; lane < 32; lane++) if ((mask >> lane & 1) != 0) ((uint*)(warp.Registers + destination))[lane] = value;
    }
}
