using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>What lanes, warps and groups do together: divergence, shuffles, votes, barriers, shared and local memory, atomics.</summary>
public sealed class MachineTests
{
    [Fact]
    public void Lanes_that_went_different_ways_meet_again()
    {
        uint[] result = PtxProgram.Results(
            """
            mov.u32 %r1, 0; mov.u32 %r2, 0;
            LOOP:
            setp.ge.u32 %p1, %r2, %r0;
            @%p1 bra DONE;
            add.u32 %r1, %r1, %r2; add.u32 %r2, %r2, 1;
            bra LOOP;
            DONE:
            shfl.sync.bfly.b32 %r3, %r1, 1, 31, 0xffffffff;
            sub.u32 %r1, %r3, %r1;
            """,
            64);
        for (int i = 0; i < 64; i++) Assert.Equal((uint)(((i ^ 1) * ((i ^ 1) - 1) / 2) - (i * (i - 1) / 2)), result[i]);
    }

    [Theory]
    [InlineData("idx", "5, 31", "i % 32 / 32 * 32 + 5")]
    [InlineData("up", "3, 0", "up")]
    [InlineData("down", "4, 31", "down")]
    [InlineData("bfly", "6, 31", "bfly")]
    public void Shuffles_move_values_between_lanes(string mode, string operands, string kind)
    {
        uint[] result = PtxProgram.Results($"mul.lo.u32 %r2, %r0, 10; shfl.sync.{mode}.b32 %r1|%p1, %r2, {operands}, 0xffffffff; selp.u32 %r3, 1000, 0, %p1; add.u32 %r1, %r1, %r3;", 64);
        for (int i = 0; i < 64; i++)
        {
            int lane = i % 32, from = kind switch { "up" => lane - 3, "down" => lane + 4, "bfly" => lane ^ 6, _ => 5 };
            bool isValid = from is >= 0 and < 32;
            Assert.Equal((uint)((10 * (i - lane + (isValid ? from : lane))) + (isValid ? 1000 : 0)), result[i]);
        }
    }

    [Fact]
    public void Votes_and_reductions_see_all_lanes()
    {
        uint[] result = PtxProgram.Results(
            """
            setp.gt.u32 %p1, %r0, 28;
            vote.sync.ballot.b32 %r2, %p1, 0xffffffff;
            vote.sync.any.pred %p2, %p1, 0xffffffff;
            vote.sync.all.pred %p3, !%p1, 0xffffffff;
            redux.sync.add.u32 %r3, %r0, 0xffffffff;
            selp.u32 %r4, 1, 0, %p2; selp.u32 %r5, 2, 0, %p3;
            add.u32 %r1, %r2, %r3; add.u32 %r1, %r1, %r4; add.u32 %r1, %r1, %r5;
            """,
            64);
        Assert.Equal(0xe0000000u + 496 + 1, result[0]);
        Assert.Equal(1520u, result[32]); // 0xffffffff + 1520 + 1
    }

    [Fact]
    public void Barriers_order_shared_memory()
    {
        uint[] result = PtxProgram.Results(
            """
            mov.u64 %d2, tile; mul.wide.u32 %d3, %r0, 4; add.s64 %d4, %d2, %d3;
            st.shared.u32 [%d4], %r0;
            bar.sync 0;
            xor.b32 %r2, %r0, 97; mul.wide.u32 %d5, %r2, 4; add.s64 %d6, %d2, %d5; cvta.shared.u64 %d7, %d6;
            ld.u32 %r1, [%d7];
            """,
            128,
            ".shared .align 4 .b8 tile[512];");
        for (uint i = 0; i < 128; i++) Assert.Equal(i ^ 97, result[i]);
    }

    [Fact]
    public void Reducing_barriers_count_predicates()
    {
        uint[] result = PtxProgram.Results(
            """
            setp.lt.u32 %p1, %r0, 70;
            barrier.cta.red.popc.aligned.u32 %r1, 0, %p1;
            bar.red.or.pred %p2, 1, %p1;
            bar.red.and.pred %p3, 1, %p1;
            selp.u32 %r2, 1000, 0, %p2; selp.u32 %r3, 2000, 0, %p3;
            add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3;
            """,
            128);
        Assert.All(result, value => Assert.Equal(1070u, value));
    }

    [Fact]
    public void Named_barriers_order_some_warps_and_arrivals_do_not_wait()
    {
        uint[] result = PtxProgram.Results(
            """
            mov.u64 %d2, tile; setp.ge.u32 %p1, %r0, 64; mov.u32 %r1, 0;
            @%p1 bra CONSUMER;
            mul.wide.u32 %d3, %r0, 4; add.s64 %d4, %d2, %d3; st.shared.u32 [%d4], %r0;
            bar.arrive 1, 128;
            bra DONE;
            CONSUMER:
            bar.sync 1, 128;
            sub.u32 %r2, %r0, 64; mul.wide.u32 %d3, %r2, 4; add.s64 %d4, %d2, %d3; ld.shared.u32 %r1, [%d4];
            DONE:
            """,
            128,
            ".shared .align 4 .b8 tile[256];");
        for (uint i = 64; i < 128; i++) Assert.Equal(i - 64, result[i]);
    }

