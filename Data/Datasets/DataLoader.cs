using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// Builds batches ahead of the training loop on worker threads and hands them out in order. What a batch holds is a function of its
/// indices, the epoch and the seed, so the sequence is the same for any number of workers and continues exactly from
/// (<see cref="Epoch"/>, <see cref="Position"/>). One consumer thread.
/// </summary>
/// <typeparam name="TBatch">Whatever the training loop wants: arrays, a record of arrays.</typeparam>
public sealed class DataLoader<TBatch> : IDisposable
{
    private readonly Func<int[], BatchContext<TBatch>, TBatch> _build;
    private readonly DataLoaderOptions _options;
    private readonly ShuffledIndex _index;
    private readonly ConcurrentBag<TBatch> _returned = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationToken _stopping;
    private readonly Channel<Ticket> _ordered;
    private readonly Channel<Ticket> _work;
    private readonly List<Task> _tasks = [];
    private DataLoaderException? _failure;
    private bool _disposed;
    private long _started;
    private long _stopped;
    private long _waited;

    /// <summary>Checks the options; work starts with the first <see cref="TryNext"/>.</summary>
    /// <param name="count">Number of samples.</param>
    /// <param name="options">Batch size, order, workers, and where to continue.</param>
    /// <param name="build">Makes the batch of the given indices; called from several threads at once.</param>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range, or no batch can be filled.</exception>
    public DataLoader(int count, DataLoaderOptions options, Func<int[], BatchContext<TBatch>, TBatch> build)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(build);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Workers);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Prefetch, 1);
        if (options.DropLast && options.BatchSize > count)
        {
            throw new ArgumentOutOfRangeException(
                nameof(options), $"A batch of {options.BatchSize} cannot be filled from {count} samples; lower the batch size or do not drop the last batch.");
        }

        _build = build;
        _options = options;
        _index = new ShuffledIndex(count, options.Seed, options.Shuffle);
        _index.Restore(options.StartEpoch, options.StartPosition);
        _stopping = _stop.Token;
        Epoch = options.StartEpoch;
        Position = options.StartPosition;
        _ordered = Channel.CreateBounded<Ticket>(new BoundedChannelOptions(options.Prefetch) { SingleReader = true, SingleWriter = true });
        _work = Channel.CreateUnbounded<Ticket>(new UnboundedChannelOptions { SingleWriter = true });
    }

    /// <summary>The epoch that the next batch starts in: save it with <see cref="Position"/> to continue exactly here.</summary>
    public long Epoch { get; private set; }

    /// <summary>Place of the next batch in its epoch, in samples.</summary>
    public int Position { get; private set; }

    /// <summary>Batches in a whole epoch.</summary>
    public int BatchesPerEpoch => _options.DropLast
        ? _index.Count / _options.BatchSize
        : (int)(((long)_index.Count + _options.BatchSize - 1) / _options.BatchSize);

    /// <summary>Share of the time since the first request, in [0, 1], that the consumer has spent waiting for a batch.</summary>
    public double DataWaitShare
    {
        get
        {
            long elapsed = (_stopped != 0 ? _stopped : Stopwatch.GetTimestamp()) - _started;
            return _started == 0 || elapsed <= 0 ? 0 : Math.Min(1, (double)_waited / elapsed);
        }
    }

    /// <summary>The next batch; false once <see cref="DataLoaderOptions.Epochs"/> are through.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="cancellation">Ends the wait; the batch is not lost, the next call returns it.</param>
    /// <exception cref="DataLoaderException">The batch could not be built; raised again by every further call.</exception>
    /// <exception cref="OperationCanceledException">Cancelled while waiting.</exception>
    /// <exception cref="ObjectDisposedException">The loader has been disposed.</exception>
    public bool TryNext([MaybeNullWhen(false)] out TBatch batch, CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        cancellation.ThrowIfCancellationRequested();
        if (_failure is not null)
        {
            // A fresh exception, so that the stack trace of the first is left as it was.
            throw new DataLoaderException(_failure.Epoch, _failure.Position, [.. _failure.Indices], _failure.InnerException!);
        }

        long before = Stopwatch.GetTimestamp();
        if (_started == 0)
        {
            _started = before;
            StartWorkers();
        }

        try
        {
            Ticket? ticket = _options.Workers == 0 ? NextTicket() : Receive(cancellation);
            if (ticket is null)
            {
                batch = default;
                return false;
            }

            if (_options.Workers == 0)
            {
                Build(ticket);
            }

            batch = ticket.Result.Task.GetAwaiter().GetResult();
            (Epoch, Position) = ticket.After;
            return true;
        }
        catch (DataLoaderException error)
        {
            _failure = error;
            _stop.Cancel();
            throw;
        }
        finally
        {
            _waited += Stopwatch.GetTimestamp() - before;
        }
    }

    /// <summary>The batches from here on, as a sequence for <c>foreach</c>.</summary>
    /// <param name="cancellation">Ends the sequence with <see cref="OperationCanceledException"/>.</param>
    public IEnumerable<TBatch> Batches(CancellationToken cancellation = default)
    {
        while (TryNext(out TBatch? batch, cancellation))
        {
            yield return batch;
        }
    }

    /// <summary>Gives a batch back when its contents are no longer needed, so that a worker can fill it again.</summary>
    /// <param name="batch">A batch that came from this loader.</param>
    public void Return(TBatch batch)
    {
        _returned.Add(batch);
    }

    /// <summary>Stops the workers and waits for the batches under way.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _stopped = Stopwatch.GetTimestamp();
        _stop.Cancel();
        Task.WaitAll(_tasks, CancellationToken.None);
        _stop.Dispose();
    }

    private void StartWorkers()
    {
        if (_options.Workers == 0)
        {
            return;
        }

        _tasks.Add(Task.Run(Dispatch));
        for (int i = 0; i < _options.Workers; i++)
        {
            _tasks.Add(Task.Run(Work));
        }
    }

    /// <summary>
    /// Hands out the places in order. A ticket goes into the bounded queue first, which is what limits how far ahead the workers run.
    /// </summary>
    private async Task Dispatch()
    {
        try
        {
            while (NextTicket() is { } ticket)
            {
                await _ordered.Writer.WriteAsync(ticket, _stopping);
                _work.Writer.TryWrite(ticket);
            }
        }
        catch (OperationCanceledException)
        {
            // The loader has been stopped; the consumer asks for no more.
        }

        _ordered.Writer.Complete();
        _work.Writer.Complete();
    }

    private async Task Work()
    {
        try
        {
            await foreach (Ticket ticket in _work.Reader.ReadAllAsync(_stopping))
            {
                Build(ticket);
            }
        }
        catch (OperationCanceledException)
        {
            // As above.
        }
    }

    [SuppressMessage("Design", "CA1031", Justification = "Whatever the user's code throws has to reach the consumer's thread.")]
    private void Build(Ticket ticket)
    {
        try
        {
            BatchContext<TBatch> context = new(ticket.Epoch, ticket.Position, _options.Seed, _returned, _stopping);
            ticket.Result.SetResult(_build(ticket.Indices, context));
        }
        catch (Exception error)
        {
            ticket.Result.SetException(new DataLoaderException(ticket.Epoch, ticket.Position, ticket.Indices, error));
        }
    }

    private Ticket? Receive(CancellationToken cancellation)
    {
        Ticket? ticket;
        while (!_ordered.Reader.TryPeek(out ticket))
        {
            if (!_ordered.Reader.WaitToReadAsync(cancellation).AsTask().GetAwaiter().GetResult())
            {
                return null;
            }
        }

        // Taken from the queue only when it is done, so that a cancelled wait loses nothing.
        try
        {
            ticket.Result.Task.Wait(cancellation);
        }
        catch (AggregateException)
        {
            // The caller asks for the result and gets the cause itself.
        }

        return _ordered.Reader.TryRead(out ticket) ? ticket : null;
    }

    private Ticket? NextTicket()
    {
        // The index moves on as soon as an epoch has no further batch, except when it was restored to a place with less than one left.
        if (_options.DropLast && _index.Count - _index.Position < _options.BatchSize)
        {
            _index.Restore(_index.Epoch + 1, 0);
        }

        if (_options.Epochs is { } epochs && _index.Epoch >= epochs)
        {
            return null;
        }

        (long epoch, int position) = (_index.Epoch, _index.Position);
        int[] indices = _index.Take(_options.BatchSize, _options.DropLast);
        return new Ticket(indices, epoch, position, (_index.Epoch, _index.Position));
    }

    private sealed record Ticket(int[] Indices, long Epoch, int Position, (long Epoch, int Position) After)
    {
        public TaskCompletionSource<TBatch> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
