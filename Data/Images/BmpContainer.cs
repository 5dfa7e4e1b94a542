using System.Buffers.Binary;

namespace MiniVlp.Data.Images;

/// <summary>The header of a BMP file (BITMAPFILEHEADER, then BITMAPCOREHEADER or BITMAPINFOHEADER and its longer forms).</summary>
internal static class BmpContainer
{
    private const int CoreHeader = 12;
    private const int InfoHeader = 40;

    public static (long Width, long Height) ReadSize(ReadOnlySpan<byte> file, string name)
    {
        if (file.Length < 26)
        {
            throw new ImageFormatException(name, "a BMP header", $"a file of {file.Length} bytes");
        }

        uint header = BinaryPrimitives.ReadUInt32LittleEndian(file[14..]);
        if (header == CoreHeader)
        {
            return (BinaryPrimitives.ReadUInt16LittleEndian(file[18..]), BinaryPrimitives.ReadUInt16LittleEndian(file[20..]));
        }

        if (header < InfoHeader || header > file.Length - 14)
        {
            throw new ImageFormatException(name, "a BMP header of 12 or at least 40 bytes, inside the file", $"a length of {header}");
        }

        // A negative height says that rows run from the top.
        long height = BinaryPrimitives.ReadInt32LittleEndian(file[22..]);
        return (BinaryPrimitives.ReadInt32LittleEndian(file[18..]), Math.Abs(height));
    }
}
