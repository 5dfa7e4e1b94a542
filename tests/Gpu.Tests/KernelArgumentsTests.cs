using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>The bytes of a packed parameter; its layout is checked against the PTX in <see cref="PtxCompilerTests"/>.</summary>
public sealed unsafe class KernelArgumentsTests
{
    [Fact]
    public void Values_AreWhereTheFieldsAre()
    {
        using Context context = Context.Create(builder => builder.CPU());
        using Accelerator accelerator = context.CreateCPUAccelerator(0);
        using MemoryBuffer1D<double, Stride1D.Dense> buffer = accelerator.Allocate1D<double>(10);
        PtxCompilerTests.Mixed kernel = new(7, buffer.View.BaseView.SubView(2, 5), -3, new PtxCompilerTests.Pair(11, 2.5), 13, long.MaxValue, 1.5f);
        byte* bytes = stackalloc byte[KernelArguments<PtxCompilerTests.Mixed>.Size];
        KernelArguments<PtxCompilerTests.Mixed>.Write(kernel, bytes);
        ParameterField[] fields = [.. KernelArguments<PtxCompilerTests.Mixed>.Fields];
        Assert.Equal(7, bytes[fields[0].Offset]);
        Assert.Equal(buffer.NativePtr + (2 * sizeof(double)), *(nint*)(bytes + fields[1].Offset));
        Assert.Equal(5, *(long*)(bytes + fields[2].Offset));
        Assert.Equal(-3, *(short*)(bytes + fields[3].Offset));
        Assert.Equal(11, *(int*)(bytes + fields[4].Offset));
        Assert.Equal(2.5, *(double*)(bytes + fields[5].Offset));
        Assert.Equal(13, *(int*)(bytes + fields[6].Offset));
        Assert.Equal(long.MaxValue, *(long*)(bytes + fields[7].Offset));
        Assert.Equal(1.5f, *(float*)(bytes + fields[8].Offset));
    }

    [Fact]
    public void EmptyView_IsZeros()
    {
        byte* bytes = stackalloc byte[16];
        new Span<byte>(bytes, 16).Fill(0xFF);
        KernelArguments<PtxCompilerTests.ViewAlone>.Write(default, bytes);
        Assert.Equal(-1, new ReadOnlySpan<byte>(bytes, 16).IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void Write_AllocatesNothing()
    {
        byte* bytes = stackalloc byte[KernelArguments<PtxCompilerTests.Nested>.Size];
        PtxCompilerTests.Nested kernel = default;
        KernelArguments<PtxCompilerTests.Nested>.Write(kernel, bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) KernelArguments<PtxCompilerTests.Nested>.Write(kernel, bytes);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void FieldsThatADeviceDoesNotKnow_AreRefused()
    {
        Exception exception = Assert.Throws<TypeInitializationException>(() => KernelArguments<WithBool>.Size);
        Assert.IsType<NotSupportedException>(exception.InnerException);
        Assert.Contains("Boolean", exception.InnerException.Message, StringComparison.Ordinal);
    }

    internal readonly record struct WithBool(bool Flag) : IGpuKernel
    {
        public static int GroupSize => 1;

        public void Execute()
        {
        }
    }
}
