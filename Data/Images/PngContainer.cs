using System.Buffers.Binary;
using System.Text;

namespace MiniVlp.Data.Images;

/// <summary>The chunks of a PNG file (W3C PNG, third edition, sections 5 and 11).</summary>
internal static class PngContainer
{
    // Length, type and checksum around a chunk's data.
    private const int ChunkOverhead = 12;
    private const int HeaderLength = 13;

    public static ReadOnlySpan<byte> Signature => [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A];

    public static (long Width, long Height) ReadSize(ReadOnlySpan<byte> file, string name)
    {
        ReadOnlySpan<byte> rest = file[Signature.Length..];
        if (rest.Length < ChunkOverhead + HeaderLength)
        {
            throw new ImageFormatException(name, "a PNG header", $"a file of {file.Length} bytes");
        }

        ReadOnlySpan<byte> header = ReadChunk(ref rest, name, out uint type);
        if (type != Type("IHDR"u8) || header.Length != HeaderLength)
        {
            throw new ImageFormatException(name, "an IHDR chunk of 13 bytes", $"{Text(type)} of {header.Length} bytes");
        }

        int depth = header[8];
        int colour = header[9];
        bool known = colour switch
        {
            0 => depth is 1 or 2 or 4 or 8 or 16,
            3 => depth is 1 or 2 or 4 or 8,
            2 or 4 or 6 => depth is 8 or 16,
            _ => false,
        };
        if (!known)
        {
            throw new ImageFormatException(name, "a PNG bit depth and colour type that exist", $"bit depth {depth} with colour type {colour}");
        }

        return (BinaryPrimitives.ReadUInt32BigEndian(header), BinaryPrimitives.ReadUInt32BigEndian(header[4..]));
    }

    /// <summary>Walks all chunks up to IEND: lengths inside the file, checksums right, palette and image data present.</summary>
    public static void Check(ReadOnlySpan<byte> file, string name)
    {
        ReadOnlySpan<byte> rest = file[Signature.Length..];
        bool needsPalette = ReadChunk(ref rest, name, out uint type)[9] == 3;
        bool hasData = false;
        while (type != Type("IEND"u8))
        {
            if (rest.IsEmpty)
            {
                throw new ImageFormatException(name, "a PNG file that ends with an IEND chunk", "the end of the file");
            }

            ReadChunk(ref rest, name, out type);
            needsPalette &= type != Type("PLTE"u8);
            if (type == Type("IDAT"u8))
            {
                hasData = true;
                if (needsPalette)
                {
                    throw new ImageFormatException(name, "a PLTE chunk before the data of a palette picture", "none");
                }
            }
        }

        if (!hasData)
        {
            throw new ImageFormatException(name, "an IDAT chunk", "a PNG file without image data");
        }
    }

    private static ReadOnlySpan<byte> ReadChunk(ref ReadOnlySpan<byte> rest, string name, out uint type)
    {
        if (rest.Length < ChunkOverhead)
        {
            throw new ImageFormatException(name, "a PNG chunk", $"{rest.Length} bytes and the end of the file");
        }

        uint length = BinaryPrimitives.ReadUInt32BigEndian(rest);
        type = BinaryPrimitives.ReadUInt32BigEndian(rest[4..]);
        if (length > rest.Length - ChunkOverhead)
        {
            throw new ImageFormatException(
                name, $"the {Text(type)} chunk inside the file", $"a length of {length} bytes with {rest.Length - ChunkOverhead} left");
        }

        int size = (int)length;
        uint stored = BinaryPrimitives.ReadUInt32BigEndian(rest[(8 + size)..]);
        uint computed = Crc32.Compute(rest.Slice(4, 4 + size));
        if (stored != computed)
        {
            throw new ImageFormatException(name, $"checksum {computed:x8} of the {Text(type)} chunk", $"{stored:x8}");
        }

        ReadOnlySpan<byte> data = rest.Slice(8, size);
        rest = rest[(ChunkOverhead + size)..];
        return data;
    }

    private static uint Type(ReadOnlySpan<byte> letters)
    {
        return BinaryPrimitives.ReadUInt32BigEndian(letters);
    }

    private static string Text(uint type)
    {
        Span<byte> letters = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(letters, type);
        foreach (byte letter in letters)
        {
            if (!char.IsAsciiLetter((char)letter))
            {
                return $"0x{type:x8}";
            }
        }

        return Encoding.ASCII.GetString(letters);
    }
}
