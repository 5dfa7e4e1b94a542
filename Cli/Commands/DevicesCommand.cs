using System.Text.Json.Nodes;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp devices</c>: what this machine can compute on, what was tried, and what is missing.</summary>
internal sealed class DevicesCommand(ToolHost host) : ToolCommand("devices", "List what this machine can compute on, and what is missing for the rest.", host)
{
    protected override int Run(ToolContext context)
    {
        using Device cpu = Device.CreateCpu(context.ThreadCount);
        SimdTier[] tiers = [.. Enum.GetValues<SimdTier>().Where(tier => tier <= CpuBackend.WidestTier)];
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        GpuSearchResult search = GpuSearch.Find();
        if (context.Json)
        {
            JsonArray devices = [.. search.Devices.Select(device => (JsonNode?)ToJson(device))];
            devices.Insert(0, new JsonObject
            {
                ["name"] = cpu.ToString(),
                ["kind"] = "cpu",
                ["threads"] = context.ThreadCount,
                ["simd_tiers"] = new JsonArray([.. tiers.Select(tier => (JsonNode?)JsonValue.Create(tier.ToString()))]),
                ["memory_bytes"] = memory,
                ["usable"] = true,
            });
            context.WriteJson(new JsonObject { ["devices"] = devices, ["notes"] = new JsonArray([.. search.Notes.Select(note => (JsonNode?)JsonValue.Create(note))]) });
            return ExitCode.Success;
        }

        context.Output.WriteLine($"{cpu}: {context.ThreadCount} threads, SIMD tiers {string.Join(", ", tiers)}, {memory >> 20:N0} MiB of memory");
        foreach (GpuDeviceInfo device in search.Devices)
        {
            string hint = device.Problem is not null ? $"; not usable: {device.Problem}" : device.IsGpu ? string.Empty : "; a CPU: slower than the device cpu, for tests";
            context.Output.WriteLine($"{device.Id}: {device.Name}, {device.MemoryBytes >> 20:N0} MiB of memory{hint}");
        }

        foreach (string note in search.Notes) context.Output.WriteLine(note);
        context.Output.WriteLine("ilgpu-cpu: GPU kernels as .NET code, for debugging only");
        return ExitCode.Success;
    }

    private static JsonObject ToJson(GpuDeviceInfo device) => new()
    {
        ["name"] = device.Id,
        ["kind"] = device.Kind,
        ["device_name"] = device.Name,
        ["memory_bytes"] = device.MemoryBytes,
        ["is_gpu"] = device.IsGpu,
        ["usable"] = device.Problem is null,
        ["problem"] = device.Problem,
    };
}
