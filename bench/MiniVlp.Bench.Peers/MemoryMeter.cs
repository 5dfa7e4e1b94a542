using System.Diagnostics;
using System.Globalization;
using System.Runtime;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Peers;

/// <summary>Looks at the memory of this process.</summary>
internal static class MemoryMeter
{
    private const int LeastRuns = 3, MostRuns = 100;
    private const double Seconds = 1, MostSeconds = 15;

    /// <summary>Prepares a workload, runs it a few times, and looks at the high-water mark; null when the library has none.</summary>
    /// <exception cref="PlatformNotSupportedException">Not Linux.</exception>
    public static MemoryUse? Measure(Workload workload, string library, int threads)
    {
        if (!OperatingSystem.IsLinux()) throw new PlatformNotSupportedException("--memory needs Linux.");
        using Device device = Device.CreateCpu(library == "ours" ? threads : 1);
        if (library == "torch") TorchThreads.Set(threads);
        if (library == "onnx") Onnx.Prepare("gemm_1x1x1", 1)?.Dispose();
        double empty = Resident();
        PeerWorkload? prepared = library switch
        {
            "torch" => Torch.Prepare(workload.Name),
            "onnx" => Onnx.Prepare(workload.Name, threads),
            _ => Ours(workload, device),
        };
        if (prepared is null) return null;
        using (prepared)
        {
            CollectEverything();
            double resident = Resident();
            File.WriteAllText("/proc/self/clear_refs", "5");
            prepared.Run();
            List<double> milliseconds = [];
            Stopwatch total = Stopwatch.StartNew();
            while (milliseconds.Count == 0
                || (milliseconds.Count < LeastRuns && total.Elapsed.TotalSeconds < MostSeconds)
                || (milliseconds.Count < MostRuns && total.Elapsed.TotalSeconds < Seconds))
            {
                long start = Stopwatch.GetTimestamp();
                prepared.Run();
                milliseconds.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }

            return new MemoryUse(workload.Name, library, empty, resident, Megabytes("VmHWM:"), Timing.Of(milliseconds));
        }
    }

    private static PeerWorkload Ours(Workload workload, Device device)
    {
        PreparedWorkload prepared = workload.Prepare(device);
        return new PeerWorkload(prepared.Run, prepared);
    }

    private static double Resident()
    {
        CollectEverything();
        return Megabytes("VmRSS:");
    }

    private static void CollectEverything()
    {
        GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    private static double Megabytes(string field)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(field, StringComparison.Ordinal));
        return double.Parse(line.AsSpan(field.Length).Trim().TrimEnd("kB").TrimEnd(), CultureInfo.InvariantCulture) * 1024 / 1e6;
    }
}

/// <summary>libtorch's threads; the first use of this class loads the library.</summary>
internal static class TorchThreads
{
    public static void Set(int threads) => TorchSharp.torch.set_num_threads(threads);
}
