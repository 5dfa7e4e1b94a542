using System.Diagnostics;
using MiniVlp.Data.Datasets;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

public class DataLoaderTests
{
    private static readonly DataLoaderOptions Options = new() { BatchSize = 4, Seed = 5, Epochs = 3 };

    [Fact]
    public void TheSequenceIsTheSameForAnyNumberOfWorkers()
    {
        string[] expected = Run(Options with { Workers = 0 });
        Assert.Equal(3 * 5, expected.Length);
        foreach (int workers in new[] { 1, 2, 5 })
        {
            foreach (int prefetch in new[] { 1, 3, 100 })
            {
                Assert.Equal(expected, Run(Options with { Workers = workers, Prefetch = prefetch }));
            }
        }
    }

    [Theory]
    [InlineData(true, 0)]
    [InlineData(true, 3)]
    [InlineData(false, 3)]
    public void ResumesExactlyAfterAnyBatch(bool dropLast, int workers)
    {
        DataLoaderOptions options = Options with { DropLast = dropLast, Workers = workers };
        string[] whole = Run(options);
        Assert.Equal(dropLast ? 15 : 18, whole.Length);
        for (int taken = 0; taken <= whole.Length; taken++)
        {
            using DataLoader<string> first = Loader(options);
            for (int i = 0; i < taken; i++)
            {
                Assert.True(first.TryNext(out string? batch));
                Assert.Equal(whole[i], batch);
            }

            Assert.Equal(whole[taken..], Run(options with { StartEpoch = first.Epoch, StartPosition = first.Position }));
        }
    }

    [Fact]
    public void WithoutDropLastEveryEpochHoldsEverySample()
    {
        using DataLoader<int[]> loader = new(23, Options with { DropLast = false, Epochs = 2 }, (indices, _) => indices);
        Assert.Equal(6, loader.BatchesPerEpoch);
        int[][] batches = [.. loader.Batches()];
        Assert.Equal(12, batches.Length);
        Assert.Equal(Enumerable.Range(0, 23), batches[..6].SelectMany(batch => batch).Order());
        Assert.Equal(3, batches[5].Length);
        Assert.False(loader.TryNext(out _));
    }

    [Fact]
    public void AnErrorSurfacesAtItsPlaceAndStays()
    {
        foreach (int workers in new[] { 0, 3 })
        {
            using DataLoader<int[]> loader = new(
                40,
                Options with { Shuffle = false, Workers = workers },
                (indices, _) => indices.Contains(9) ? throw new InvalidDataException("x.tar/000009: broken") : indices);
            Assert.True(loader.TryNext(out _));
            Assert.True(loader.TryNext(out _));
            for (int again = 0; again < 2; again++)
            {
                DataLoaderException error = Assert.Throws<DataLoaderException>(() => loader.TryNext(out _));
                Assert.Contains("x.tar/000009: broken", error.Message, StringComparison.Ordinal);
                Assert.Contains("epoch 0, position 8 (samples 8, 9, 10, 11)", error.Message, StringComparison.Ordinal);
                Assert.IsType<InvalidDataException>(error.InnerException);
                Assert.Equal((0, 8), (loader.Epoch, loader.Position));
            }
        }
    }

    [Fact]
    public void PrefetchIsBounded()
    {
        int built = 0;
        using DataLoader<int> loader = new(1000, Options with { Epochs = null, Workers = 2, Prefetch = 3 }, (_, _) => Interlocked.Increment(ref built));
        Assert.True(loader.TryNext(out _));
        Thread.Sleep(200);

        // One taken, three in the queue; no more is begun.
        Assert.InRange(Volatile.Read(ref built), 1, 4);
    }

    [Fact]
    public void ReturnedBatchesAreUsedAgain()
    {
        int allocated = 0;
        using DataLoader<int[]> loader = new(1000, Options with { Epochs = null, Workers = 2, Prefetch = 2 }, (indices, context) =>
        {
            if (!context.TryReuse(out int[]? batch))
            {
                Interlocked.Increment(ref allocated);
                batch = new int[4];
            }

            indices.CopyTo(batch, 0);
            return batch;
        });
        using DataLoader<int[]> expected = new(1000, Options with { Epochs = null, Workers = 0 }, (indices, _) => indices);
        for (int i = 0; i < 500; i++)
        {
            Assert.True(loader.TryNext(out int[]? batch));
            Assert.True(expected.TryNext(out int[]? indices));
            Assert.Equal(indices, batch);
            loader.Return(batch);
        }

        Assert.InRange(allocated, 1, 6);
    }

    [Fact]
    public void ACancelledWaitLosesNothing()
    {
        using ManualResetEventSlim gate = new();
        using DataLoader<int> loader = new(40, Options with { Shuffle = false, Workers = 1 }, (indices, _) =>
        {
            gate.Wait();
            return indices[0];
        });
        using CancellationTokenSource soon = new(TimeSpan.FromMilliseconds(50));
        Assert.ThrowsAny<OperationCanceledException>(() => loader.TryNext(out _, soon.Token));
        gate.Set();
        Assert.True(loader.TryNext(out int first));
        Assert.Equal(0, first);
    }

    [Fact]
    public void DisposeStopsAnEndlessLoader()
    {
        DataLoader<int> loader = new(40, Options with { Epochs = null, Workers = 4 }, (indices, _) => indices[0]);
        Assert.True(loader.TryNext(out _));
        Stopwatch clock = Stopwatch.StartNew();
        loader.Dispose();
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(5));
        Assert.Throws<ObjectDisposedException>(() => loader.TryNext(out _));
    }

    [Fact]
    public void DataWaitShareTellsWhoIsSlow()
    {
        // Without workers every request waits for its batch: the share is what building takes of the whole.
        using DataLoader<int> slowData = new(40, Options with { Workers = 0 }, (_, _) => Sleep(20));
        using DataLoader<int> slowConsumer = new(40, Options with { Workers = 1 }, (_, _) => 0);
        Assert.Equal(0, slowData.DataWaitShare);
        for (int i = 0; i < 8; i++)
        {
            Assert.True(slowData.TryNext(out _));
        }

        Assert.InRange(slowData.DataWaitShare, 0.7, 1);
        for (int i = 0; i < 8; i++)
        {
            Assert.True(slowConsumer.TryNext(out _));
            Sleep(30);
        }

        Assert.InRange(slowConsumer.DataWaitShare, 0, 0.6);
    }

    [Fact]
    public void ImpossibleOptionsAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Loader(Options with { BatchSize = 24 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Loader(Options with { BatchSize = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Loader(Options with { StartPosition = 23 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Loader(Options with { Prefetch = 0 }));
        Assert.Equal(["6:0", "6:4"], Loader(Options with { StartEpoch = 5, StartPosition = 22, Epochs = 7 }).Batches().Take(2).Select(batch => batch.Split('|')[0]));
    }

    private static int Sleep(int milliseconds)
    {
        Thread.Sleep(milliseconds);
        return 0;
    }

    private static DataLoader<string> Loader(DataLoaderOptions options)
    {
        return new DataLoader<string>(23, options, (indices, context) =>
        {
            // Uneven work, so that batches are ready out of order.
            Thread.SpinWait((indices[0] % 7) * 2000);
            IEnumerable<string> samples = indices.Select(index =>
            {
                SampleRandom random = context.RandomFor(index);
                return $"{index}/{random.NextUInt64():X}";
            });
            return $"{context.Epoch}:{context.Position}|{string.Join(' ', samples)}";
        });
    }

    private static string[] Run(DataLoaderOptions options)
    {
        using DataLoader<string> loader = Loader(options);
        return [.. loader.Batches()];
    }
}
