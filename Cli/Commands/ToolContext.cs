using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary>One run of a command: its arguments, where its text goes, and the device.</summary>
public sealed class ToolContext : IDisposable
{
    // Captions are printed as they are: no \u escapes for what a terminal can show.
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly ToolHost _host;
    private Device? _device;

    public ToolContext(ToolHost host, ParseResult arguments)
    {
        _host = host;
        Arguments = arguments;
        Console = CreateConsole(Json ? host.Error : host.Output);
    }

    public ParseResult Arguments { get; }

    /// <summary>Standard output.</summary>
    public TextWriter Output => _host.Output;

    /// <summary>Standard error.</summary>
    public TextWriter Error => _host.Error;

    /// <summary>For people: tables, colours, progress. It is standard error when the result is JSON.</summary>
    public IAnsiConsole Console { get; }

    /// <summary>Set by Ctrl+C.</summary>
    public CancellationToken Cancellation => _host.Cancellation;

    public bool Json => Arguments.GetValue(_host.Options.Json);

    public int Seed => Arguments.GetValue(_host.Options.Seed);

    public Option<int> SeedOption => _host.Options.Seed;

    private int Threads => Arguments.GetValue(_host.Options.Threads);

    /// <summary>Threads to compute with, one per processor when not told.</summary>
    public int ThreadCount => Threads == 0 ? Environment.ProcessorCount : Threads;

    /// <summary>Where to compute; made when first asked for.</summary>
    /// <exception cref="ToolException">There is no such device, or it does not work.</exception>
    public Device Device
    {
        get
        {
            DeviceChoice choice = DeviceChoice.TryParse(Arguments.GetValue(_host.Options.Device) ?? "auto")!;
            return _device ??= WithPrecision(choice.Open(Threads, Warn));
        }
    }

    /// <summary>How to pack the weights of a model that is only run: null on a GPU, which reads them as they are.</summary>
    /// <exception cref="ToolException">A GPU was asked for weights of fewer bits.</exception>
    public WeightFormat? PackedWeights
    {
        get
        {
            WeightFormat format = Arguments.GetValue(_host.Options.Weights) switch { "bf16" => WeightFormat.BFloat16, "int8" => WeightFormat.Int8, _ => WeightFormat.Float32 };
            if (Device.Backend is CpuBackend) return format;
            return format is WeightFormat.Float32 ? null : throw new ToolException($"--weights {Arguments.GetValue(_host.Options.Weights)}: {Device} keeps weights in float32; see --precision.");
        }
    }

    /// <summary>The same, or null where nothing was asked for.</summary>
    public WeightFormat? AskedWeights => Arguments.GetResult(_host.Options.Weights) is { Implicit: false } ? PackedWeights : null;

    /// <summary>Prints a JSON document on standard output.</summary>
    public void WriteJson(JsonNode document) => Output.WriteLine(document.ToJsonString(Indented));

    /// <summary>A note for people, on standard error.</summary>
    public void Warn(string message) => Error.WriteLine($"minivlp: warning: {message}");

    public void Dispose() => _device?.Dispose();

    private Device WithPrecision(Device device)
    {
        string name = Arguments.GetValue(_host.Options.Precision) ?? "float32";
        if (device.Backend is GpuBackend gpu) gpu.Precision = name switch { "tf32" => MatMulPrecision.TensorFloat32, "bf16" => MatMulPrecision.BFloat16, _ => MatMulPrecision.Float32 };
        else if (name != "float32") throw new ToolException($"--precision {name}: {device} computes in float32; {name} needs --device cuda or opencl.");
        return device;
    }

    private static IAnsiConsole CreateConsole(TextWriter writer)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer) });
        bool isTerminal = (ReferenceEquals(writer, System.Console.Out) && !System.Console.IsOutputRedirected)
            || (ReferenceEquals(writer, System.Console.Error) && !System.Console.IsErrorRedirected);
        if (!isTerminal)
        {
            // A file or a pipe has no width: lines are not to be wrapped at 80 columns.
            console.Profile.Width = 1000;
            console.Profile.Capabilities.Ansi = false;
            console.Profile.Capabilities.Interactive = false;
        }

        return console;
    }
}
