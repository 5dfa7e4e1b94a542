using System.Buffers.Binary;

namespace MiniVlp.Data.Images;

/// <summary>The header of a WebP file (RFC 9649).</summary>
internal static class WebPContainer
{
    public static (long Width, long Height) ReadSize(ReadOnlySpan<byte> file, string name)
    {
        if (file.Length < 30)
        {
            throw new ImageFormatException(name, "a WebP header", $"a file of {file.Length} bytes");
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(file[4..]);
        if (length > file.Length - 8)
        {
            throw new ImageFormatException(name, $"{length} bytes of WebP data, as its header says", $"{file.Length - 8}");
        }

        ReadOnlySpan<byte> data = file[20..];
        ReadOnlySpan<byte> chunk = file.Slice(12, 4);
        if (chunk.SequenceEqual("VP8 "u8) && data[3..].StartsWith((ReadOnlySpan<byte>)[0x9D, 0x01, 0x2A]))
        {
            return (BinaryPrimitives.ReadUInt16LittleEndian(data[6..]) & 0x3FFF, BinaryPrimitives.ReadUInt16LittleEndian(data[8..]) & 0x3FFF);
        }

        if (chunk.SequenceEqual("VP8L"u8) && data[0] == 0x2F)
        {
            uint bits = BinaryPrimitives.ReadUInt32LittleEndian(data[1..]);
            return ((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1);
        }

        if (chunk.SequenceEqual("VP8X"u8))
        {
            return ((BinaryPrimitives.ReadUInt32LittleEndian(data[4..]) & 0xFFFFFF) + 1, (BinaryPrimitives.ReadUInt32LittleEndian(data[6..]) >> 8) + 1);
        }

        throw new ImageFormatException(name, "a VP8, VP8L or VP8X chunk", $"a chunk that starts with the bytes {Convert.ToHexString(file[12..30])}");
    }
}
