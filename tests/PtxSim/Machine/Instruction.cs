namespace MiniVlp.PtxSim.Machine;

/// <summary>How the scheduler has to treat an instruction.</summary>
internal enum Schedule
{
    /// <summary>Each lane by itself.</summary>
    Plain,

    /// <summary>A jump.</summary>
    Branch,

    /// <summary>The end of a thread.</summary>
    Exit,

    /// <summary>The lanes of a warp meet here before it runs (shfl.sync, vote.sync, bar.warp.sync).</summary>
    Converged,

    /// <summary>All 32 lanes have to run it together (mma, ldmatrix, wgmma: what is called .aligned).</summary>
    WholeWarp,

    /// <summary>The warp may have to wait for others afterwards (bar.sync).</summary>
    Barrier,

    /// <summary>A test that is repeated until another warp or a copy has done something; others get their turn.</summary>
    Spin,
}

/// <summary>One instruction, ready to run on a warp.</summary>
internal abstract class Instruction
{
    /// <summary>Offset of the guard in the register file; negative for none.</summary>
    public int Guard { get; set; } = -1;

    public bool IsGuardNegated { get; set; }

    public int Line { get; set; }

    public string Text { get; set; } = string.Empty;

    /// <summary>Where a jump leads.</summary>
    public int Target { get; set; } = -1;

    /// <summary>Register file offsets that it reads or writes, for the check of results that are still being computed.</summary>
    public int[] Touches { get; set; } = [];

    public virtual Schedule Schedule => Schedule.Plain;

    /// <summary>Runs for the lanes whose bits are set in the mask; there is at least one.</summary>
    public abstract void Execute(Warp warp, uint mask);
}

/// <summary>bra.</summary>
/// <param name="isUniform">bra.uni: all lanes that run it must go the same way.</param>
internal sealed class BranchInstruction(bool isUniform) : Instruction
{
    public bool IsUniform => isUniform;

    public override Schedule Schedule => Schedule.Branch;

    public override void Execute(Warp warp, uint mask) => throw new InvalidOperationException("The scheduler does jumps.");
}

/// <summary>ret and exit.</summary>
internal sealed class ExitInstruction : Instruction
{
    public override Schedule Schedule => Schedule.Exit;

    public override void Execute(Warp warp, uint mask) => throw new InvalidOperationException("The scheduler ends threads.");
}

/// <summary>Something that is not on the common path, as a function of warp and mask.</summary>
internal sealed class ActionInstruction(Schedule schedule, ActionInstruction.Body body) : Instruction
{
    internal delegate void Body(Warp warp, uint mask);

    public override Schedule Schedule => schedule;

    public override void Execute(Warp warp, uint mask) => body(warp, mask);
}
