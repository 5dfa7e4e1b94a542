using System.Runtime.InteropServices;
using ILGPU.Runtime.Cuda;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu.Cuda;
using MiniVlp.PtxSim.Driver;
using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>The stand-in driver as a program calls it: through the native library, under the driver's names.</summary>
[Collection(nameof(StandInDriver))]
public sealed unsafe partial class DriverTests : IDisposable
{
    private const string Add = """
        .version 8.0
        .target sm_80
        .address_size 64
        .visible .entry add(.param .align 8 .b8 view[16], .param .b32 value, .param .b64 wide) {
        .reg .b32 %r<8>; .reg .b64 %d<8>;
        ld.param.u64 %d0, [view]; ld.param.u32 %r1, [value]; ld.param.u64 %d1, [wide];
        mov.u32 %r2, %tid.x; mul.wide.u32 %d2, %r2, 4; add.s64 %d3, %d0, %d2;
        ld.global.u32 %r3, [%d3]; add.u32 %r3, %r3, %r1; cvt.u32.u64 %r4, %d1; add.u32 %r3, %r3, %r4; st.global.u32 [%d3], %r3;
        ret; }
        """;

    public DriverTests()
    {
        SimulatedDevice.RequireDriver(typeof(DriverTests).Assembly);
    }

    public void Dispose()
    {
        StandInDriver.MemoryLimit = 80L << 30;
        StandInDriver.ComputeCapability = (9, 0);
    }

    [Fact]
    public void Arguments_come_one_by_one_or_in_one_buffer()
    {
        (nint function, ulong memory) = Prepare();
        int value = 5;
        long wide = 100;
        ulong* view = stackalloc ulong[2] { memory, 4 };
        void** parameters = stackalloc void*[3] { view, &value, &wide };
        Check(cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 0, 0, parameters, null));
        Assert.Equal([105u, 106u, 107u, 108u], Read(memory));

