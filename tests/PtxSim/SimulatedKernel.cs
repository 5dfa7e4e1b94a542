using MiniVlp.PtxSim.Instructions;
using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim;

/// <summary>A kernel, decoded and ready to run.</summary>
public sealed class SimulatedKernel
{
    /// <summary>A register that takes results nobody wants.</summary>
    internal const string Sink = "%sink";

    private SimulatedKernel(PtxEntry entry)
    {
        Name = entry.Name;
        ParameterBytes = entry.ParameterBytes;
        Parameters = entry.Parameters;
        LocalBytes = entry.LocalBytes;
        StaticSharedBytes = entry.SharedBytes;
        SharedVariables = [.. entry.Shared.Values];
        ClusterSize = new Dim3(entry.Cluster.X, entry.Cluster.Y, entry.Cluster.Z);
        int alignment = Math.Max(16, entry.DynamicSharedAlignment);
        DynamicSharedOffset = (entry.SharedBytes + alignment - 1) / alignment * alignment;
        foreach ((string name, string type) in entry.Registers) Registers.Declare(name, type);
        Registers.Declare(Sink, "b64");
        Decoder decoder = new(entry, this);
        Code = decoder.Decode();
        HasGlobalAtomics = decoder.HasGlobalAtomics;
    }

    public string Name { get; }

    /// <summary>Size of the packed arguments.</summary>
    public int ParameterBytes { get; }

    /// <summary>Bytes of static shared memory.</summary>
    public int StaticSharedBytes { get; }

    /// <summary>Where dynamic shared memory starts: behind the static.</summary>
    public int DynamicSharedOffset { get; }

    internal IReadOnlyList<PtxVariable> Parameters { get; }

    internal int LocalBytes { get; }

    internal IReadOnlyList<PtxVariable> SharedVariables { get; }

    internal Dim3 ClusterSize { get; }

    internal RegisterLayout Registers { get; } = new();

    internal Instruction[] Code { get; }

    /// <summary>Whether groups can see each other at work, so that their order is kept.</summary>
    internal bool HasGlobalAtomics { get; }

    /// <summary>Decodes the kernels of a module.</summary>
    /// <exception cref="SimulationException">Something in it is not modelled; the message has the line.</exception>
    public static IReadOnlyList<SimulatedKernel> Load(string module) => [.. PtxReader.Read(module).Select(entry => new SimulatedKernel(entry))];

    /// <summary>Runs a launch to its end.</summary>
    /// <exception cref="SimulationException">The kernel did what it must not.</exception>
    public Statistics Run(GlobalMemory memory, KernelLaunch launch, SimulationOptions? options = null)
    {
        options ??= new SimulationOptions();
        if (launch.Threads.Count is < 1 or > 1024) throw new SimulationException($"{Name}: {launch.Threads.Count} threads in a group");
        if (launch.Arguments.Length < ParameterBytes) throw new SimulationException($"{Name}: {launch.Arguments.Length} bytes of arguments for {ParameterBytes} bytes of parameters");
        if (launch.Groups.X % ClusterSize.X != 0 || launch.Groups.Y % ClusterSize.Y != 0 || launch.Groups.Z % ClusterSize.Z != 0) throw new SimulationException($"{Name}: a grid of {launch.Groups} is no multiple of the cluster {ClusterSize}");
        long clusters = launch.Groups.Count / ClusterSize.Count;
        int workers = HasGlobalAtomics ? 1 : (int)Math.Min(options.Threads, clusters);
        Statistics total = new();
        if (workers <= 1)
        {
            Cluster cluster = new(this, launch, memory, options, total);
            for (long i = 0; i < clusters; i++) cluster.Run(i);
            return total;
        }

        long next = -1;
        Statistics[] parts = [.. Enumerable.Range(0, workers).Select(_ => new Statistics())];
        Exception?[] failures = new Exception?[workers];
        Parallel.For(0, workers, new ParallelOptions { MaxDegreeOfParallelism = workers }, worker =>
        {
            try
            {
                Cluster cluster = new(this, launch, memory, options, parts[worker]);
                for (long i = Interlocked.Increment(ref next); i < clusters; i = Interlocked.Increment(ref next)) cluster.Run(i);
            }
            catch (SimulationException exception)
            {
                failures[worker] = exception;
                Interlocked.Exchange(ref next, clusters);
            }
        });
        foreach (Statistics part in parts) total.Add(part);
        if (failures.FirstOrDefault(failure => failure is not null) is { } first) throw new SimulationException(first.Message, first);
        return total;
    }
}
