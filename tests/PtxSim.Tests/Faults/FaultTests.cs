using System.Text.RegularExpressions;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests.Faults;

/// <summary>
/// Two real kernels, as ILGPU and the product's PTX compiler write them, are right; with one fault put into their text, each kind of fault is
/// seen: a check stops the kernel, or the numbers are wrong.
/// </summary>
public sealed partial class FaultTests
{
    private const int Rows = 128, Columns = 192, Depth = 320;
    private const string WrongNumbers = "numbers";
    private static readonly Lazy<string> Pipelined = new(() => Compile<PipelinedProduct>(PtxTarget.Sm80));
    private static readonly Lazy<string> Warpgroup = new(() => Compile<WarpgroupProduct>(PtxTarget.Sm90a));

    /// <summary>
    /// What is changed in the pipelined kernel, and what says so: a part of the message of a check, <see cref="WrongNumbers"/> where no check can
    /// know, or nothing where it depends on the order of warps which check comes first.
    /// </summary>
    private static readonly Dictionary<string, (Func<string, string> Change, string Expected)> PipelinedFaults = new(StringComparer.Ordinal)
    {
        ["wait for one group of copies less"] = (text => Replaced(text, "cp.async.wait_group 1;", "cp.async.wait_group 2;"), "in flight"),
        ["copies committed too late"] = (text => Replaced(text, "cp.async.commit_group;", string.Empty), "in flight"),
        ["no barrier"] = (text => Replaced(text, "bar.sync 0;", string.Empty), string.Empty),
        ["a barrier that one warp leaves out"] = (text => Replaced(text, "bar.sync 0;", "{ .reg .pred q; .reg .b32 t; mov.u32 t, %tid.x; setp.ge.u32 q, t, 32; @q bar.sync 0; }"), string.Empty),
        ["fragments of A swapped"] = (SwapFragments, WrongNumbers),
        ["a fragment transposed"] = (text => Replaced(text, "ldmatrix.sync.aligned.m8n8.x4.shared", "ldmatrix.sync.aligned.m8n8.x4.trans.shared"), WrongNumbers),
        ["one chunk too far in the source"] = (text => SourceOfCopy().Replace(text, "${start}+16]"), "outside of every buffer"),
        ["a source that is not aligned"] = (text => SourceOfCopy().Replace(text, "${start}+4]"), "not aligned"),
        ["a ring of another length"] = (text => Replaced(text, ", 3;", ", 5;"), string.Empty),
        ["fragments from one stage too far"] = (text => RowOfMatrices().Replace(text, $"${{start}}+{3 * 16384}]"), "outside of the"),
        ["one element too far in the result"] = (text => Store().Replace(text, "${start}+4]"), "not aligned"),
        ["one row too far in the result"] = (text => Store().Replace(text, $"${{start}}+{Columns * 4 * Rows}]"), "outside of every buffer"),
        ["lanes leave the warp before mma"] = (text => Replaced(text, "\tcp.async.wait_group 1;", "\t{ .reg .pred q; .reg .b32 t; mov.u32 t, %laneid; setp.eq.u32 q, t, 3; @q ret; }\n\tcp.async.wait_group 1;"), string.Empty),
    };

    private static readonly Dictionary<string, (Func<string, string> Change, string Expected)> WarpgroupFaults = new(StringComparer.Ordinal)
    {
        ["accumulators used before they are waited for"] = (text => WarpgroupWait().Replace(text, string.Empty), "used before wgmma.wait_group"),
        ["wait for one group of products less"] = (text => WarpgroupWait().Replace(text, "wgmma.wait_group.sync.aligned 1;"), string.Empty),
        ["stride of a descriptor halved"] = (HalveStride, string.Empty),
        ["descriptor one step of k too far"] = (text => Replaced(text, ", 6;", ", 8;"), string.Empty),
        ["operand B taken for transposed"] = (text => LastProduct().Replace(text, "0, 1;"), string.Empty),
        ["tile used before it has come"] = (text => WaitLoop(text, last: true), string.Empty),
        ["tile overwritten while it is used"] = (text => WaitLoop(text, last: false), string.Empty),
        ["too few bytes announced"] = (text => Replaced(text, "16384", "8192"), string.Empty),
        ["consumers that do not hand back"] = (text => ArrivalAtEmpty().Replace(text, string.Empty), "deadlock"),
        ["barriers used before they are initialised"] = (text => Replaced(text, "bar.sync 0;", string.Empty), "mbarrier"),
        ["bra.uni where lanes differ"] = (text => ConditionalBranch().Replace(text, "${jump}.uni"), "bra.uni on a condition that differs"),
        ["coordinates of a tile exchanged"] = (text => Coordinates().Replace(text, "{${y}, ${x}}"), WrongNumbers),
        ["tile at an address that is not aligned"] = (text => TileAddress().Replace(text, "${start}+128]"), "not aligned to 1024 bytes"),
    };

