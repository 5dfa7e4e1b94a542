using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>Loads, stores, atomics and cp.async.</content>
internal sealed partial class Decoder
{
    private static readonly string[] AtomicOperations = ["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"];

    private static Space SpaceOf(PtxStatement s)
    {
        foreach (string part in s.Parts)
        {
            switch (part)
            {
                case "global" or "const": return Space.Global;
                case "local": return Space.Local;
                case "param": return Space.Parameter;
                case "shared" or "shared::cta" or "shared::cluster": return Space.Shared;
            }
        }

        return Space.Generic;
    }

    private LoadInstruction Load(PtxStatement s)
    {
        int size = PtxReader.SizeOf(s.Type);
        string[] elements = Vector(s.Operands[0]);
        int width = size == 8 ? 8 : elements[0] != "_" && _registers.Find(elements[0]) is { Width: 8 } ? 8 : 4;
        return new LoadInstruction(SpaceOf(s), size, width, s.Type[0] == 's', Destinations(s.Operands[0], width), AddressOf(s.Operands[1]));
    }

    private StoreInstruction Store(PtxStatement s)
    {
        int size = PtxReader.SizeOf(s.Type), width = size == 8 ? 8 : 4;
        string first = Vector(s.Operands[1])[0];
        if (size < 8 && _registers.Find(first) is { Width: 8 }) width = 8;
        return new StoreInstruction(SpaceOf(s), size, width, Sources(s.Operands[1], width), AddressOf(s.Operands[0]));
    }

    private AtomicInstruction Atomic(PtxStatement s)
    {
        bool returns = s.Parts[0] == "atom";
        Space space = SpaceOf(s);
        if (space != Space.Shared) HasGlobalAtomics = true;
        string operation = s.Parts.First(part => AtomicOperations.Contains(part));
        string type = s.Type;
        int width = WidthOf(type), at = returns ? 1 : 0;
        int[] destinations = returns ? Destinations(s.Operands[0], width) : [];
        int compared = operation == "cas" ? Source(s.Operands[at + 2], width) : -1;
        return new AtomicInstruction(space, type, operation, destinations, AddressOf(s.Operands[at]), Sources(s.Operands[at + 1], width), compared);
    }

    private ActionInstruction AsyncCopies(PtxStatement s)
    {
        if (s.Has("commit_group")) return new ActionInstruction(Schedule.Plain, AsyncCopy.Commit);
        if (s.Has("wait_all")) return new ActionInstruction(Schedule.Plain, static (warp, mask) => AsyncCopy.Wait(warp, mask, -1));
        if (s.Has("wait_group"))
        {
            int newest = Number(s.Operands[0]);
            return new ActionInstruction(Schedule.Plain, (warp, mask) => AsyncCopy.Wait(warp, mask, newest));
        }

        int size = Number(s.Operands[2]);
        if (size is not (4 or 8 or 16)) throw new SimulationException($"cp.async of {size} bytes");
        if (s.Has("cg") && size != 16) throw new SimulationException("cp.async.cg copies 16 bytes");
        return CopyOf(AddressOf(s.Operands[0]), AddressOf(s.Operands[1]), size, s.Operands.Length > 3 ? Source(s.Operands[3], 4) : -1);
    }

    private static unsafe ActionInstruction CopyOf(Address destination, Address source, int size, int sourceBytes) => new(Schedule.Plain, (warp, mask) =>
    {
        if (warp.Group.Options.CountsMemory)
        {
            Traffic.CountShared(warp, destination, mask, size);
            Traffic.CountGlobal(warp, source, mask, size);
        }

        for (int lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            warp.Lane = lane;
            AsyncCopy.Start(warp, lane, destination.Of(warp, lane), source.Of(warp, lane), size, sourceBytes < 0 ? size : ((int*)(warp.Registers + sourceBytes))[lane]);
        }

        warp.Lane = -1;
    });
}
