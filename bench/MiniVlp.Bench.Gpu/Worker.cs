using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Workloads;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Gpu;

/// <summary>
/// Answers requests, one line of JSON each, so that bench/gpu/run can time us and the peer in turns without starting either anew:
/// <c>info</c>, <c>prepare</c> (operands, compilation, warm-up), <c>time</c> (one batch) and <c>release</c>. A request that fails is answered by an
/// error, and the next one is served.
/// </summary>
/// <param name="device">Where the workloads run.</param>
internal sealed class Worker(Device device) : IDisposable
{
    private const int WarmUpRuns = 3, MostRuns = 10_000;

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    private PreparedWorkload? _workload;
    private GpuGraph? _graph;
    private int _runs = 1;

    private GpuBackend? Gpu => device.Backend as GpuBackend;

    /// <summary>Serves until the input ends.</summary>
    public void Serve(TextReader input, TextWriter output)
    {
        while (input.ReadLine() is { } line)
        {
            output.WriteLine(Answer(line).ToJsonString());
            output.Flush();
        }
    }

    /// <summary>The answer to one request.</summary>
    public JsonObject Answer(string line)
    {
        try
        {
            JsonNode request = JsonNode.Parse(line) ?? throw new JsonException("The request is empty.");
            return request["do"]?.GetValue<string>() switch
            {
                "info" => Info(),
                "prepare" => Prepare(request),
                "time" => Time(),
                "release" => Release(),
                string unknown => Error($"There is no request {unknown}.", isOutOfMemory: false),
                null => Error("The request does not say what to do.", isOutOfMemory: false),
            };
        }
        catch (Exception exception)
        {
            // Whatever a kernel or a driver throws is a result here.
            return Error($"{exception.GetType().Name}: {exception.Message}", exception is OutOfMemoryException);
        }
    }

    /// <summary>The time of each kernel in one run of a workload.</summary>
    /// <exception cref="JsonException">The workload is none.</exception>
    public static string Profile(Device device, string workload)
    {
        WorkloadSpec spec = JsonSerializer.Deserialize<WorkloadSpec>(workload, Json) ?? throw new JsonException("There is no workload to profile.");
        GpuBackend gpu = (GpuBackend)device.Backend;
        PrecisionChoice.Use(device, spec.Precision);
        using PreparedWorkload prepared = GpuWorkloads.Prepare(spec, device);
        for (int i = 0; i < WarmUpRuns; i++) prepared.Run();
        KernelTimes times = new();
        gpu.Times = times;
        prepared.Run();
        gpu.Times = null;
        return times.ToString();
    }

    /// <summary>Gives the operands back.</summary>
    public void Dispose()
    {
        _graph?.Dispose();
        _graph = null;
        _workload?.Dispose();
        _workload = null;
    }

    private static JsonObject Error(string message, bool isOutOfMemory) => new() { ["error"] = message, ["outOfMemory"] = isOutOfMemory };

    private JsonObject Info() => new()
    {
        ["device"] = device.ToString(),
        ["name"] = Gpu?.DeviceName ?? device.ToString(),
        ["memoryBytes"] = Gpu?.MemoryBytes ?? 0,
        ["runtime"] = Environment.Version.ToString(),
    };

    private JsonObject Prepare(JsonNode request)
    {
        Dispose();
        Gpu?.Trim();
        WorkloadSpec spec = request["workload"].Deserialize<WorkloadSpec>(Json) ?? throw new JsonException("There is no workload to prepare.");
        double batchSeconds = request["batchSeconds"]?.GetValue<double>() ?? 0.05;
        PrecisionChoice.Use(device, spec.Precision);
        long start = Stopwatch.GetTimestamp();
        _workload = GpuWorkloads.Prepare(spec, device);
        Batch(1);
        double first = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        Batch(WarmUpRuns);
        if (spec.Graph && spec.Kind != GpuWorkloads.TrainerStep) Capture();
        double once = Batch(1);
        _runs = (int)Math.Clamp(batchSeconds * 1000 / once, 1, MostRuns);
        return new JsonObject { ["firstMilliseconds"] = first, ["runs"] = _runs };
    }

    /// <summary>
    /// Records a run to be launched as one graph from here on, once before the timing starts. An optimizer's step number is a constant of the
    /// graph, so that a training step that is launched again does all the work and takes the first step's corrections.
    /// </summary>
    private void Capture()
    {
        if (Gpu is not { SupportsGraphs: true } gpu) throw new NotSupportedException($"{device} has no graphs.");
        _graph = gpu.Capture(_workload!.Run);
        Batch(WarmUpRuns);
    }

    private JsonObject Time() => new() { ["milliseconds"] = Batch(_runs), ["runs"] = _runs };

    /// <summary>Everything that was taken from the device since the workload was prepared, in use or kept for the next rent, is its peak.</summary>
    private JsonObject Release()
    {
        JsonObject answer = new() { ["peakBytes"] = Gpu is null ? 0 : Gpu.RentedBytes + Gpu.CachedBytes };
        Dispose();
        Gpu?.Trim();
        return answer;
    }

    /// <summary>Milliseconds of one of several runs with one wait for the device at the end, by the host's clock.</summary>
    private double Batch(int runs)
    {
        PreparedWorkload workload = _workload ?? throw new InvalidOperationException("No workload is prepared.");
        Gpu?.Synchronize();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < runs; i++)
        {
            if (_graph is null) workload.Run();
            else _graph.Launch();
        }

        Gpu?.Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds / runs;
    }
}