    public static TheoryData<string> PipelinedNames => [.. PipelinedFaults.Keys];

    public static TheoryData<string> WarpgroupNames => [.. WarpgroupFaults.Keys];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Kernels_are_right(int seed)
    {
        Statistics pipelined = RunPipelined(Pipelined.Value, seed, out double error);
        Assert.True(error < 1e-4, $"pipelined: {error}");
        Assert.Equal(0, pipelined.BankConflicts);
        Assert.Equal(Rows / 64 * Columns / 64 * (Depth / 16) * 4 * 8, pipelined.MatrixInstructions);
        _ = RunWarpgroup(Warpgroup.Value, seed, out error);
        Assert.True(error < 1e-4, $"warpgroup: {error}");
    }

    [Theory]
    [MemberData(nameof(PipelinedNames))]
    public void Fault_in_the_pipelined_kernel_is_seen(string name)
    {
        (Func<string, string> change, string expected) = PipelinedFaults[name];
        AssertSeen(Pipelined.Value, change, expected, RunPipelined);
    }

    [Theory]
    [MemberData(nameof(WarpgroupNames))]
    public void Fault_in_the_warpgroup_kernel_is_seen(string name)
    {
        (Func<string, string> change, string expected) = WarpgroupFaults[name];
        AssertSeen(Warpgroup.Value, change, expected, RunWarpgroup);
    }

    private delegate Statistics Runner(string text, int seed, out double error);

    private static void AssertSeen(string text, Func<string, string> change, string expected, Runner run)
    {
        string changed = change(text);
        Assert.NotEqual(text, changed);
        for (int seed = 1; seed <= 3; seed++)
        {
            double error;
            try
            {
                run(changed, seed, out error);
            }
            catch (SimulationException exception)
            {
                Assert.True(expected != WrongNumbers && exception.Message.Contains(expected, StringComparison.Ordinal), exception.Message);
                continue;
            }

            Assert.True(expected is WrongNumbers or "", $"no check fired; the error is {error}");
            Assert.False(error < 1e-2, $"the fault was not seen: error {error}");
        }
    }

    private static string Compile<TKernel>(PtxTarget target)
        where TKernel : struct, IGpuKernel
    {
        using PtxCompiler compiler = new(target);
        return compiler.Compile(GpuKernelInfo.Of<TKernel>()).Text;
    }

    private static Statistics RunPipelined(string text, int seed, out double error) => Run<PipelinedProduct>(text, seed, usesMaps: false, out error);

    private static Statistics RunWarpgroup(string text, int seed, out double error) => Run<WarpgroupProduct>(text, seed, usesMaps: true, out error);

    private static Statistics Run<TKernel>(string text, int seed, bool usesMaps, out double error)
        where TKernel : struct, IGpuKernel
    {
        SimulatedKernel kernel = SimulatedKernel.Load(text)[0];
        using GlobalMemory memory = new();
        Random random = new(seed);
        ushort[] a = Random(random, Rows * Depth), b = Random(random, Columns * Depth);
        ulong left = memory.Upload<ushort>(a), right = memory.Upload<ushort>(b), result = memory.Allocate(Rows * Columns * 4);
        if (usesMaps)
        {
            left = memory.Upload<byte>(new SimulatedTensorMap(left, 2, [Depth, Rows], [Depth * 2], [64, 64], 3).Encode());
            right = memory.Upload<byte>(new SimulatedTensorMap(right, 2, [Depth, Columns], [Depth * 2], [64, 64], 3).Encode());
        }

        byte[] arguments = new byte[56];
        BitConverter.TryWriteBytes(arguments.AsSpan(0), left);
        BitConverter.TryWriteBytes(arguments.AsSpan(16), right);
        BitConverter.TryWriteBytes(arguments.AsSpan(32), result);
        foreach (int view in new[] { 8, 24, 40 }) BitConverter.TryWriteBytes(arguments.AsSpan(view), 1L << 20);
        BitConverter.TryWriteBytes(arguments.AsSpan(48), Columns);
        BitConverter.TryWriteBytes(arguments.AsSpan(52), Depth);
        Statistics statistics = kernel.Run(memory, new KernelLaunch(new Dim3(Rows / 64, Columns / 64), new Dim3(TKernel.GroupSize), TKernel.DynamicSharedBytes, arguments), new SimulationOptions { CountsMemory = true, Seed = seed });
        float[] c = memory.Download<float>(result, Rows * Columns);
        error = 0;
        for (int row = 0; row < Rows; row++)
        {
            for (int column = 0; column < Columns; column++)
            {
                double sum = 0;
                for (int k = 0; k < Depth; k++) sum += (double)Value(a[(row * Depth) + k]) * Value(b[(column * Depth) + k]);
                double difference = Math.Abs(sum - c[(row * Columns) + column]);
                error = double.IsNaN(difference) ? double.NaN : Math.Max(error, difference);
                if (double.IsNaN(error)) return statistics;
            }
        }

        return statistics;
    }

