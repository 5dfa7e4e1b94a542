using MiniVlp.Autograd;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Datasets;

/// <summary>A batch in the memory of the host, filled by the loader's threads.</summary>
public sealed class ImageTextBatch
{
    private float[] _pixels = [];
    private int[] _tokenIds = [];
    private int[] _mask = [];
    private int[] _pairIds = [];
    private Tensor? _uploaded;

    /// <summary>Number of samples.</summary>
    public int Count { get; private set; }

    /// <summary>Pictures of each sample: two for methods that compare differently augmented views.</summary>
    public int Views { get; private set; }

    /// <summary>Side of the pictures.</summary>
    public int ImageSize { get; private set; }

    /// <summary>Tokens of each text, padding included; 0 without texts.</summary>
    public int TextLength { get; private set; }

    /// <summary>[count, length].</summary>
    public Span<int> TokenIds => _tokenIds.AsSpan(0, Count * TextLength);

    /// <summary>[count, length], 1 for a token and 0 for padding.</summary>
    public Span<int> Mask => _mask.AsSpan(0, Count * TextLength);

    /// <summary>[count]: equal for samples that are never negatives of each other.</summary>
    public Span<int> PairIds => _pairIds.AsSpan(0, Count);

    /// <summary>Whether such samples are in the batch.</summary>
    public bool HasEqualPairs { get; private set; }

    /// <summary>Answers to the texts, where these are questions.</summary>
    public AnswerRows? Answers { get; set; }

    /// <summary>[count]: what the texts are to their pictures, as an <see cref="EntailmentLabel"/>; null where nobody says.</summary>
    public int[]? Labels { get; set; }

    private int PixelsPerImage => 3 * ImageSize * ImageSize;

    /// <summary>Makes room; memory that is large enough is kept.</summary>
    public void Resize(int count, int views, int imageSize, int textLength)
    {
        (Count, Views, ImageSize, TextLength) = (count, views, imageSize, textLength);
        _uploaded = null;
        if (_pixels.Length < views * count * PixelsPerImage) _pixels = new float[views * count * PixelsPerImage];
        if (_pairIds.Length < count) _pairIds = new int[count];
        if (_tokenIds.Length >= count * textLength) return;
        _tokenIds = new int[count * textLength];
        _mask = new int[count * textLength];
    }

    /// <summary>Sets <see cref="PairIds"/>.</summary>
    public void SetPairIds(ReadOnlySpan<int> ids)
    {
        ids.CopyTo(PairIds);
        HasEqualPairs = new HashSet<int>(PairIds.ToArray()).Count < Count;
    }

    /// <summary>The pixels of all pictures, [views, count, 3, size, size].</summary>
    public ReadOnlySpan<float> Pixels => _pixels.AsSpan(0, Views * Count * PixelsPerImage);

    /// <summary>Uploads the pixels to where <see cref="Images"/> finds them until the batch is filled again.</summary>
    /// <param name="room">[views · count, 3, size, size].</param>
    public void Upload(Tensor room)
    {
        room.CopyFrom(Pixels);
        _uploaded = room;
    }

    /// <summary>Puts the pictures of the first view into a tensor, [count, 3, size, size], from the device where they are there already.</summary>
    public void CopyImagesTo(Tensor images)
    {
        if (_uploaded is null) images.CopyFrom(Pixels[..images.Shape.Length]);
        else images.CopyFrom(Images(images.Device));
    }

    /// <summary>The pixels of one picture.</summary>
    /// <param name="view">Which view of it.</param>
    /// <param name="index">Which sample.</param>
    public Span<float> Image(int view, int index) => _pixels.AsSpan(((view * Count) + index) * PixelsPerImage, PixelsPerImage);

    /// <summary>The pictures on a device, [count, 3, size, size].</summary>
    /// <param name="device">The device.</param>
    /// <param name="part">Which samples; all when left out.</param>
    /// <param name="view">Which view of them.</param>
    public Tensor Images(Device device, Range? part = null, int view = 0)
    {
        (int start, int count) = (part ?? Range.All).GetOffsetAndLength(Count);
        if (_uploaded is { } uploaded && ReferenceEquals(uploaded.Device, device)) return uploaded.Slice((view * Count) + start, count);
        return Tensor.FromArray(_pixels.AsSpan(((view * Count) + start) * PixelsPerImage, count * PixelsPerImage), [count, 3, ImageSize, ImageSize], device);
    }

    /// <summary><see cref="PairIds"/> on a device, [count].</summary>
    public IndexTensor PairIdsOn(Device device) => IndexTensor.FromArray(PairIds, [Count], device);

    /// <summary>The texts on a device, [count, length].</summary>
    /// <param name="device">The device.</param>
    /// <param name="part">Which samples; all when left out.</param>
    /// <param name="masked">Whether padding is masked; a causal tower that reads the end token never sees it.</param>
    public TextBatch Texts(Device device, Range? part = null, bool masked = false)
    {
        (int start, int count) = (part ?? Range.All).GetOffsetAndLength(Count);
        Shape shape = [count, TextLength];
        IndexTensor ids = IndexTensor.FromArray(TokenIds.Slice(start * TextLength, shape.Length), shape, device);
        return new TextBatch(ids, masked ? IndexTensor.FromArray(Mask.Slice(start * TextLength, shape.Length), shape, device) : null);
    }

    /// <summary>Pictures, texts with masked padding, and ids, as pre-training takes them.</summary>
    public PairBatch Pairs(Device device) => new(Images(device), Texts(device, masked: true), PairIdsOn(device));
}
