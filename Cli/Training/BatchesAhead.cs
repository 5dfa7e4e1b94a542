using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Datasets;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>The batches of a loader, of which the next one can be fetched, and its pictures uploaded, while the device computes the step before it.</summary>
internal sealed class BatchesAhead(DataLoader<ImageTextBatch> loader, Device device) : IDisposable
{
    /// <summary>Two, since the step under way may be computed once more to find what went wrong in it.</summary>
    private readonly Tensor?[] _rooms = new Tensor?[2];
    private ImageTextBatch? _next;
    private (long Epoch, int Position) _placeOfNext;
    private int _turn;

    /// <summary>The place of the batch that <see cref="Take"/> gives next, to continue exactly there.</summary>
    public (long Epoch, int Position) Place => _next is null ? (loader.Epoch, loader.Position) : _placeOfNext;

    /// <summary>The next batch.</summary>
    public ImageTextBatch Take()
    {
        if (_next is { } next)
        {
            _next = null;
            return next;
        }

        // The loader goes on for ever, so there always is a next batch.
        return loader.TryNext(out ImageTextBatch? batch) ? batch : throw new InvalidOperationException("The data loader has ended.");
    }

    /// <summary>Fetches the next batch and starts the upload of its pictures. A batch that cannot be built is an error when it is taken.</summary>
    public void Fetch()
    {
        if (_next is not null) return;
        (long, int) place = (loader.Epoch, loader.Position);
        try
        {
            if (!loader.TryNext(out _next)) return;
        }
        catch (DataLoaderException)
        {
            return;
        }

        _placeOfNext = place;
        _turn ^= 1;
        Shape shape = [_next.Views * _next.Count, 3, _next.ImageSize, _next.ImageSize];
        if (_rooms[_turn] is not { } room || room.Shape != shape)
        {
            _rooms[_turn]?.Dispose();
            room = _rooms[_turn] = Tensor.CreatePersistent(shape, device);
        }

        _next.Upload(room);
    }

    public void Dispose()
    {
        foreach (Tensor? room in _rooms) room?.Dispose();
    }
}
