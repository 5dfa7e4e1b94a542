using System.Collections.Concurrent;
using MiniVlp.Cli.KernelReports;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>
/// NVIDIA's own assembler on every kernel: it needs no GPU, and what it says about registers and instructions is what a GPU will get. Skipped,
/// with the reason, where ptxas is not here or too old.
/// </summary>
public sealed class PtxGateTests
{
    private static readonly ConcurrentDictionary<string, Lazy<Gate>> Gates = new(StringComparer.Ordinal);

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

    /// <summary>C7510 to C7519: the assembler puts waits between wgmma instructions that were to overlap.</summary>
    [Theory]
    [MemberData(nameof(Architectures))]
    public void WarpgroupProducts_AreNotSerialized(string architecture)
        => AssertNone(Open(architecture).Kernels.Where(row => row.Assembled.Log.Contains("C751", StringComparison.Ordinal)).Select(row => $"{row.Kernel}: {row.Assembled.Log}"));

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

    /// <summary>The gate must be able to fail: a wrong instruction is seen, and registers that run out are counted.</summary>
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
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A matrix product with another activation behind it; MINIVLP_PTX_GATE=all takes these too.</summary>
    private static bool IsRepetition(GpuKernelInfo kernel)
        => kernel.Type.IsGenericType && kernel.Type.GetGenericTypeDefinition().GetGenericArguments()[^1].IsDefined(typeof(EpilogueActivationsAttribute), inherit: false)
        && kernel.Type.GetGenericArguments()[^1] != typeof(Kernels.GpuBackend.NoActivation) && Environment.GetEnvironmentVariable("MINIVLP_PTX_GATE") != "all";

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
    private sealed record Gate(string Reason, IReadOnlyList<(GpuKernelInfo Kernel, AssembledKernel Assembled)> Kernels)
    {
        public static Gate Run(PtxTarget target)
        {
            (PtxAssembler? assembler, string reason) = PtxAssembler.Find();
            if (assembler is null) return new Gate(reason, []);
            if (!assembler.Reads(target)) return new Gate($"ptxas {assembler.Version} is too old for {target}.", []);
            using PtxCompiler compiler = new(target);
            string folder = Directory.CreateTempSubdirectory("minivlp-gate-").FullName;
            try
            {
                ConcurrentBag<(GpuKernelInfo, AssembledKernel)> rows = [];
                IEnumerable<GpuKernelInfo> kernels = KernelCatalogue.All.Where(kernel => kernel.Level <= target.Level && !IsRepetition(kernel)
                    && (target == PtxTarget.Sm90a || kernel.IsHot || kernel.Level > CudaLevel.Portable));
                Parallel.ForEach(kernels, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, kernel =>
                    rows.Add((kernel, assembler.Assemble(compiler.Compile(kernel), target.Architecture, folder, disassemble: kernel.UsesTensorCores))));
                return new Gate(string.Empty, [.. rows.OrderBy(row => row.Item1.Name, StringComparer.Ordinal)]);
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }
}