    private static ushort[] Random(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (ushort)(BitConverter.SingleToUInt32Bits((float)random.NextDouble() - 0.5f) >> 16))];

    private static float Value(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Replaces every occurrence; there must be one.</summary>
    private static string Replaced(string text, string old, string by) => text.Contains(old, StringComparison.Ordinal) ? text.Replace(old, by, StringComparison.Ordinal) : throw new InvalidOperationException($"`{old}` does not occur in\n{text}");

    private static string SwapFragments(string text) => FragmentsOfA().Replace(text, "${start}${second},${first},", 1);

    /// <summary>The stride of a descriptor is 1024 bytes, 64 in its units, at bit 32.</summary>
    private static string HalveStride(string text)
    {
        const ulong Constant = (1ul << 62) | (64ul << 32), Halved = (1ul << 62) | (32ul << 32);
        return Replaced(text, Constant.ToString(System.Globalization.CultureInfo.InvariantCulture), Halved.ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    /// <summary>Lets the first or the last loop around a try_wait end at once.</summary>
    private static string WaitLoop(string text, bool last)
    {
        MatchCollection loops = LoopAgain().Matches(text);
        bool isConsumerFirst = text.IndexOf("wgmma.mma_async", StringComparison.Ordinal) < text.IndexOf("cp.async.bulk", StringComparison.Ordinal);
        Match loop = loops[last == isConsumerFirst ? 0 : loops.Count - 1];
        return text.Remove(loop.Index, loop.Length);
    }

    [GeneratedRegex(@"(?<start>mma\.sync[^{]*\{[^}]*\},\s*\{)(?<first>%r\d+),(?<second>%r\d+),", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex FragmentsOfA();

    [GeneratedRegex(@"(?<start>cp\.async\.cg\.shared\.global \[%r\d+\], \[%rd\d+)\]", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex SourceOfCopy();

    [GeneratedRegex(@"(?<start>ldmatrix\.[^\[]*\[%r\d+)\]", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex RowOfMatrices();

    [GeneratedRegex(@"(?<start>st\.global\.v2\.f32 \[%rd\d+)\]", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Store();

    [GeneratedRegex(@"wgmma\.wait_group\.sync\.aligned 0;", RegexOptions.None, 10_000)]
    private static partial Regex WarpgroupWait();

    [GeneratedRegex(@"0, 0;(?=\r?\n\s*wgmma\.commit)", RegexOptions.None, 10_000)]
    private static partial Regex LastProduct();

    [GeneratedRegex(@"bra W1;", RegexOptions.None, 10_000)]
    private static partial Regex LoopAgain();

    [GeneratedRegex(@"mbarrier\.arrive\.shared::cta\.b64 _, \[%r\d+\];", RegexOptions.None, 10_000)]
    private static partial Regex ArrivalAtEmpty();

    [GeneratedRegex(@"(?<jump>@!?%p\d+ bra)(?=\s)", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex ConditionalBranch();

    [GeneratedRegex(@"\{(?<x>%r\d+), (?<y>%r\d+)\}(?=\], \[)", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Coordinates();

    [GeneratedRegex(@"(?<start>complete_tx::bytes \[%r\d+)\]", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex TileAddress();
}
