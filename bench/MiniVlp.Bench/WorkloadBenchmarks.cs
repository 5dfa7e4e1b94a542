using BenchmarkDotNet.Attributes;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

namespace MiniVlp.Bench;

/// <summary>The named workloads, one thread and all of them; allocations are shown because a steady state should have next to none.</summary>
[MemoryDiagnoser]
public class WorkloadBenchmarks
{
    private Device? _device;
    private PreparedWorkload? _workload;

    public static IEnumerable<string> Names => CpuSuite.All.Select(w => w.Name);

    public static IEnumerable<int> ThreadCounts => new[] { 1, Environment.ProcessorCount }.Distinct();

    [ParamsSource(nameof(Names))]
    public string Name { get; set; } = string.Empty;

    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        _device = Device.CreateCpu(Threads);
        _workload = CpuSuite.All.Single(w => string.Equals(w.Name, Name, StringComparison.Ordinal)).Prepare(_device);
    }

    [Benchmark]
    public void Run() => _workload!.Run();

    [GlobalCleanup]
    public void Release()
    {
        _workload?.Dispose();
        _device?.Dispose();
    }
}
