using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Datasets;

/// <summary>A batch in the memory of the host, filled by the loader's threads.</summary>
public sealed class ImageTextBatch
{
    private float[] _pixels = [];
    private int[] _tokenIds = [];
    private int[] _mask = [];
    private int[] _captionIds = [];

    /// <summary>Number of samples.</summary>
    public int Count { get; private set; }

    /// <summary>Side of the pictures.</summary>
    public int ImageSize { get; private set; }

    /// <summary>Tokens of each text, padding included.</summary>
    public int TextLength { get; private set; }

    /// <summary>[count, 3, size, size].</summary>
    public Span<float> Pixels => _pixels.AsSpan(0, Count * PixelsPerImage);

    /// <summary>[count, length].</summary>
    public Span<int> TokenIds => _tokenIds.AsSpan(0, Count * TextLength);

    /// <summary>[count, length], 1 for a token and 0 for padding.</summary>
    public Span<int> Mask => _mask.AsSpan(0, Count * TextLength);

    /// <summary>[count]: equal for samples with the same caption.</summary>
    public Span<int> CaptionIds => _captionIds.AsSpan(0, Count);

    /// <summary>Whether a caption occurs twice.</summary>
    public bool HasEqualCaptions { get; private set; }

    private int PixelsPerImage => 3 * ImageSize * ImageSize;

    /// <summary>Makes room; memory that is large enough is kept.</summary>
    public void Resize(int count, int imageSize, int textLength)
    {
        (Count, ImageSize, TextLength) = (count, imageSize, textLength);
        if (_pixels.Length < count * PixelsPerImage) _pixels = new float[count * PixelsPerImage];
        if (_captionIds.Length < count) _captionIds = new int[count];
        if (_tokenIds.Length >= count * textLength) return;
        _tokenIds = new int[count * textLength];
        _mask = new int[count * textLength];
    }

    /// <summary>Notes which samples have the same caption.</summary>
    public void SetCaptions(IReadOnlyList<string> captions)
    {
        Dictionary<string, int> first = new(StringComparer.Ordinal);
        for (int i = 0; i < captions.Count; i++) CaptionIds[i] = first.TryAdd(captions[i], i) ? i : first[captions[i]];
        HasEqualCaptions = first.Count < captions.Count;
    }

    /// <summary>The pixels of one picture.</summary>
    public Span<float> Image(int index) => _pixels.AsSpan(index * PixelsPerImage, PixelsPerImage);

    /// <summary>The pictures on a device, [count, 3, size, size].</summary>
    /// <param name="device">The device.</param>
    /// <param name="part">Which samples; all when left out.</param>
    public Tensor Images(Device device, Range? part = null)
    {
        (int start, int count) = (part ?? Range.All).GetOffsetAndLength(Count);
        return Tensor.FromArray(Pixels.Slice(start * PixelsPerImage, count * PixelsPerImage), [count, 3, ImageSize, ImageSize], device);
    }

    /// <summary><see cref="CaptionIds"/> on a device, [count].</summary>
    public IndexTensor Captions(Device device) => IndexTensor.FromArray(CaptionIds, [Count], device);

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
}