    [Fact]
    public void Local_memory_belongs_to_a_thread()
    {
        uint[] result = PtxProgram.Results(
            """
            mov.u64 %d2, stack; cvta.local.u64 %d3, %d2;
            st.local.u32 [%d2+8], %r0; st.u32 [%d3+4], 5;
            ld.u32 %r2, [%d3+8]; ld.local.u32 %r3, [%d2+4];
            add.u32 %r1, %r2, %r3;
            """,
            64,
            ".local .align 8 .b8 stack[16];");
        for (uint i = 0; i < 64; i++) Assert.Equal(i + 5, result[i]);
    }

    [Fact]
    public void Atomics_lose_nothing()
    {
        using GlobalMemory memory = new();
        ulong sum = memory.Upload<uint>([0, 0, uint.MaxValue, 0]);
        SimulatedKernel kernel = PtxProgram.Kernel(
            """
            mov.u64 %d2, count;
            setp.eq.u32 %p1, %r0, 0;
            @%p1 st.shared.u32 [%d2], 0;
            bar.sync 0;
            atom.shared.add.u32 %r2, [%d2], 1;
            red.global.add.u32 [%d0], %r0;
            cvt.rn.f32.u32 %f1, %r0;
            atom.global.add.f32 %f2, [%d0+4], 0f3F800000;
            atom.global.min.u32 %r3, [%d0+8], %r0;
            RETRY:
            ld.global.u32 %r4, [%d0+12]; add.u32 %r5, %r4, 2; atom.global.cas.b32 %r6, [%d0+12], %r4, %r5;
            setp.ne.u32 %p2, %r6, %r4;
            @%p2 bra RETRY;
            bar.sync 0;
            ld.shared.u32 %r7, [%d2];
            setp.ne.u32 %p3, %r7, 96;
            @%p3 trap;
            """,
            1,
            ".shared .align 4 .b8 count[4];");
        kernel.Run(memory, 96, [sum], groups: 3);
        uint[] result = memory.Download<uint>(sum, 4);
        Assert.Equal(3u * 96 * 95 / 2, result[0]);
        Assert.Equal(3f * 96, BitConverter.UInt32BitsToSingle(result[1]));
        Assert.Equal(0u, result[2]);
        Assert.Equal(3u * 96 * 2, result[3]);
    }

    [Fact]
    public void Groups_run_side_by_side_and_give_what_one_thread_gives()
    {
        string body = "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x; mad.lo.u32 %r1, %r2, %r3, %r0;";
        uint[] one = PtxProgram.Results(body, 40, groups: 7, options: new SimulationOptions { Threads = 1 });
        Assert.Equal(one, PtxProgram.Results(body, 40, groups: 7, options: new SimulationOptions { Threads = 3 }));
        for (int i = 0; i < one.Length; i++) Assert.Equal((uint)((i / 40 * 7) + (i % 40)), one[i]);
    }

    [Fact]
    public void Clusters_meet_at_their_barrier()
    {
        using GlobalMemory memory = new();
        ulong to = memory.Allocate(4 * 4);
        SimulatedKernel kernel = SimulatedKernel.Load(
            """
            .version 8.4
            .target sm_90a
            .visible .entry test(.param .b64 x) .reqnctapercluster 2, 1, 1 {
            .reg .b32 %r<8>; .reg .b64 %d<8>; .reg .pred %p<2>;
            ld.param.u64 %d0, [x]; mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %ctaid.x; mul.wide.u32 %d1, %r2, 4; add.s64 %d2, %d0, %d1;
            add.u32 %r3, %r1, 10; st.global.u32 [%d2], %r3;
            barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
            xor.b32 %r4, %r2, 1; mul.wide.u32 %d1, %r4, 4; add.s64 %d3, %d0, %d1; ld.global.u32 %r5, [%d3];
            barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
            mul.lo.u32 %r5, %r5, 100; st.global.u32 [%d2], %r5;
            ret; }
            """)[0];
        kernel.Run(memory, 64, [to], groups: 4);
        Assert.Equal([1100u, 1000u, 1100u, 1000u], memory.Download<uint>(to, 4));
    }

    [Fact]
    public void Memory_traffic_is_counted()
    {
        using GlobalMemory memory = new();
        ulong to = memory.Allocate(32 * 4 * 32);
        SimulationOptions options = new() { CountsMemory = true };
        string store = "mov.u64 %d2, tile; mul.wide.u32 %d3, %r0, {0}; add.s64 %d4, %d2, %d3; st.shared.u32 [%d4], %r0; mul.wide.u32 %d5, %r0, {0}; add.s64 %d6, %d0, %d5; st.global.u32 [%d6], %r0;";
        Statistics dense = PtxProgram.Kernel(store.Replace("{0}", "4", StringComparison.Ordinal), 1, ".shared .align 4 .b8 tile[4096];").Run(memory, 32, [to], options: options);
        Statistics strided = PtxProgram.Kernel(store.Replace("{0}", "128", StringComparison.Ordinal), 1, ".shared .align 4 .b8 tile[4096];").Run(memory, 32, [to], options: options);
        Assert.Equal((1, 0, 1, 4), (dense.SharedRequests, dense.BankConflicts, dense.GlobalRequests, dense.GlobalSectors));
        Assert.Equal((31, 32), (strided.BankConflicts, strided.GlobalSectors));
    }
}
