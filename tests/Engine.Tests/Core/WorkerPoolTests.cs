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
    public void EveryChunkRunsOnceInJobAfterJob(int threads)
    {
        using WorkerPool pool = new(threads);
        int[] odd = new int[100], even = new int[100];
        fixed (int* odds = odd, evens = even)
        {
            // Kernel, operands and count change from job to job: a thread that comes late must not mix them.
            for (int job = 0; job < 3000; job++)
            {
                int count = job * 7 % (odd.Length + 1), expected = job % 2 == 0 ? 1 : 1000;
                int[] runs = job % 2 == 0 ? even : odd;
                // Some jobs find the workers asleep, most find them in their wait or still in the last job.
                if (job % 500 == 0) Thread.Sleep(5);
                if (job % 2 == 0) pool.Run(&Count, evens, count);
                else pool.Run(&CountThousands, odds, count);
                for (int chunk = 0; chunk < runs.Length; chunk++) Assert.Equal(chunk < count ? expected : 0, runs[chunk]);
                Array.Clear(runs);
            }
        }
    }

    [Fact]
    public void AWorkerThatSleepsIsWokenAndHelpsWithTheShareOfAnother()
    {
        using WorkerPool pool = new(2);
        int* owners = stackalloc int[64];
        for (int job = 0; job < 10; job++)
        {
            Thread.Sleep(20);
            new Span<int>(owners, 64).Clear();
            pool.Run(&OwnerAfterTheSecondChunk, owners, 64);
            Assert.NotEqual(0, owners[0]);
            Assert.NotEqual(owners[0], owners[1]);
        }
    }

    [Fact]
    public void AWorkerBeginsWithItsOwnShare()
    {
        using WorkerPool pool = new(2);
        for (int job = 0; job < 10; job++)
        {
            int first = 0;
            pool.Run(&FirstOtherChunk, &first, 64);
            Assert.Equal(32, first);
        }
    }

    [Fact]
    public void CallersFromSeveralThreadsEachGetAllOfTheirChunks()
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

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void AnExceptionReachesTheCallerAndThePoolGoesOn(int threads)
    {
        using WorkerPool pool = new(threads);
        int* runs = stackalloc int[10];
        for (int job = 0; job < 20; job++)
        {
            InvalidOperationException exception = Assert.Throws<InvalidOperationException>(() => RunFailing(pool));
            Assert.Contains("chunk 7", exception.Message);
            Assert.IsType<ArgumentException>(exception.InnerException);
            new Span<int>(runs, 10).Clear();
            pool.Run(&Count, runs, 10);
            for (int chunk = 0; chunk < 10; chunk++) Assert.Equal(1, runs[chunk]);
        }
    }

    [Fact]
    public void AKernelMayRunAKernel()
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

    [Fact]
    public void DisposingTwiceIsOnce()
    {
        WorkerPool pool = new(2);
        pool.Dispose();
        pool.Dispose();
    }

    private static void RunFailing(WorkerPool pool)
    {
        int begun = pool.ThreadCount == 1 ? 1 : 0;
        pool.Run(&Fail, &begun, 10);
    }

    private static void CountThousands(void* runs, int chunk) => Interlocked.Add(ref ((int*)runs)[chunk], 1000);

    /// <summary>The first chunk waits until another one has begun, and that one notes its number.</summary>
    private static void FirstOtherChunk(void* first, int chunk)
    {
        if (chunk == 0) SpinWait.SpinUntil(() => Volatile.Read(ref *(int*)first) != 0, TimeSpan.FromSeconds(10));
        else Interlocked.CompareExchange(ref *(int*)first, chunk, 0);
    }

    private static void Count(void* runs, int chunk) => Interlocked.Increment(ref ((int*)runs)[chunk]);

    /// <summary>The first chunk ends when the second one has: on another thread, since this one is taken; or, if nobody comes, after ten seconds.</summary>
    private static void OwnerAfterTheSecondChunk(void* owners, int chunk)
    {
        if (chunk == 0) SpinWait.SpinUntil(() => Volatile.Read(ref ((int*)owners)[1]) != 0, TimeSpan.FromSeconds(10));
        Volatile.Write(ref ((int*)owners)[chunk], Environment.CurrentManagedThreadId);
    }

    /// <summary>The caller's first chunk waits until the seventh, of the worker's share, has begun: the exception is thrown on the worker.</summary>
    private static void Fail(void* begun, int chunk)
    {
        if (chunk == 0) SpinWait.SpinUntil(() => Volatile.Read(ref *(int*)begun) != 0, TimeSpan.FromSeconds(10));
        if (chunk != 7) return;
        Volatile.Write(ref *(int*)begun, 1);
        throw new ArgumentException("chunk 7");
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
