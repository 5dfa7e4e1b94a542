using System.Globalization;
using System.Text;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Cli.KernelReports;

/// <summary>The table of registers, shared memory and inner loops that docs/kernels.md shows.</summary>
internal static class KernelTable
{
    private const int ShownInstructions = 8;

    /// <summary>Markdown: one row for each kernel, with the mix of its largest innermost loop.</summary>
    public static string Markdown(IEnumerable<(GpuKernelInfo Kernel, AssembledKernel Assembled)> kernels, string architecture, Version toolkit)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"ptxas {toolkit}, {architecture}; per thread: registers, spills and stack in bytes; per group: threads and shared memory (static + dynamic) in bytes.\n\n");
        text.Append("| kernel | threads | registers | shared | spills | stack | innermost loop |\n|---|---|---|---|---|---|---|\n");
        foreach ((GpuKernelInfo kernel, AssembledKernel assembled) in kernels) text.Append(Row(kernel, assembled)).Append('\n');
        return text.ToString();
    }

    /// <summary>The row of one kernel.</summary>
    public static string Row(GpuKernelInfo kernel, AssembledKernel assembled)
    {
        string shared = string.Create(CultureInfo.InvariantCulture, $"{assembled.StaticSharedBytes} + {kernel.DynamicSharedBytes}");
        return string.Create(CultureInfo.InvariantCulture, $"| {kernel.Name} | {kernel.GroupSize} | {assembled.Registers} | {shared} | {assembled.SpillBytes} | {assembled.StackBytes} | {Loop(assembled.Sass)} |");
    }

    private static string Loop(SassListing sass)
    {
        if (sass.MainLoop is not { } loop) return string.Create(CultureInfo.InvariantCulture, $"none; {sass.Instructions.Count} instructions in all");
        string mix = string.Join(", ", loop.Mix.Take(ShownInstructions).Select(item => string.Create(CultureInfo.InvariantCulture, $"{item.Count} {item.Mnemonic}")));
        return string.Create(CultureInfo.InvariantCulture, $"{loop.Instructions.Count}: {mix}");
    }
}
