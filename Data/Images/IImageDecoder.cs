namespace MiniVlp.Data.Images;

/// <summary>
/// Turns an encoded picture into 8-bit RGB: by content, not by name; first frame; upright by its EXIF orientation; transparency over
/// white; no colour profile applied. The seam between this project and the libraries that decode; may be called from several threads.
/// </summary>
public interface IImageDecoder
{
    /// <summary>Decodes one file that is already in memory.</summary>
    /// <param name="file">The encoded bytes.</param>
    /// <param name="name">The file or shard member, for errors.</param>
    /// <param name="limits">How large it may be.</param>
    /// <exception cref="ImageFormatException">The file is damaged, of an unknown type, or over a limit.</exception>
    RgbImage Decode(ReadOnlySpan<byte> file, string name, ImageLimits limits);
}

/// <summary>Shorter ways to call an <see cref="IImageDecoder"/>.</summary>
public static class ImageDecoderExtensions
{
    extension(IImageDecoder decoder)
    {
        /// <summary>Decodes one file that is already in memory, within <see cref="ImageLimits.Default"/>.</summary>
        /// <param name="file">The encoded bytes.</param>
        /// <param name="name">The file or shard member, for errors.</param>
        /// <exception cref="ImageFormatException">The file is damaged, of an unknown type, or over a limit.</exception>
        public RgbImage Decode(ReadOnlySpan<byte> file, string name)
        {
            ArgumentNullException.ThrowIfNull(decoder);
            return decoder.Decode(file, name, ImageLimits.Default);
        }

        /// <summary>Reads and decodes a file; its length is checked before it is read.</summary>
        /// <param name="path">The file.</param>
        /// <param name="limits">How large it may be; <see cref="ImageLimits.Default"/> if null.</param>
        /// <exception cref="ImageFormatException">The file is damaged, of an unknown type, or over a limit.</exception>
        /// <exception cref="IOException">The file cannot be read.</exception>
        public RgbImage DecodeFile(string path, ImageLimits? limits = null)
        {
            ArgumentNullException.ThrowIfNull(decoder);
            limits ??= ImageLimits.Default;
            limits.CheckFile(new FileInfo(path).Length, path);
            return decoder.Decode(File.ReadAllBytes(path), path, limits);
        }
    }
}
