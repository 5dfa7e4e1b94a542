using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>A kernel as PTX.</summary>
/// <param name="Name">Name of its entry point.</param>
/// <param name="Text">One module with that entry point, ready for the driver or for ptxas.</param>
internal sealed record PtxKernel(string Name, string Text);

/// <summary>
/// Compiles kernels to PTX by ILGPU, without a device or a driver, and mends the text (<see cref="PtxText"/>). The text depends on the kernel
/// and the target alone, not on what was compiled before, so it can be kept in a file.
/// </summary>
internal sealed class PtxCompiler : IDisposable
{
    private readonly Lock _lock = new();
    private Pipeline? _optimized, _ordered;

    /// <summary>A compiler for one target.</summary>
    public PtxCompiler(PtxTarget target) => Target = target;

    /// <summary>What the PTX is for.</summary>
    public PtxTarget Target { get; }

    /// <summary>Compiles one kernel.</summary>
    /// <exception cref="NotSupportedException">The kernel is for another generation of devices, or ILGPU cannot compile it.</exception>
    public PtxKernel Compile(GpuKernelInfo kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        if (kernel.Level > Target.Level) throw new NotSupportedException($"{kernel} needs {kernel.Level}; the target is {Target}.");
        lock (_lock)
        {
            // Two contexts, since the level of optimization belongs to the context.
            ref Pipeline? pipeline = ref kernel.KeepsOrder ? ref _ordered : ref _optimized;
            pipeline ??= new Pipeline(Target, kernel.KeepsOrder ? OptimizationLevel.O1 : OptimizationLevel.O2);
            try
            {
                return new PtxKernel(kernel.Name, PtxText.Clean(pipeline.Compile(kernel), kernel, Target));
            }
            catch (Exception exception)
            {
                // A failure leaves an ILGPU context that fails on every later kernel.
                pipeline.Dispose();
                pipeline = null;
                throw new NotSupportedException($"ILGPU cannot compile {kernel}: {Innermost(exception).Message}", exception);
            }
        }
    }

    /// <summary>Does something with every kernel and a compiler for it, on all processors: each has a compiler of its own, as one compiles one kernel at a time.</summary>
    /// <param name="target">What the PTX is for.</param>
    /// <param name="kernels">The kernels.</param>
    /// <param name="body">What is done; it is called by several threads at once.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public static void ForEach(PtxTarget target, IEnumerable<GpuKernelInfo> kernels, Action<PtxCompiler, GpuKernelInfo> body, CancellationToken cancellation)
    {
        ConcurrentBag<PtxCompiler> idle = [];
        try
        {
            ParallelOptions options = new() { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellation };
            Parallel.ForEach(Partitioner.Create(kernels, EnumerablePartitionerOptions.NoBuffering), options, kernel =>
            {
                if (!idle.TryTake(out PtxCompiler? compiler)) compiler = new PtxCompiler(target);
                try
                {
                    body(compiler, kernel);
                }
                finally
                {
                    // Also after a failure, or nobody would dispose it.
                    idle.Add(compiler);
                }
            });
        }
        catch (AggregateException exception) when (exception.InnerExceptions.Count > 0)
        {
            ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
        }
        finally
        {
            foreach (PtxCompiler compiler in idle) compiler.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _optimized?.Dispose();
        _ordered?.Dispose();
        (_optimized, _ordered) = (null, null);
    }

    private static Exception Innermost(Exception exception) => exception.InnerException is { } inner ? Innermost(inner) : exception;

    private sealed class Pipeline : IDisposable
    {
        private readonly Context _context;
        private readonly PTXBackend _backend;

        public Pipeline(PtxTarget target, OptimizationLevel level)
        {
            _context = Context.Create(builder => builder.EnableAlgorithms().Optimize(level).Inlining(InliningMode.Aggressive).PTXBackend(PTXBackendMode.Enhanced));
            GpuIntrinsics.Register(_context);
            _backend = new PTXBackend(_context, target.IlgpuArchitecture, target.IlgpuInstructionSet, null!);
        }

        public string Compile(GpuKernelInfo kernel)
        {
            // What a context keeps of earlier kernels (methods that it has optimized, with callees in them) would change the order of instructions.
            _context.ClearCache(ClearCacheMode.Everything);
            int? minGroups = kernel.MinGroupsPerMultiprocessor > 0 ? kernel.MinGroupsPerMultiprocessor : null;
            KernelSpecialization specialization = new(kernel.GroupSize, minGroups);
            return ((PTXCompiledKernel)_backend.Compile(EntryPointDescription.FromExplicitlyGroupedKernel(kernel.Entry), specialization)).PTXAssembly;
        }

        public void Dispose()
        {
            _backend.Dispose();
            _context.Dispose();
        }
    }
}
