using MiniVlp.PtxSim.Machine;

namespace MiniVlp.PtxSim.Tests;

/// <summary>Small kernels for tests, and the launch of them.</summary>
internal static class PtxProgram
{
    /// <summary>Registers of each kind that a body may use: %p predicates, %h of 16, %r of 32, %d of 64 bits, %f and %e floats.</summary>
    private const string Registers = """
            .reg .pred %p<16>;
            .reg .b16 %h<16>;
            .reg .b32 %r<64>;
            .reg .b64 %d<32>;
            .reg .f32 %f<64>;
            .reg .f64 %e<16>;
        """;

    /// <summary>A module with one kernel, whose parameters are the addresses <c>x0</c>, <c>x1</c>, ... in %d0, %d1, ..., and the thread in %r0.</summary>
    public static SimulatedKernel Kernel(string body, int parameters, string declarations = "", string target = "sm_90a")
    {
        IEnumerable<string> list = Enumerable.Range(0, parameters).Select(i => $".param .b64 x{i}");
        IEnumerable<string> loads = Enumerable.Range(0, parameters).Select(i => $"ld.param.u64 %d{i}, [x{i}];");
        return SimulatedKernel.Load($$"""
            .version 8.4
            .target {{target}}
            .address_size 64
            .extern .shared .align 1024 .b8 dynamic[];
            .visible .entry test({{string.Join(", ", list)}})
            {
            {{Registers}}
            {{declarations}}
            mov.u32 %r0, %tid.x;
            {{string.Join('\n', loads)}}
            {{body}}
            ret;
            }
            """)[0];
    }

    /// <summary>Runs a kernel whose parameters are addresses.</summary>
    public static Statistics Run(this SimulatedKernel kernel, GlobalMemory memory, int threads, ulong[] addresses, int groups = 1, int dynamicShared = 0, SimulationOptions? options = null)
    {
        byte[] arguments = new byte[addresses.Length * 8];
        Buffer.BlockCopy(addresses, 0, arguments, 0, arguments.Length);
        return kernel.Run(memory, new KernelLaunch(new Dim3(groups), new Dim3(threads), dynamicShared, arguments), options);
    }

    /// <summary>Runs a kernel that writes 32 bits for each thread to its one parameter.</summary>
    public static uint[] Results(string body, int threads, string declarations = "", int groups = 1, int dynamicShared = 0, SimulationOptions? options = null)
    {
        using GlobalMemory memory = new();
        ulong result = memory.Allocate(threads * groups * 4);
        string store = groups > 1 ? "mov.u32 %r61, %ctaid.x; mov.u32 %r62, %ntid.x; mad.lo.u32 %r63, %r61, %r62, %r0; mul.wide.u32 %d31, %r63, 4;" : "mul.wide.u32 %d31, %r0, 4;";
        Kernel($"{body}\n{store} add.s64 %d31, %d31, %d0; st.global.u32 [%d31], %r1;", 1, declarations).Run(memory, threads, [result], groups, dynamicShared, options);
        return memory.Download<uint>(result, threads * groups);
    }
}
