using System.Collections.Concurrent;
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
    private readonly Option<string?> _cache = new("--cache") { Description = "Compile the kernels into this folder, which a process with MINIVLP_KERNEL_CACHE=DIR then loads them from.", HelpName = "DIR" };
    private readonly Option<string?> _version = new("--ptx") { Description = "Version of the PTX language, which the cache is looked up by: 8.8 for drivers of CUDA 12.9 and later (default: the least that the generation needs).", HelpName = "X.Y" };
    private readonly Option<string?> _filter = new("--filter") { Description = "Only kernels whose name holds this text.", HelpName = "TEXT" };

    public KernelsCommand(ToolHost host)
        : base("kernels", "List the GPU kernels, or write their PTX; no GPU is needed.", host)
    {
        _architecture.AcceptOnlyFromAmong("sm_80", "sm_90a");
        Add(_emit);
        Add(_report);
        Add(_cache);
        Add(_version);
        Add(_architecture);
        Add(_filter);
    }

    protected override int Run(ToolContext context)
    {
        PtxTarget target = PtxTarget.Parse(context.Arguments.GetRequiredValue(_architecture));
        if (context.Arguments.GetValue(_version) is { } version) target = target with { PtxVersion = Parse(version, target) };
        string filter = context.Arguments.GetValue(_filter) ?? string.Empty;
        GpuKernelInfo[] kernels = [.. KernelCatalogue.All.Where(kernel => kernel.Level <= target.Level && kernel.Name.Contains(filter, StringComparison.OrdinalIgnoreCase))];
        if (kernels.Length == 0) throw new ToolException($"--filter {filter}: no kernel for {target.Architecture} has this in its name.");
        string? folder = context.Arguments.GetValue(_emit), report = context.Arguments.GetValue(_report), cache = context.Arguments.GetValue(_cache);
        if (folder is not null) Emit(context, kernels, target, folder);
        if (report is not null) Report(context, kernels, target, report);
        if (cache is not null) Fill(context, kernels, target, cache);
        if (folder is null && report is null && cache is null) List(context, kernels);
        return ExitCode.Success;
    }

    private static Version Parse(string text, PtxTarget target)
        => Version.TryParse(text, out Version? version) && version >= target.PtxVersion
            ? version
            : throw new ToolException($"--ptx {text}: a version of the PTX language from {target.PtxVersion} on is expected for {target.Architecture}.");

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
        long bytes = 0;
        ForEach(context, "compiling", kernels, target, (compiler, kernel) =>
        {
            PtxKernel ptx = compiler.Compile(kernel);
            Save(PathOf(kernel), ptx.Text);
            Interlocked.Add(ref bytes, ptx.Text.Length);
        });
        if (!context.Json)
        {
            context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {kernels.Count} kernels for {target}, {bytes / 1024:N0} KiB, {watch.Elapsed.TotalSeconds:0.0} s"));
            return;
        }

        JsonArray written = [];
        foreach (GpuKernelInfo kernel in kernels)
        {
            JsonObject json = ToJson(kernel);
            json["file"] = PathOf(kernel);
            written.Add(json);
        }

        context.WriteJson(new JsonObject { ["arch"] = target.Architecture, ["ptx_version"] = target.PtxVersion.ToString(), ["folder"] = folder, ["seconds"] = watch.Elapsed.TotalSeconds, ["kernels"] = written });

        string PathOf(GpuKernelInfo kernel) => Path.Combine(folder, kernel.Name + ".ptx");
    }

    private static void Report(ToolContext context, IReadOnlyList<GpuKernelInfo> kernels, PtxTarget target, string file)
    {
        (PtxAssembler? assembler, string reason) = PtxAssembler.Find();
        if (assembler is null) throw new ToolException($"--sass-report: {reason}");
        if (!assembler.Reads(target)) throw new ToolException($"--sass-report: ptxas {assembler.Version} is too old for {target}.");
        ConcurrentDictionary<GpuKernelInfo, AssembledKernel> assembled = new();
        string folder = Directory.CreateTempSubdirectory("minivlp-kernels-").FullName;
        try
        {
            ForEach(context, "assembling", kernels, target, (compiler, kernel) =>
            {
                AssembledKernel result = assembler.Assemble(compiler.Compile(kernel), target.Architecture, folder, disassemble: true);
                if (!result.Succeeded) throw new ToolException($"--sass-report: ptxas refuses {kernel.Name}: {result.Log}");
                assembled[kernel] = result;
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        Save(file, KernelTable.Markdown([.. kernels.Select(kernel => (kernel, assembled[kernel]))], target.Architecture, assembler.Version));
        if (!context.Json) context.Output.WriteLine($"{file}: {kernels.Count} kernels");
    }

    private static void Fill(ToolContext context, IReadOnlyList<GpuKernelInfo> kernels, PtxTarget target, string folder)
    {
        Stopwatch watch = Stopwatch.StartNew();
        using KernelCache cache = new(target, folder);
        Show(context, "compiling", kernels.Count, onKernel => cache.Fill(kernels, onKernel, context.Cancellation));
        if (kernels.FirstOrDefault(kernel => !File.Exists(cache.PathOf(kernel))) is { } missing) throw new ToolException($"--cache {folder}: {cache.PathOf(missing)} cannot be written.");
        if (context.Json) context.WriteJson(new JsonObject { ["arch"] = target.Architecture, ["ptx_version"] = target.PtxVersion.ToString(), ["folder"] = folder, ["seconds"] = watch.Elapsed.TotalSeconds, ["kernels"] = kernels.Count });
        else context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {kernels.Count} kernels for {target}, {watch.Elapsed.TotalSeconds:0.0} s"));
    }

    private static void ForEach(ToolContext context, string verb, IReadOnlyList<GpuKernelInfo> kernels, PtxTarget target, Action<PtxCompiler, GpuKernelInfo> action)
        => Show(context, verb, kernels.Count, onKernel => PtxCompiler.ForEach(
            target, kernels,
            (compiler, kernel) =>
            {
                action(compiler, kernel);
                onKernel(kernel.Name);
            },
            context.Cancellation));

    /// <summary>A bar that grows by one kernel at a time, where somebody looks at it.</summary>
    private static void Show(ToolContext context, string verb, int count, Action<Action<string>> work)
    {
        if (!context.Console.Profile.Capabilities.Interactive)
        {
            work(_ => { });
            return;
        }

        context.Console.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(progress =>
            {
                ProgressTask task = progress.AddTask(verb, maxValue: count);
                work(name =>
                {
                    task.Description = $"{verb} {Markup.Escape(name)}";
                    task.Increment(1);
                });
            });
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
