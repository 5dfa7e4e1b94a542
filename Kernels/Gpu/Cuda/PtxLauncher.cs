using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// A kernel on CUDA: mended PTX that the driver compiles, launched with one packed parameter. ILGPU's own launcher would run the text as ILGPU
/// wrote it, with its wrong branches, its lower target and no more than 48 KiB of shared memory.
/// </summary>
internal sealed unsafe class PtxLauncher<TKernel> : KernelLauncher<TKernel>
    where TKernel : struct, IGpuKernel
{
    private const int DefaultSharedBytes = 48 * 1024;

    private readonly CudaAccelerator _accelerator;
    private readonly nint _module, _function;

    /// <exception cref="NotSupportedException">The driver refuses the PTX, and the message has its log; or the PTX reads its parameter otherwise than it is written.</exception>
    public PtxLauncher(CudaAccelerator accelerator, PtxKernel kernel)
    {
        PtxModule.RequireLayout(kernel, KernelArguments<TKernel>.Size, KernelArguments<TKernel>.Fields);
        _accelerator = accelerator;
        accelerator.Bind();
        (_module, string log) = PtxModule.Load(kernel);
        Log = log;
        CudaException.ThrowIfFailed(CudaAPI.CurrentAPI.GetModuleFunction(out _function, _module, kernel.Name));
        if (TKernel.DynamicSharedBytes > DefaultSharedBytes)
            CudaDriver.ThrowIfFailed(CudaDriver.SetFunctionAttribute(_function, CudaDriver.MaxDynamicSharedBytes, TKernel.DynamicSharedBytes));
    }

    /// <summary>What the driver's compiler said: registers, shared memory, spills, warnings.</summary>
    public override string Log { get; }

    public override void Launch(AcceleratorStream stream, in TKernel kernel, Index3D groups)
    {
        _accelerator.Bind();
        nint size = KernelArguments<TKernel>.Size;
        byte* arguments = stackalloc byte[(int)size];
        KernelArguments<TKernel>.Write(kernel, arguments);
        void** extra = stackalloc void*[5] { LaunchParameterBuffer, arguments, LaunchParameterBytes, &size, null };
        CudaException.ThrowIfFailed(CudaAPI.CurrentAPI.LaunchKernel(
            _function, groups.X, groups.Y, groups.Z, TKernel.GroupSize, 1, 1, TKernel.DynamicSharedBytes, ((CudaStream)stream).StreamPtr, 0, (nint)extra));
    }

    public override void Dispose()
    {
        _accelerator.Bind();
        CudaAPI.CurrentAPI.DestroyModule(_module);
    }

    private static void* LaunchParameterBuffer => (void*)1;

    private static void* LaunchParameterBytes => (void*)2;
}

/// <summary>PTX loaded by the driver.</summary>
internal static unsafe partial class PtxModule
{
    private const int LogBytes = 16 * 1024;

    /// <summary>Compiles PTX for the current device.</summary>
    /// <returns>The module, and what the driver's compiler said.</returns>
    /// <exception cref="NotSupportedException">The driver refuses the PTX.</exception>
    public static (nint Module, string Log) Load(PtxKernel kernel)
    {
        byte[] image = [.. Encoding.UTF8.GetBytes(kernel.Text), 0], information = new byte[LogBytes], errors = new byte[LogBytes];
        fixed (byte* text = image, informationLog = information, errorLog = errors)
        {
            const int OptionCount = 5;
            CudaDriver.JitOption* options = stackalloc CudaDriver.JitOption[OptionCount]
            {
                CudaDriver.JitOption.InfoLogBuffer, CudaDriver.JitOption.InfoLogBufferBytes,
                CudaDriver.JitOption.ErrorLogBuffer, CudaDriver.JitOption.ErrorLogBufferBytes, CudaDriver.JitOption.LogVerbose,
            };
            void** values = stackalloc void*[OptionCount] { informationLog, (void*)LogBytes, errorLog, (void*)LogBytes, (void*)1 };
            int result = CudaDriver.LoadModule(out nint module, text, OptionCount, options, values);
            if (result == 0) return (module, Text(information));
            throw new NotSupportedException($"The driver cannot compile {kernel.Name} ({(CudaError)result}).\n{Text(errors)}\n{Excerpt(kernel.Text, Text(errors))}");
        }
    }

    /// <summary>
    /// Holds the parameter that the PTX reads to the one that is written: a kernel with padding inside of nested structs may get the layout of another
    /// type from ILGPU, and would compute with the wrong operands.
    /// </summary>
    /// <exception cref="NotSupportedException">The PTX expects another size, or reads where no field begins.</exception>
    public static void RequireLayout(PtxKernel kernel, int size, IReadOnlyList<ParameterField> fields)
    {
        Match declared = ParameterBytes().Match(kernel.Text);
        if (!declared.Success) return;          // a struct of one scalar comes as that scalar
        int expected = int.Parse(declared.Groups["bytes"].ValueSpan, CultureInfo.InvariantCulture);
        if (expected != size) throw new NotSupportedException($"{kernel.Name}: ILGPU lays its parameter out in {expected} bytes, and {size} are written. Is there padding inside of a nested struct?");
        HashSet<int> offsets = [.. fields.Select(field => field.Offset)];
        foreach (Match read in ParameterRead().Matches(kernel.Text))
        {
            int offset = read.Groups["offset"].Success ? int.Parse(read.Groups["offset"].ValueSpan, CultureInfo.InvariantCulture) : 0;
            if (!offsets.Contains(offset)) throw new NotSupportedException($"{kernel.Name}: ILGPU reads its parameter at byte {offset}, where no field begins. Is there padding inside of a nested struct?");
        }
    }

    private static string Text(byte[] log) => Encoding.UTF8.GetString(log.AsSpan(0, log.AsSpan().IndexOf((byte)0) is >= 0 and int end ? end : log.Length)).Trim();

    /// <summary>The lines around the first one that the log complains about.</summary>
    private static string Excerpt(string ptx, string log)
    {
        const int Around = 3;
        string[] lines = ptx.Split('\n');
        int line = LineNumber().Match(log) is { Success: true } match ? int.Parse(match.Groups["number"].ValueSpan, CultureInfo.InvariantCulture) - 1 : 0;
        int first = Math.Clamp(line - Around, 0, lines.Length), last = Math.Clamp(line + Around + 1, 0, lines.Length);
        return string.Join('\n', Enumerable.Range(first, last - first).Select(i => string.Create(CultureInfo.InvariantCulture, $"{i + 1,6} {lines[i]}")));
    }

    [GeneratedRegex(@"\.param \.align \d+ \.b8 \w+\[(?<bytes>\d+)\]", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex ParameterBytes();

    [GeneratedRegex(@"ld\.param\.\w+\s+%\w+, \[\w+(\+(?<offset>\d+))?\]", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex ParameterRead();

    [GeneratedRegex(@"line (?<number>\d{1,7})", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex LineNumber();
}
