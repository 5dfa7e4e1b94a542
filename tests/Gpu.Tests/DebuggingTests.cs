using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.IR.Intrinsics;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>
/// What docs/debugging.md promises: on ILGPU's CPU accelerator the very methods of a kernel run, with their source lines, so that a breakpoint in
/// one of them is reached, and each thread of a group is a thread of .NET.
/// </summary>
public sealed class DebuggingTests
{
    private static readonly ConcurrentBag<(string? File, int Line, string Method, int Thread)> Seen = [];

    [Fact]
    public void A_kernel_runs_as_the_method_that_was_written()
    {
        using GpuBackend backend = GpuBackend.CreateIlgpuCpu();
        DeviceBuffer buffer = backend.Rent(WatchedKernel.GroupSize);
        backend.Launch(new WatchedKernel(GpuBackend.Output(buffer)), 1);
        float[] values = new float[WatchedKernel.GroupSize];
        backend.Download(buffer, values);
        backend.Return(buffer);

        Assert.Equal(Enumerable.Range(0, WatchedKernel.GroupSize).Select(i => (float)i), values);
        Assert.Equal(WatchedKernel.GroupSize, Seen.Select(frame => frame.Thread).Distinct().Count());
        Assert.All(Seen, frame => Assert.Equal((nameof(WatchedKernel.Execute), nameof(DebuggingTests) + ".cs"), (frame.Method, Path.GetFileName(frame.File))));
        Assert.All(Seen, frame => Assert.InRange(frame.Line, 1, 1000));
    }

    internal readonly record struct WatchedKernel(ArrayView<float> X) : IGpuKernel
    {
        public static int GroupSize => 4;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Execute()
        {
            X[Group.IdxX] = Group.IdxX;
            Group.Barrier();
            Watch();
        }

        /// <summary>Stands for a breakpoint; on other devices ILGPU would ask for an implementation.</summary>
        [IntrinsicImplementation]
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Watch()
        {
            StackFrame caller = new StackTrace(fNeedFileInfo: true).GetFrame(1)!;
            Seen.Add((caller.GetFileName(), caller.GetFileLineNumber(), caller.GetMethod()!.Name, Environment.CurrentManagedThreadId));
        }
    }
}