        byte* packed = stackalloc byte[32];
        *(ulong*)packed = memory;
        *(int*)(packed + 16) = 1;
        *(long*)(packed + 24) = 10;
        nint size = 32;
        void** extra = stackalloc void*[5] { (void*)1, packed, (void*)2, &size, null };
        Check(cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 0, 0, null, extra));
        Assert.Equal([116u, 117u, 118u, 119u], Read(memory));
        size = 24;
        Assert.Equal(1, cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 0, 0, null, extra));
        Assert.Contains("24 bytes of arguments for 32", StandInDriver.LastFailure, StringComparison.Ordinal);
        Check(cuMemFree_v2(memory));
    }

    [Fact]
    public void A_captured_stream_becomes_a_graph_that_does_its_work_again()
    {
        (nint function, ulong memory) = Prepare();
        Check(cuStreamCreate(out nint stream, 0));
        long wide = 0;
        int value = 1;
        ulong* view = stackalloc ulong[2] { memory, 4 };
        void** parameters = stackalloc void*[3] { view, &value, &wide };
        Check(CudaDriver.BeginCapture(stream, CudaDriver.CaptureMode.ThreadLocal));
        Check(cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 0, stream, parameters, null));
        value = 20; // the argument was taken with the launch
        Check(cuLaunchKernel(function, 1, 1, 1, 2, 1, 1, 0, stream, parameters, null));
        Check(CudaDriver.EndCapture(stream, out nint graph));
        Assert.Equal([0u, 1u, 2u, 3u], Read(memory));
        Check(CudaDriver.InstantiateGraph(out nint executable, graph, 0));
        Check(CudaDriver.LaunchGraph(executable, stream));
        Check(CudaDriver.LaunchGraph(executable, stream));
        Assert.Equal([42u, 43u, 4u, 5u], Read(memory));

        Check(CudaDriver.BeginCapture(stream, CudaDriver.CaptureMode.ThreadLocal));
        Check(cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 0, stream, parameters, null));
        Check(CudaDriver.EndCapture(stream, out nint shorter));
        CudaDriver.GraphUpdateResult result = default;
        Assert.NotEqual(0, CudaDriver.UpdateGraph(executable, shorter, &result));
        Check(CudaDriver.DestroyExecutableGraph(executable));
        Check(CudaDriver.DestroyGraph(graph));
        Assert.Equal(400, CudaDriver.LaunchGraph(executable, stream));
        Check(cuMemFree_v2(memory));
    }

    [Fact]
    public void Memory_runs_out_at_its_limit()
    {
        StandInDriver.MemoryLimit = StandInDriver.AllocatedBytes + 1000;
        Check(cuMemAlloc_v2(out ulong first, 600));
        Assert.Equal(2, cuMemAlloc_v2(out _, 600));
        Check(cuMemFree_v2(first));
        Check(cuMemAlloc_v2(out first, 600));
        Check(cuMemFree_v2(first));
        Assert.Equal(1, cuMemFree_v2(first));
    }

    [Fact]
    public void A_device_without_memory_is_an_error_with_sizes()
    {
        using GpuBackend backend = GpuBackend.CreateCuda();
        StandInDriver.MemoryLimit = StandInDriver.AllocatedBytes + (1 << 20);
        Assert.Equal(
            "4 MiB were asked for; 0 bytes are in use, and the 0 bytes that were cached are given back.",
            Assert.ThrowsAny<InsufficientMemoryException>(() => backend.Rent(1 << 20)).Message);
    }

    [Fact]
    public void Faults_reach_the_caller_with_the_message_of_the_simulator()
    {
        (nint function, ulong memory) = Prepare();
        int value = 5;
        long wide = 100;
        ulong* view = stackalloc ulong[2] { memory, 4 };
        void** parameters = stackalloc void*[3] { view, &value, &wide };
        Assert.Equal(719, cuLaunchKernel(function, 1, 1, 1, 5, 1, 1, 0, 0, parameters, null));
        Assert.Contains("add, line 8, group (0, 0, 0), thread 4: 4 bytes at global address", StandInDriver.LastFailure, StringComparison.Ordinal);
        Assert.Contains("(the nearest buffer has 16 bytes from", StandInDriver.LastFailure, StringComparison.Ordinal);
        Assert.Equal(StandInDriver.LastFailure, CudaAPI.CurrentAPI.GetErrorString((CudaError)719));
        Check(cuMemFree_v2(memory));
    }

    [Fact]
    public void Dynamic_shared_memory_above_48_KiB_must_be_asked_for()
    {
        (nint function, ulong memory) = Prepare();
        int value = 5;
        long wide = 100;
        ulong* view = stackalloc ulong[2] { memory, 4 };
        void** parameters = stackalloc void*[3] { view, &value, &wide };
        Assert.Equal(1, cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 100_000, 0, parameters, null));
        Assert.Contains("cuFuncSetAttribute", StandInDriver.LastFailure, StringComparison.Ordinal);
        Assert.Equal(1, CudaDriver.SetFunctionAttribute(function, CudaDriver.MaxDynamicSharedBytes, 240_000));
        Check(CudaDriver.SetFunctionAttribute(function, CudaDriver.MaxDynamicSharedBytes, 100_000));
        Check(cuLaunchKernel(function, 1, 1, 1, 4, 1, 1, 100_000, 0, parameters, null));
        Check(cuMemFree_v2(memory));
    }

    [Fact]
    public void A_module_that_is_wrong_fails_with_a_log()
    {
        byte[] image = System.Text.Encoding.UTF8.GetBytes(Add.Replace("add.u32 %r3, %r3, %r1", "foo.u32 %r3, %r3, %r1", StringComparison.Ordinal) + "\0"), log = new byte[200];
        fixed (byte* text = image, buffer = log)
        {
            CudaDriver.JitOption* options = stackalloc CudaDriver.JitOption[2] { CudaDriver.JitOption.ErrorLogBuffer, CudaDriver.JitOption.ErrorLogBufferBytes };
            void** values = stackalloc void*[2] { buffer, (void*)200 };
            Assert.Equal(218, CudaDriver.LoadModule(out _, text, 2, options, values));
            Assert.Contains("add, line 8: foo is not modelled", Marshal.PtrToStringUTF8((nint)buffer), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(64, 3, 16L, true)]
    [InlineData(72, 3, 16L, false)]
    [InlineData(300, 0, 16L, false)]
    [InlineData(64, 3, 8L, false)]
    public void Tensor_maps_are_held_to_the_rules_of_the_driver(int box, int swizzle, long stride, bool isValid)
    {
        Check(cuMemAlloc_v2(out ulong memory, 1 << 16));
        byte* map = (byte*)NativeMemory.AlignedAlloc(128, 64);
        ulong* sizes = stackalloc ulong[2] { 100, 10 };
        ulong bytes = (ulong)stride * 13;
        uint* boxes = stackalloc uint[2] { (uint)box, 8 }, elements = stackalloc uint[2] { 1, 1 };
        Assert.Equal(isValid ? 0 : 1, CudaDriver.EncodeTensorMap(map, 9, 2, (nint)memory, sizes, &bytes, boxes, elements, 0, swizzle, 0, 0));
        if (isValid) Assert.Equal(box * 8 * 2, SimulatedTensorMap.Decode(new ReadOnlySpan<byte>(map, 128)).BoxBytes);
        NativeMemory.AlignedFree(map);
        Check(cuMemFree_v2(memory));
    }

    [Theory]
    [InlineData(8, 0)]
    [InlineData(9, 0)]
    public void The_device_has_the_compute_capability_that_a_test_chooses(int major, int minor)
    {
        StandInDriver.ComputeCapability = (major, minor);
        using GpuBackend backend = GpuBackend.CreateCuda();
        Assert.Contains($"{major}.{minor}", backend.DeviceName, StringComparison.Ordinal);
        DeviceBuffer buffer = backend.Rent(100);
        backend.Fill(buffer, 3);
        float[] values = new float[100];
        backend.Download(buffer, values);
        Assert.All(values, value => Assert.Equal(3f, value));
        backend.Return(buffer);
    }

    private static (nint Function, ulong Memory) Prepare()
    {
        byte[] image = System.Text.Encoding.UTF8.GetBytes(Add + "\0");
        nint module;
        fixed (byte* text = image) Check(CudaDriver.LoadModule(out module, text, 0, null, null));
        Check(cuModuleGetFunction(out nint function, module, "add"));
        Check(cuMemAlloc_v2(out ulong memory, 16));
        uint* values = stackalloc uint[4] { 0, 1, 2, 3 };
        Check(cuMemcpy(memory, (ulong)values, 16));
        return (function, memory);
    }

    private static uint[] Read(ulong memory)
    {
        uint[] values = new uint[4];
        fixed (uint* to = values) Check(cuMemcpy((ulong)to, memory, 16));
        return values;
    }

    private static void Check(int result) => Assert.True(result == 0, $"{result}: {StandInDriver.LastFailure}");

    [LibraryImport("cuda")]
    private static partial int cuModuleGetFunction(out nint function, nint module, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

    [LibraryImport("cuda")]
    private static partial int cuLaunchKernel(nint function, int groupsX, int groupsY, int groupsZ, int threadsX, int threadsY, int threadsZ, int dynamicShared, nint stream, void** parameters, void** extra);

    [LibraryImport("cuda")]
    private static partial int cuMemAlloc_v2(out ulong address, nuint bytes);

    [LibraryImport("cuda")]
    private static partial int cuMemFree_v2(ulong address);

    [LibraryImport("cuda")]
    private static partial int cuMemcpy(ulong destination, ulong source, nuint bytes);

    [LibraryImport("cuda")]
    private static partial int cuStreamCreate(out nint stream, uint flags);
}
