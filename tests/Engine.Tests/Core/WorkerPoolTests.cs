using System.Runtime.InteropServices;
using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>The threads behind every CPU kernel: each chunk once, whoever comes late, whoever fails.</summary>
public sealed unsafe class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(16)]
    public void Every_chunk_runs_once_in_job_after_job(int threads)
    {
        using WorkerPool pool = new(threads);
        int[] runs = new int[100];
        fixed (int* pointer = runs)
        {
            for (int job = 0; job < 3000; job++)
            {
                int count = job * 7 % (runs.Length + 1);
                // Some jobs find the workers asleep, most find them in their wait or still in the last job.
                if (job % 500 == 0) Thread.Sleep(5);
                pool.Run(&Count, pointer, count);
                for (int chunk = 0; chunk < runs.Length; chunk++) Assert.Equal(chunk < count ? 1 : 0, runs[chunk]);
                Array.Clear(runs);
            }
        }
    }

    [Fact]
    public void Who_is_done_with_its_own_share_takes_from_the_others()
    {
        using WorkerPool pool = new(2);
        int* owners = stackalloc int[64];
        new Span<int>(owners, 64).Clear();
        pool.Run(&OwnerAfterTheSecondChunk, owners, 64);
        Assert.NotEqual(0, owners[0]);
        Assert.NotEqual(owners[0], owners[1]);
    }

    [Fact]
    public void Callers_from_several_threads_each_get_all_of_their_chunks()
    {
        using WorkerPool pool = new(3);
        Parallel.For(0, 4, _ =>
        {
            int* runs = stackalloc int[40];
            for (int job = 0; job < 500; job++)
            {
                new Span<int>(runs, 40).Clear();
                pool.Run(&Count, runs, 40);
                for (int chunk = 0; chunk < 40; chunk++) Assert.Equal(1, runs[chunk]);
            }
        });
    }

    [Fact]
    public void An_exception_reaches_the_caller_and_the_pool_goes_on()
    {
        using WorkerPool pool = new(2);
        int* runs = stackalloc int[10];
        for (int job = 0; job < 20; job++)
        {
            InvalidOperationException exception = Assert.Throws<InvalidOperationException>(() => RunFailing(pool));
            Assert.Contains("chunk 7", exception.Message);
            new Span<int>(runs, 10).Clear();
            pool.Run(&Count, runs, 10);
            for (int chunk = 0; chunk < 10; chunk++) Assert.Equal(1, runs[chunk]);
        }
    }

    [Fact]
    public void A_kernel_may_run_a_kernel()
    {
        using WorkerPool pool = new(2);
        Outer outer = new(pool);
        GCHandle handle = GCHandle.Alloc(outer);
        try
        {
            pool.Run(&RunInner, (void*)GCHandle.ToIntPtr(handle), 8);
        }
        finally
        {
            handle.Free();
        }

        Assert.Equal(8 * 5, outer.Chunks);
    }

    private static void RunFailing(WorkerPool pool) => pool.Run(&Fail, null, 10);

    private static void Count(void* runs, int chunk) => Interlocked.Increment(ref ((int*)runs)[chunk]);

    /// <summary>The first chunk ends when the second one has: on another thread, since this one is taken; or, if nobody comes, after ten seconds.</summary>
    private static void OwnerAfterTheSecondChunk(void* owners, int chunk)
    {
        if (chunk == 0) SpinWait.SpinUntil(() => Volatile.Read(ref ((int*)owners)[1]) != 0, TimeSpan.FromSeconds(10));
        Volatile.Write(ref ((int*)owners)[chunk], Environment.CurrentManagedThreadId);
    }

    private static void Fail(void* kernel, int chunk)
    {
        if (chunk == 7) throw new ArgumentException("chunk 7");
    }

    private static void RunInner(void* outer, int chunk)
    {
        Outer target = (Outer)GCHandle.FromIntPtr((nint)outer).Target!;
        int* runs = stackalloc int[5];
        for (int i = 0; i < 5; i++) runs[i] = 0;
        target.Pool.Run(&Count, runs, 5);
        for (int i = 0; i < 5; i++) target.Add(runs[i]);
    }

    private sealed class Outer(WorkerPool pool)
    {
        private int _chunks;

        public WorkerPool Pool { get; } = pool;

        public int Chunks => _chunks;

        public void Add(int runs) => Interlocked.Add(ref _chunks, runs);
    }
}
