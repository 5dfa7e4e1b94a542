namespace MiniVlp.PtxSim.Machine;

/// <summary>What a launch did; the memory figures are only counted where the options ask for it.</summary>
public sealed class Statistics
{
    public long WarpInstructions { get; internal set; }

    /// <summary>Instructions times lanes that took part.</summary>
    public long LaneInstructions { get; internal set; }

    /// <summary>Instructions of matrix units, per warp.</summary>
    public long MatrixInstructions { get; internal set; }

    /// <summary>Warp-wide accesses of shared memory.</summary>
    public long SharedRequests { get; internal set; }

    /// <summary>Passes beyond the first that bank conflicts cost.</summary>
    public long BankConflicts { get; internal set; }

    /// <summary>Warp-wide accesses of global memory.</summary>
    public long GlobalRequests { get; internal set; }

    /// <summary>Sectors of 32 bytes that they touched.</summary>
    public long GlobalSectors { get; internal set; }

    /// <summary>Words of shared memory that were read before anything was written to them, where that is not an error.</summary>
    public long UnwrittenReads { get; internal set; }

    internal void Add(Statistics other)
    {
        WarpInstructions += other.WarpInstructions;
        LaneInstructions += other.LaneInstructions;
        MatrixInstructions += other.MatrixInstructions;
        SharedRequests += other.SharedRequests;
        BankConflicts += other.BankConflicts;
        GlobalRequests += other.GlobalRequests;
        GlobalSectors += other.GlobalSectors;
        UnwrittenReads += other.UnwrittenReads;
    }
}

/// <summary>What is checked and counted.</summary>
public sealed record SimulationOptions
{
    /// <summary>Whether unordered accesses of shared memory by two warps are an error.</summary>
    public bool ChecksRaces { get; init; } = true;

    /// <summary>Whether reading shared memory that nothing was written to is an error; else it gives NaN bits.</summary>
    public bool ChecksUnwritten { get; init; } = true;

    /// <summary>Whether bank conflicts and sectors are counted.</summary>
    public bool CountsMemory { get; init; }

    /// <summary>Groups run side by side in so many threads; kernels with atomics on global memory always in one.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>A group that runs more instructions of warps than this is taken for one that never ends.</summary>
    public long MaxInstructions { get; init; } = 1_000_000_000;

    /// <summary>Seed of the schedule of warps and of the time that copies take.</summary>
    public int Seed { get; init; } = 1;
}
