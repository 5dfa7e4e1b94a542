using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>mbarrier, TMA, wgmma and clusters: what sm_90 adds.</content>
internal sealed partial class Decoder
{
    private Instruction? Hopper(PtxStatement s) => null;

    private Instruction ClusterBarrier(PtxStatement s) => throw NotModelled(s.Opcode);
}
