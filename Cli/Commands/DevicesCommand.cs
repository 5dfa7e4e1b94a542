using System.Text.Json.Nodes;
using MiniVlp.Kernels;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp devices</c>: what this build can compute on.</summary>
internal sealed class DevicesCommand(ToolHost host) : ToolCommand("devices", "List what this build can compute on.", host)
{
    protected override int Run(ToolContext context)
    {
        string device = context.Device.ToString();
        SimdTier[] tiers = [.. Enum.GetValues<SimdTier>().Where(tier => tier <= CpuBackend.WidestTier)];
        int threads = context.ThreadCount;
        if (context.Json)
        {
            context.WriteJson(new JsonArray(new JsonObject
            {
                ["name"] = device,
                ["kind"] = "cpu",
                ["threads"] = threads,
                ["simd_tiers"] = new JsonArray([.. tiers.Select(tier => (JsonNode?)JsonValue.Create(tier.ToString()))]),
                ["memory_bytes"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            }));
            return ExitCode.Success;
        }

        context.Output.WriteLine($"{device}: {threads} threads, SIMD tiers {string.Join(", ", tiers)}, {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1 << 20):N0} MiB of memory");
        context.Output.WriteLine("cuda, opencl: not in this build");
        return ExitCode.Success;
    }
}
