using System.Diagnostics;
using System.Globalization;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Bench.Gpu;

/// <summary>Loads every kernel of the product on a device and keeps what its compiler says.</summary>
internal static class KernelLoading
{
    /// <summary>Loads them one after the other; one that is refused stops none of the others.</summary>
    /// <param name="gpu">The device.</param>
    /// <param name="log">Gets each kernel's name with the compiler's log or the error.</param>
    /// <returns>One line that sums it up, and whether all were loaded.</returns>
    public static (string Summary, bool IsComplete) LoadAll(GpuBackend gpu, TextWriter log)
    {
        long start = Stopwatch.GetTimestamp();
        List<string> refused = [], spilled = [];
        int loaded = 0;
        foreach (GpuKernelInfo kernel in KernelCatalogue.All.Where(kernel => kernel.Level <= gpu.Level))
        {
            log.WriteLine($"== {kernel.Name}");
            try
            {
                string said = gpu.LoadKernel(kernel).Log;
                log.WriteLine(said);
                loaded++;
                if (SpilledBytes(said) > 0) spilled.Add(kernel.Name);
            }
            catch (Exception exception)
            {
                // Whatever ILGPU or the driver throws is a result here.
                log.WriteLine(exception);
                refused.Add(kernel.Name);
            }
        }

        string summary = string.Create(CultureInfo.InvariantCulture, $"{loaded} kernels loaded in {Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s{Count("refused", refused)}{Count("with spills", spilled)}");
        log.WriteLine(summary);
        return (summary, refused.Count == 0);
    }

    /// <summary>Bytes of spill stores in a log of NVIDIA's compiler; 0 where it says nothing of them.</summary>
    public static int SpilledBytes(string log)
    {
        const string Marker = " bytes spill stores";
        int sum = 0;
        for (int at = log.IndexOf(Marker, StringComparison.Ordinal); at >= 0; at = log.IndexOf(Marker, at + 1, StringComparison.Ordinal))
        {
            ReadOnlySpan<char> before = log.AsSpan(0, at);
            if (int.TryParse(before[(before.LastIndexOfAnyExceptInRange('0', '9') + 1)..], CultureInfo.InvariantCulture, out int bytes)) sum += bytes;
        }

        return sum;
    }

    private static string Count(string what, List<string> names) => names.Count == 0 ? string.Empty : $"; {names.Count} {what}: {string.Join(", ", names.Take(5))}{(names.Count > 5 ? ", ..." : string.Empty)}";
}
