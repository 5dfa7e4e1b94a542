using System.Collections.Concurrent;
using MiniVlp.Cli.KernelReports;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>
/// NVIDIA's own assembler on the kernels: it needs no GPU, and what it says about registers and instructions is what a GPU will get. Of matrix
/// products with an activation some stand for all, unless MINIVLP_PTX_GATE is <c>all</c>. Skipped, with the reason, where ptxas is not here or too old.
/// </summary>
public sealed class PtxGateTests
{
    private static readonly ConcurrentDictionary<string, Lazy<Gate>> Gates = new(StringComparer.Ordinal);
    private static readonly Lazy<Dictionary<string, string>> DocumentedRows = new(ReadTable);
    private static readonly Version DocumentedToolkit = new(12, 4);

    /// <summary>One product with GELU of each kernel and tile.</summary>
    private static readonly Lazy<HashSet<GpuKernelInfo>> Representatives = new(() =>
        [.. KernelCatalogue.All.Where(kernel => ActivationOf(kernel) == typeof(Kernels.Gelu)).DistinctBy(kernel => (kernel.Type.GetGenericTypeDefinition(), kernel.Type.GetGenericArguments()[0]))]);

    public static TheoryData<string> Architectures => ["sm_80", "sm_90a"];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void EveryKernel_Assembles(string architecture)
    {
        Gate gate = Open(architecture);
        AssertNone(gate.Kernels.Where(row => !row.Assembled.Succeeded).Select(row => $"{row.Kernel}: {row.Assembled.Log}"));
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void HotKernels_StayInRegisters(string architecture)
        => AssertNone(Open(architecture).Kernels.Where(row => row.Kernel.IsHot && (row.Assembled.SpillBytes > 0 || row.Assembled.StackBytes > 0))
            .Select(row => $"{row.Kernel}: {row.Assembled.SpillBytes} bytes of spills, {row.Assembled.StackBytes} of stack, {row.Assembled.Registers} registers"));

    [Theory]
    [MemberData(nameof(Architectures))]
    public void TensorCoreKernels_HaveTheirInstructions(string architecture)
        => AssertNone(Open(architecture).Kernels.Where(row => row.Kernel.UsesTensorCores && !row.Assembled.Sass.UsesTensorCores).Select(row => $"{row.Kernel}: neither HMMA nor HGMMA"));

    [Theory]
    [MemberData(nameof(Architectures))]
    public void WarpgroupProducts_AreNotSerialized(string architecture)
        => AssertNone(Open(architecture).Kernels.Where(row => IsSerialized(row.Assembled)).Select(row => $"{row.Kernel}: {row.Assembled.Log}"));

    /// <summary>docs/kernels.md shows what one release of the assembler says of kernels for sm_90a; where it says something else now, the row to paste is here.</summary>
    [Fact]
    public void Documentation_ShowsWhatTheAssemblerSays()
    {
        Gate gate = Open("sm_90a");
        Assert.SkipUnless(gate.Toolkit == DocumentedToolkit, $"The table is of ptxas {DocumentedToolkit}; this is {gate.Toolkit}.");
        Dictionary<string, string> now = gate.Kernels.Where(row => DocumentedRows.Value.ContainsKey(row.Kernel.Name))
            .ToDictionary(row => row.Kernel.Name, row => KernelTable.Row(row.Kernel, row.Assembled), StringComparer.Ordinal);
        Assert.NotEmpty(now);
        AssertNone(DocumentedRows.Value.Keys.Where(name => !KernelCatalogue.All.Any(kernel => kernel.Name == name)).Select(name => $"{name}: there is no such kernel"));
        AssertNone(now.Where(row => DocumentedRows.Value[row.Key] != row.Value).Select(row => row.Value));
    }

    [Fact]
    public void EveryTarget_HasTheSameText()
    {
        using PtxCompiler ampere = new(PtxTarget.Sm80), hopper = new(PtxTarget.Sm90a);
        foreach (GpuKernelInfo kernel in KernelCatalogue.All.Where(kernel => kernel.IsHot && kernel.Level <= PtxTarget.Sm80.Level && !IsRepetition(kernel)).Where((_, i) => i % 24 == 0))
            Assert.Equal(WithVersion(ampere.Compile(kernel).Text, PtxTarget.Sm90a), hopper.Compile(kernel).Text);
    }

    [Fact]
    public void Listing_FindsTheInnerLoop()
    {
        SassListing sass = SassListing.Parse("""
                    /*0000*/                   MOV R1, c[0x0][0x28] ;                  /* 0x1 */
                    /*0010*/                   LDG.E.128.CONSTANT R4, [R2.64] ;        /* 0x2 */
                    /*0020*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;   /* 0x3 */
                    /*0030*/              @!P0 BRA 0x20 ;                              /* 0x4 */
                    /*0040*/               @P1 BRA 0x10 ;                              /* 0x5 */
                    /*0050*/                   EXIT ;                                  /* 0x6 */
                    /*0060*/                   BRA 0x60;                               /* 0x7 */
            """);
        Assert.Equal(7, sass.Instructions.Count);
        SassLoop loop = Assert.Single(sass.InnerLoops);
        Assert.Equal([("BRA", 1), ("HMMA.16816", 1)], loop.Mix);
        Assert.Equal("LDG.E.128", sass.Instructions[1].Mnemonic);
        Assert.True(sass.UsesTensorCores);
        Assert.Same(loop, sass.MainLoop);
    }

    /// <summary>The gate must be able to fail: a wrong instruction is seen, and registers that run out are counted, as are the spills that follow.</summary>
    [Fact]
    public void Assembler_SeesMistakesAndSpills()
    {
        (PtxAssembler? assembler, string reason) = PtxAssembler.Find();
        if (assembler is null)
        {
            Assert.Skip(reason);
            return;
        }

        using PtxCompiler compiler = new(PtxTarget.Sm80);
        PtxKernel kernel = compiler.Compile(GpuKernelInfo.Of<Kernels.GpuBackend.UnaryBackwardKernel<Kernels.Gelu>>());
        string folder = Directory.CreateTempSubdirectory("minivlp-gate-").FullName;
        try
        {
            AssembledKernel wrong = assembler.Assemble(kernel with { Text = kernel.Text.Replace("st.global.f32", "st.global.f33", StringComparison.Ordinal) }, "sm_80", folder, disassemble: false);
            Assert.False(wrong.Succeeded);
            Assert.Contains("f33", wrong.Log, StringComparison.Ordinal);
            AssembledKernel tight = assembler.Assemble(kernel with { Text = kernel.Text.Replace(".maxntid 256, 1, 1", ".maxntid 1024, 1, 1\n.minnctapersm 2", StringComparison.Ordinal) }, "sm_80", folder, disassemble: true);
            Assert.True(tight.Succeeded, tight.Log);
            Assert.InRange(tight.Registers, 1, 32);
            Assert.False(tight.Sass.UsesTensorCores);
            Assert.NotEmpty(tight.Sass.Instructions);

            // 64 registers for a thread that wants twice as many.
            PtxKernel large = compiler.Compile(GpuKernelInfo.Of<Kernels.GpuBackend.AttentionKernel<AlignedAccess, Kernels.GpuBackend.HeadWidth64>>());
            AssembledKernel spilling = assembler.Assemble(large with { Text = large.Text.Replace(".maxntid 256, 1, 1", ".maxntid 256, 1, 1\n.minnctapersm 4", StringComparison.Ordinal) }, "sm_80", folder, disassemble: false);
            Assert.True(spilling.Succeeded, spilling.Log);
            Assert.InRange(spilling.Registers, 1, 64);
            Assert.True(spilling.SpillBytes > 0, spilling.Log);
            Assert.True(spilling.StackBytes > 0, spilling.Log);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Without its fences the assembler cannot let wgmma run beside other instructions, and the gate has to notice.</summary>
    [Fact]
    public void Assembler_SeesSerializedProducts()
    {
        (PtxAssembler? assembler, string reason) = PtxAssembler.Find();
        if (assembler is null || !assembler.Reads(PtxTarget.Sm90a))
        {
            Assert.Skip(assembler is null ? reason : $"ptxas {assembler.Version} is too old for {PtxTarget.Sm90a}.");
            return;
        }

        using PtxCompiler compiler = new(PtxTarget.Sm90a);
        PtxKernel kernel = compiler.Compile(KernelCatalogue.All.Single(info => info.Name == "WarpgroupKeyGradientKernel_Head64_PlainScores"));
        PtxKernel unfenced = kernel with { Text = kernel.Text.Replace("wgmma.fence.sync.aligned;", string.Empty, StringComparison.Ordinal) };
        Assert.NotEqual(kernel.Text, unfenced.Text);
        string folder = Directory.CreateTempSubdirectory("minivlp-gate-").FullName;
        try
        {
            AssembledKernel assembled = assembler.Assemble(unfenced, "sm_90a", folder, disassemble: false);
            Assert.True(IsSerialized(assembled), assembled.Log);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>C7510 to C7519: the assembler puts waits between wgmma instructions that were to overlap.</summary>
    private static bool IsSerialized(AssembledKernel assembled) => assembled.Log.Contains("C751", StringComparison.Ordinal);

    /// <summary>
    /// A matrix product with an activation behind it, where others stand for it. GELU, the longest, is taken behind every portable product, whose loop
    /// and epilogue share registers, and behind one product of each tile on the tensor cores.
    /// </summary>
    private static bool IsRepetition(GpuKernelInfo kernel)
        => ActivationOf(kernel) is { } activation && activation != typeof(Kernels.GpuBackend.NoActivation) && Environment.GetEnvironmentVariable("MINIVLP_PTX_GATE") != "all"
        && !(activation == typeof(Kernels.Gelu) && (kernel.Level == CudaLevel.Portable || Representatives.Value.Contains(kernel)));

    /// <summary>The activation behind a matrix product; null for other kernels.</summary>
    private static Type? ActivationOf(GpuKernelInfo kernel)
        => kernel.Type.IsGenericType && kernel.Type.GetGenericTypeDefinition().GetGenericArguments()[^1].IsDefined(typeof(EpilogueActivationsAttribute), inherit: false)
            ? kernel.Type.GetGenericArguments()[^1]
            : null;

    /// <summary>The rows of the table by the kernel's name.</summary>
    private static Dictionary<string, string> ReadTable()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "MiniVlp.sln"))) folder = Path.GetDirectoryName(folder);
        string path = Path.Combine(folder ?? throw new DirectoryNotFoundException($"No MiniVlp.sln above {AppContext.BaseDirectory}."), "docs", "kernels.md");
        return File.ReadLines(path).SkipWhile(line => !line.StartsWith("## What ptxas says", StringComparison.Ordinal)).Where(line => line.StartsWith("| ", StringComparison.Ordinal)).Skip(1)
            .ToDictionary(line => line.Split(' ')[1], StringComparer.Ordinal);
    }

    private static string WithVersion(string text, PtxTarget target)
        => text.Replace($".version {PtxTarget.Sm80.PtxVersion}\n", $".version {target.PtxVersion}\n", StringComparison.Ordinal).Replace($".version {PtxTarget.Sm90a.PtxVersion}\n", $".version {target.PtxVersion}\n", StringComparison.Ordinal);

    private static Gate Open(string architecture)
    {
        Gate gate = Gates.GetOrAdd(architecture, name => new(() => Gate.Run(PtxTarget.Parse(name)))).Value;
        Assert.SkipWhen(gate.Reason.Length > 0, gate.Reason);
        return gate;
    }

    private static void AssertNone(IEnumerable<string> failures)
    {
        string[] list = [.. failures];
        Assert.True(list.Length == 0, string.Join('\n', list));
    }

    /// <summary>
    /// The kernels of one target, assembled once: as many at a time as there are processors. For sm_90a these are all; for sm_80, which would get
    /// the same text, those alone where the generation matters.
    /// </summary>
    private sealed record Gate(string Reason, Version? Toolkit, IReadOnlyList<(GpuKernelInfo Kernel, AssembledKernel Assembled)> Kernels)
    {
        /// <summary>
        /// Kernels that both targets have, by name: but for the version of the language their text is the same (<see cref="EveryTarget_HasTheSameText"/>), and
        /// compiling takes most of the time.
        /// </summary>
        private static readonly ConcurrentDictionary<string, PtxKernel> Shared = new(StringComparer.Ordinal);

        public static Gate Run(PtxTarget target)
        {
            (PtxAssembler? assembler, string reason) = PtxAssembler.Find();
            if (assembler is null) return new Gate(reason, null, []);
            if (!assembler.Reads(target)) return new Gate($"ptxas {assembler.Version} is too old for {target}.", null, []);
            string folder = Directory.CreateTempSubdirectory("minivlp-gate-").FullName;
            try
            {
                ConcurrentBag<(GpuKernelInfo, AssembledKernel)> rows = [];
                IEnumerable<GpuKernelInfo> kernels = KernelCatalogue.All.Where(kernel => kernel.Level <= target.Level && !IsRepetition(kernel)
                    && (target == PtxTarget.Sm90a || kernel.IsHot || kernel.Level > CudaLevel.Portable));
                PtxCompiler.ForEach(
                    target, kernels,
                    (compiler, kernel) =>
                    {
                        bool disassemble = kernel.UsesTensorCores || (target == PtxTarget.Sm90a && DocumentedRows.Value.ContainsKey(kernel.Name));
                        rows.Add((kernel, assembler.Assemble(TextOf(compiler, kernel), target.Architecture, folder, disassemble)));
                    },
                    CancellationToken.None);
                return new Gate(string.Empty, assembler.Version, [.. rows.OrderBy(row => row.Item1.Name, StringComparer.Ordinal)]);
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        private static PtxKernel TextOf(PtxCompiler compiler, GpuKernelInfo kernel)
        {
            if (kernel.Level > PtxTarget.Sm80.Level) return compiler.Compile(kernel);
            PtxKernel shared = Shared.GetOrAdd(kernel.Name, _ => compiler.Compile(kernel));
            return shared with { Text = WithVersion(shared.Text, compiler.Target) };
        }
    }
}
