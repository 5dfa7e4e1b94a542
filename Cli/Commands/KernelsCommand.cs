using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using MiniVlp.Cli.KernelReports;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using MiniVlp.Tensors;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp kernels</c>: the GPU kernels, their PTX, and what NVIDIA's assembler says about it. Needs no GPU.</summary>
internal sealed class KernelsCommand : ToolCommand
{
    private readonly Option<string?> _emit = new("--emit-ptx") { Description = "Write the PTX of every kernel into this folder.", HelpName = "DIR" };
    private readonly Option<string?> _report = new("--sass-report") { Description = "Write registers, spills and instruction mix of every kernel into this file (Markdown); needs ptxas.", HelpName = "FILE" };
    private readonly Option<string> _architecture = new("--arch") { Description = "Generation of GPUs to compile for.", HelpName = "sm_80|sm_90a", DefaultValueFactory = _ => "sm_80" };
    private readonly Option<string?> _filter = new("--filter") { Description = "Only kernels whose name holds this text.", HelpName = "TEXT" };

    public KernelsCommand(ToolHost host)
        : base("kernels", "List the GPU kernels, or write their PTX; no GPU is needed.", host)
    {
        _architecture.AcceptOnlyFromAmong("sm_80", "sm_90a");
        Add(_emit);
        Add(_report);
        Add(_architecture);
        Add(_filter);
    }

    protected override int Run(ToolContext context)
    {
        PtxTarget target = PtxTarget.Parse(context.Arguments.GetRequiredValue(_architecture));
        string filter = context.Arguments.GetValue(_filter) ?? string.Empty;
        GpuKernelInfo[] kernels = [.. KernelCatalogue.All.Where(kernel => kernel.Level <= target.Level && kernel.Name.Contains(filter, StringComparison.OrdinalIgnoreCase))];
        if (kernels.Length == 0) throw new ToolException($"--filter {filter}: no kernel for {target.Architecture} has this in its name.");
        string? folder = context.Arguments.GetValue(_emit), report = context.Arguments.GetValue(_report);
        if (folder is not null) Emit(context, kernels, target, folder);
        if (report is not null) Report(context, kernels, target, report);
        if (folder is null && report is null) List(context, kernels);
        return ExitCode.Success;
    }

    private static void List(ToolContext context, IReadOnlyList<GpuKernelInfo> kernels)
    {
        if (context.Json)
        {
            context.WriteJson(new JsonArray([.. kernels.Select(kernel => (JsonNode?)ToJson(kernel))]));
            return;
        }

        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("kernel");
        table.AddColumn(new TableColumn("threads").RightAligned());
        table.AddColumn(new TableColumn("dynamic shared").RightAligned());
        table.AddColumn("level");
        table.AddColumn("must");
        foreach (GpuKernelInfo kernel in kernels)
        {
            string must = string.Join(", ", new[] { kernel.IsHot ? "no spills" : null, kernel.UsesTensorCores ? "tensor cores" : null }.OfType<string>());
            table.AddRow(kernel.Name, Text(kernel.GroupSize), Text(kernel.DynamicSharedBytes), kernel.Level.ToString(), must);
        }

        context.Console.Write(table);
        context.Output.WriteLine($"{kernels.Count} kernels");
    }

    private static void Emit(ToolContext context, IReadOnlyList<GpuKernelInfo> kernels, PtxTarget target, string folder)
    {
        Directory.CreateDirectory(folder);
        Stopwatch watch = Stopwatch.StartNew();
        using PtxCompiler compiler = new(target);
        JsonArray written = [];
        long bytes = 0;
        ForEach(context, "compiling", kernels, kernel =>
        {
            PtxKernel ptx = compiler.Compile(kernel);
            string path = Path.Combine(folder, kernel.Name + ".ptx");
            Save(path, ptx.Text);
            bytes += ptx.Text.Length;
            JsonObject json = ToJson(kernel);
            json["file"] = path;
            written.Add(json);
        });
        if (context.Json) context.WriteJson(new JsonObject { ["arch"] = target.Architecture, ["ptx_version"] = target.PtxVersion.ToString(), ["folder"] = folder, ["seconds"] = watch.Elapsed.TotalSeconds, ["kernels"] = written });
        else context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {kernels.Count} kernels for {target}, {bytes / 1024:N0} KiB, {watch.Elapsed.TotalSeconds:0.0} s"));
    }

    private static void Report(ToolContext context, IReadOnlyList<GpuKernelInfo> kernels, PtxTarget target, string file)
    {
        (PtxAssembler? assembler, string reason) = PtxAssembler.Find();
        if (assembler is null) throw new ToolException($"--sass-report: {reason}");
        if (!assembler.Reads(target)) throw new ToolException($"--sass-report: ptxas {assembler.Version} is too old for {target}.");
        using PtxCompiler compiler = new(target);
        List<(GpuKernelInfo Kernel, AssembledKernel Assembled)> rows = [];
        string folder = Directory.CreateTempSubdirectory("minivlp-kernels-").FullName;
        try
        {
            ForEach(context, "assembling", kernels, kernel =>
            {
                AssembledKernel assembled = assembler.Assemble(compiler.Compile(kernel), target.Architecture, folder, disassemble: true);
                if (!assembled.Succeeded) throw new ToolException($"--sass-report: ptxas refuses {kernel.Name}: {assembled.Log}");
                rows.Add((kernel, assembled));
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        Save(file, KernelTable.Markdown(rows, target.Architecture, assembler.Version));
        if (!context.Json) context.Output.WriteLine($"{file}: {rows.Count} kernels");
    }

    private static void ForEach(ToolContext context, string verb, IReadOnlyList<GpuKernelInfo> kernels, Action<GpuKernelInfo> action)
    {
        if (!context.Console.Profile.Capabilities.Interactive)
        {
            Each(_ => { });
            return;
        }

        context.Console.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(progress =>
            {
                ProgressTask task = progress.AddTask(verb, maxValue: kernels.Count);
                Each(kernel =>
                {
                    task.Description = $"{verb} {Markup.Escape(kernel.Name)}";
                    task.Increment(1);
                });
            });

        void Each(Action<GpuKernelInfo> report)
        {
            foreach (GpuKernelInfo kernel in kernels)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                report(kernel);
                action(kernel);
            }
        }
    }

    private static void Save(string path, string text)
    {
        using AtomicFile file = new(path);
        file.Stream.Write(Encoding.UTF8.GetBytes(text));
        file.Commit();
    }

    private static JsonObject ToJson(GpuKernelInfo kernel) => new()
    {
        ["name"] = kernel.Name,
        ["threads"] = kernel.GroupSize,
        ["dynamic_shared_bytes"] = kernel.DynamicSharedBytes,
        ["level"] = kernel.Level.ToString(),
        ["hot"] = kernel.IsHot,
        ["tensor_cores"] = kernel.UsesTensorCores,
    };

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
