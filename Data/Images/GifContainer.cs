using System.Buffers.Binary;

namespace MiniVlp.Data.Images;

/// <summary>The header of a GIF file (GIF89a, section 18).</summary>
internal static class GifContainer
{
    public static (long Width, long Height) ReadSize(ReadOnlySpan<byte> file, string name)
    {
        if (file.Length < 13)
        {
            throw new ImageFormatException(name, "a GIF header of 13 bytes", $"a file of {file.Length} bytes");
        }

        return (BinaryPrimitives.ReadUInt16LittleEndian(file[6..]), BinaryPrimitives.ReadUInt16LittleEndian(file[8..]));
    }
}
