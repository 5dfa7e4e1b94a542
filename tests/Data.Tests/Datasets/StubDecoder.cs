using MiniVlp.Data.Images;

namespace MiniVlp.Data.Tests.Datasets;

/// <summary>A "picture" is its bytes: one pixel whose red value is the first byte, so that tests see which bytes were read.</summary>
internal sealed class StubDecoder : IImageDecoder
{
    public RgbImage Decode(ReadOnlySpan<byte> file, string name, ImageLimits limits)
    {
        limits.CheckFile(file.Length, name);
        return new RgbImage(1, 1, [file[0], 0, 0]);
    }
}
