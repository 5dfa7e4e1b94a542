using System.Globalization;
using MiniVlp.KernelLadder.Cpu;
using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder;

/// <summary>The command line; sizes of 0 stand for what suits the device.</summary>
/// <param name="Device">cuda, opencl, ilgpu-cpu, or cpu for the ladder of one core.</param>
/// <param name="Size">Of the matrices; a multiple of 64.</param>
/// <param name="Tokens">Of the attention; a multiple of 16.</param>
/// <param name="Heads">Of the attention.</param>
/// <param name="Json">Whether to print JSON instead of tables.</param>
internal sealed record Options(string Device, int Size, int Tokens, int Heads, bool Json)
{
    public const string Usage = "MiniVlp.KernelLadder [--device cpu|cuda|opencl|ilgpu-cpu] [--size N] [--tokens N] [--heads N] [--json]";

    /// <summary>Elements of the scores that the first step of the attention stores, at most.</summary>
    private const long MostScores = 1L << 30;

    /// <exception cref="ArgumentException">An option is unknown, lacks its value, or has one that does not do.</exception>
    public static Options Parse(string[] args)
    {
        Options options = new("opencl", 0, 0, 0, false);
        for (int i = 0; i < args.Length; i++)
        {
            if (args[i] is "--json")
            {
                options = options with { Json = true };
                continue;
            }

            string value = i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.");
            options = args[i++] switch
            {
                "--device" when value is "cpu" or "cuda" or "opencl" or "ilgpu-cpu" => options with { Device = value },
                "--size" when IsMultiple(value, 64, 16384) => options with { Size = int.Parse(value, CultureInfo.InvariantCulture) },
                "--tokens" when IsMultiple(value, 16, 32768) => options with { Tokens = int.Parse(value, CultureInfo.InvariantCulture) },
                "--heads" when IsMultiple(value, 1, 128) => options with { Heads = int.Parse(value, CultureInfo.InvariantCulture) },
                "--size" => throw new ArgumentException($"--size {value} is not understood: it is a multiple of 64, at most 16384."),
                "--tokens" => throw new ArgumentException($"--tokens {value} is not understood: it is a multiple of 16, at most 32768."),
                string name => throw new ArgumentException($"{name} {value} is not understood."),
            };
        }

        if ((long)options.Heads * options.Tokens * options.Tokens > MostScores) throw new ArgumentException("The first step of the attention stores heads · tokens² scores, and these are more than 2³⁰.");
        return options;
    }

    /// <summary>The device, made.</summary>
    /// <exception cref="PlatformNotSupportedException">It is not there.</exception>
    public IBackend CreateDevice() => Device switch
    {
        "cpu" => new CpuBackend(threads: 1),
        "cuda" => GpuBackend.CreateCuda(),
        "opencl" => GpuBackend.CreateOpenCl(),
        _ => GpuBackend.CreateIlgpuCpu(),
    };

    /// <summary>Sizes that a device computes in a moment where the command line says nothing: a GPU, a core, OpenCL on a CPU, and the debugger's device.</summary>
    public Options WithSizesFor(bool isGpu)
    {
        (int size, int tokens, int heads) = isGpu ? (4096, 4096, 12) : Device switch { "cpu" => (768, 1024, 4), "opencl" => (512, 512, 4), _ => (64, 32, 1) };
        return this with { Size = Size == 0 ? size : Size, Tokens = Tokens == 0 ? tokens : Tokens, Heads = Heads == 0 ? heads : Heads };
    }

    /// <summary>The ladders, made one after the other.</summary>
    public IEnumerable<Ladder> Ladders(IBackend device)
    {
        if (device is CpuBackend cpu)
        {
            yield return new CpuMatMulLadder(cpu, Size);
            yield return new CpuAttentionLadder(cpu, Tokens, Heads);
        }
        else
        {
            yield return new MatMulLadder((GpuBackend)device, Size);
            yield return new AttentionLadder((GpuBackend)device, Tokens, Heads);
        }
    }

    private static bool IsMultiple(string value, int of, int most) => int.TryParse(value, CultureInfo.InvariantCulture, out int number) && number > 0 && number % of == 0 && number <= most;
}
