using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>Each check fires on a kernel that does what it forbids, and says where.</summary>
public sealed class CheckTests
{
    private const string Tile = ".shared .align 16 .b8 tile[512];";
    private const string Own = "mov.u64 %d2, tile; mul.wide.u32 %d3, %r0, 4; add.s64 %d4, %d2, %d3; xor.b32 %r2, %r0, 32; mul.wide.u32 %d5, %r2, 4; add.s64 %d6, %d2, %d5;";

    [Theory]
    [InlineData("ld.global.u32 %r1, [%d0+256];", "256 from its start", "outside of every buffer")]
    [InlineData("ld.global.u32 %r1, [%d0-4];", "-4 from its start", "outside of every buffer")]
    [InlineData("ld.global.v2.u32 {%r1, %r2}, [%d0+4];", "8 bytes at global address", "not aligned")]
    [InlineData("mov.u64 %d2, tile; st.shared.u32 [%d2+512], %r0;", "outside of the 512 bytes", "shared address 512")]
    [InlineData("mov.u64 %d2, tile; st.shared.u32 [%d2+2], %r0;", "not aligned", "shared address 2")]
    [InlineData("mov.u64 %d2, tile; ld.shared.u32 %r1, [%d2+12];", "nothing was ever written", "tile+12")]
    [InlineData("mov.u64 %d2, stack; st.local.u32 [%d2+8], %r0;", "local address 8", "outside of the 8 bytes")]
    [InlineData("ld.param.u64 %d2, [x0+8];", "at offset 8 of the parameters", "8 bytes")]
    [InlineData("setp.lt.u32 %p1, %r0, 3; @%p1 bra.uni NEXT; mov.u32 %r1, 1; NEXT:", "bra.uni on a condition that differs", "00000007")]
    [InlineData("setp.lt.u32 %p1, %r0, 3; @%p1 bra NEXT; bar.sync 0; bra END; NEXT: bar.sync 0; END:", "lanes of one warp wait for each other", "bar.sync")]
    [InlineData("setp.lt.u32 %p1, %r0, 3; @%p1 shfl.sync.idx.b32 %r1, %r0, 9, 31, 0xffffffff;", "takes a value from lane 9", "lane 0")]
    [InlineData("setp.lt.u32 %p1, %r0, 32; @%p1 bar.sync 1, 64;", "deadlock", "at barrier 1")]
    [InlineData("setp.lt.u32 %p1, %r0, 9; @%p1 mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, {%r5,%r6}, {%f1,%f2,%f3,%f4};", "all 32 must run together", "000001ff")]
    [InlineData("trap;", "trap", "line ")]
    public void Fault_is_reported_with_its_place(string body, string expected, string detail)
    {
        using GlobalMemory memory = new();
        ulong buffer = memory.Allocate(256);
        SimulatedKernel kernel = PtxProgram.Kernel(body, 1, $"{Tile} .local .align 8 .b8 stack[8];");
        SimulationException exception = Assert.Throws<SimulationException>(() => kernel.Run(memory, 64, [buffer]));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Contains(detail, exception.Message, StringComparison.Ordinal);
        Assert.Contains("test", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("st.shared.u32 [%d4], %r0; {0} ld.shared.u32 %r1, [%d6];")]
    [InlineData("st.shared.u32 [%d4], %r0; bar.sync 0; ld.shared.u32 %r1, [%d6]; {0} st.shared.u32 [%d4], %r1;")]
    [InlineData("st.shared.u32 [%d4], %r0; {0} st.shared.u32 [%d6], %r0;")]
    public void Unordered_accesses_of_two_warps_are_a_race(string body)
    {
        _ = PtxProgram.Results(Own + body.Replace("{0}", "bar.sync 0;", StringComparison.Ordinal), 64, Tile);
        for (int seed = 1; seed <= 5; seed++) AssertRace(Own + body.Replace("{0}", string.Empty, StringComparison.Ordinal), 64, seed);
    }

    [Fact]
    public void A_barrier_of_two_warps_orders_no_third()
    {
        string body = Own + """
            setp.lt.u32 %p1, %r0, 64;
            st.shared.u32 [%d4], %r0;
            @%p1 bar.sync 1, 64;
            ld.shared.u32 %r1, [tile];
            """;
        _ = PtxProgram.Results(body, 64, Tile);
        for (int seed = 1; seed <= 5; seed++) AssertRace(body, 96, seed);
    }

    /// <summary>Whichever warp comes first; which reads nothing that is written then, so that this is no error here.</summary>
    private static void AssertRace(string body, int threads, int seed)
    {
        SimulationOptions options = new() { Seed = seed, ChecksUnwritten = false };
        SimulationException exception = Assert.Throws<SimulationException>(() => PtxProgram.Results(body, threads, Tile, options: options));
        Assert.Contains("race: ", exception.Message, StringComparison.Ordinal);
        Assert.Contains("no barrier between", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cp.async.commit_group; cp.async.wait_group 0; bar.sync 0;", "")]
    [InlineData("cp.async.commit_group; cp.async.wait_group 1; bar.sync 0;", "copy into it is in flight")]
    [InlineData("cp.async.wait_group 0; bar.sync 0;", "copy into it is in flight")]
    [InlineData("cp.async.wait_all; bar.sync 0;", "")]
    [InlineData("cp.async.commit_group; cp.async.wait_group 0;", "")]
    public void Copies_must_be_waited_for(string wait, string expected)
    {
        using GlobalMemory memory = new();
        ulong from = memory.Upload<uint>([.. Enumerable.Range(0, 128).Select(i => (uint)i * 3)]), to = memory.Allocate(512);
        SimulatedKernel kernel = PtxProgram.Kernel(
            $"mov.u64 %d2, tile; mul.wide.u32 %d3, %r0, 16; add.s64 %d4, %d2, %d3; add.s64 %d5, %d0, %d3; cp.async.cg.shared.global [%d4], [%d5], 16;\n{wait}\nld.shared.u32 %r1, [%d4+4]; add.s64 %d6, %d1, %d3; st.global.u32 [%d6], %r1;",
            2,
            Tile);
        void Run() => kernel.Run(memory, 32, [from, to]);
        if (expected.Length == 0)
        {
            Run();
            uint[] result = memory.Download<uint>(to, 128);
            for (int i = 0; i < 32; i++) Assert.Equal((uint)((i * 4) + 1) * 3, result[i * 4]);
        }
        else
        {
            Assert.Contains(expected, Assert.Throws<SimulationException>(Run).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("fence.proxy.async.shared::cta; bar.sync 0;", "")]
    [InlineData("bar.sync 0; fence.proxy.async.shared::cta;", "")]
    [InlineData("bar.sync 0;", "with no fence.proxy.async between")]
    [InlineData("fence.proxy.async.shared::cta;", "race: ")]
    public void Operands_that_threads_wrote_must_be_shown_to_wgmma(string fence, string expected)
    {
        string body = $$"""
            mov.u64 %d10, dynamic; cvt.u32.u64 %r10, %d10; shl.b32 %r11, %r0, 6; add.u32 %r11, %r11, %r10; mov.u32 %r12, 0x3F803F80;
            st.shared.v4.u32 [%r11], {%r12, %r12, %r12, %r12}; st.shared.v4.u32 [%r11+16], {%r12, %r12, %r12, %r12};
            st.shared.v4.u32 [%r11+32], {%r12, %r12, %r12, %r12}; st.shared.v4.u32 [%r11+48], {%r12, %r12, %r12, %r12};
            setp.lt.u32 %p1, %r0, 64; shl.b32 %r13, %r0, 4; add.u32 %r13, %r13, %r10;
            @%p1 st.shared.v4.u32 [%r13+8192], {%r12, %r12, %r12, %r12};
            {{fence}}
            mov.f32 %f1, 0f00000000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
            cvt.u64.u32 %d11, %r10; shr.u64 %d11, %d11, 4; or.b64 %d11, %d11, 0x4000004000000000; add.u64 %d13, %d11, 512;
            wgmma.fence.sync.aligned;
            wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4}, %d11, %d13, 1, 1, 1, 0, 0;
            wgmma.commit_group.sync.aligned;
            wgmma.wait_group.sync.aligned 0;
            cvt.rzi.u32.f32 %r1, %f1;
            """;
        SimulationOptions options = new() { ChecksUnwritten = false };
        if (expected.Length == 0) Assert.All(PtxProgram.Results(body, 128, dynamicShared: 9216, options: options), sum => Assert.Equal(16u, sum));
        else Assert.Contains(expected, Assert.Throws<SimulationException>(() => PtxProgram.Results(body, 128, dynamicShared: 9216, options: options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Copies_fill_with_zeros_what_they_do_not_read()
    {
        using GlobalMemory memory = new();
        ulong from = memory.Upload<uint>([1, 2, 3]);
        uint[] actual = new uint[4];
        for (int i = 0; i < 4; i++)
        {
            ulong to = memory.Allocate(4);
            SimulatedKernel kernel = PtxProgram.Kernel($"mov.u64 %d2, tile; mov.u32 %r2, 12; cp.async.cg.shared.global [%d2], [%d0], 16, %r2; cp.async.wait_all; ld.shared.u32 %r1, [%d2+{i * 4}]; st.global.u32 [%d1], %r1;", 2, Tile);
            kernel.Run(memory, 1, [from, to]);
            actual[i] = memory.Download<uint>(to, 1)[0];
        }

        Assert.Equal([1u, 2u, 3u, 0u], actual);
    }
}
