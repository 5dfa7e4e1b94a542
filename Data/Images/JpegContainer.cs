using System.Buffers.Binary;

namespace MiniVlp.Data.Images;

/// <summary>The marker segments of a JPEG file (ITU-T T.81, annex B).</summary>
internal static class JpegContainer
{
    // A progressive picture is gone through once per scan; honest encoders write about ten.
    private const int MostScans = 100;

    private const byte StartOfImage = 0xD8;
    private const byte EndOfImage = 0xD9;
    private const byte StartOfScan = 0xDA;
    private const byte QuantisationTables = 0xDB;
    private const byte HuffmanTables = 0xC4;

    public static (long Width, long Height) ReadSize(ReadOnlySpan<byte> file, string name)
    {
        ReadOnlySpan<byte> rest = file[2..];
        while (true)
        {
            byte marker = NextMarker(ref rest);
            if (marker is 0 or EndOfImage or StartOfScan)
            {
                throw new ImageFormatException(name, "a JPEG frame header", Found(marker));
            }

            ReadOnlySpan<byte> segment = ReadSegment(ref rest, marker, name);
            if (IsFrame(marker))
            {
                if (segment.Length < 6)
                {
                    throw new ImageFormatException(name, "a JPEG frame header", $"a segment of {segment.Length} bytes");
                }

                return (BinaryPrimitives.ReadUInt16BigEndian(segment[3..]), BinaryPrimitives.ReadUInt16BigEndian(segment[1..]));
            }
        }
    }

    /// <summary>Walks all segments up to the end marker: lengths inside the file, tables there before the scan that needs them.</summary>
    public static void Check(ReadOnlySpan<byte> file, string name)
    {
        ReadOnlySpan<byte> rest = file[2..];
        bool quantisation = false;
        bool huffman = false;
        bool needsHuffman = false;
        int scans = 0;
        byte marker;
        while ((marker = NextMarker(ref rest)) != EndOfImage)
        {
            if (marker == 0)
            {
                throw new ImageFormatException(name, "a JPEG file that ends with an end marker", "the end of the file");
            }

            ReadSegment(ref rest, marker, name);
            quantisation |= marker == QuantisationTables;
            huffman |= marker == HuffmanTables;
            if (IsFrame(marker))
            {
                // SOF0 to SOF2 with Huffman coding, lossy; SOF3 has no quantisation, SOF9 and up arithmetic coding.
                needsHuffman = marker <= 0xC2;
            }
            else if (marker == StartOfScan)
            {
                scans++;
                CheckScan(scans, quantisation, huffman || !needsHuffman, name);
            }
        }

        if (scans == 0)
        {
            throw new ImageFormatException(name, "a JPEG scan", "the end marker");
        }
    }

    private static void CheckScan(int scans, bool quantisation, bool huffman, string name)
    {
        if (!quantisation)
        {
            throw new ImageFormatException(name, "a JPEG quantisation table before the scan", "none");
        }

        if (!huffman)
        {
            throw new ImageFormatException(name, "a JPEG Huffman table before the scan", "none");
        }

        if (scans > MostScans)
        {
            throw new ImageFormatException(name, $"at most {MostScans} JPEG scans", "more");
        }
    }

    /// <summary>Skips to the next marker that begins a segment or ends the file; scan data, fill and stray bytes are passed over. 0 at the end.</summary>
    private static byte NextMarker(ref ReadOnlySpan<byte> rest)
    {
        while (true)
        {
            int start = rest.IndexOf((byte)0xFF);
            if (start < 0 || start + 1 >= rest.Length)
            {
                rest = [];
                return 0;
            }

            byte marker = rest[start + 1];

            // 00 stuffs an FF in scan data, FF fills, 01 and D0 to D7 (restart) stand alone.
            bool skip = marker is 0 or 0x01 or (>= 0xD0 and <= 0xD7) or StartOfImage;
            rest = rest[(start + (marker == 0xFF ? 1 : 2))..];
            if (!skip && marker != 0xFF)
            {
                return marker;
            }
        }
    }

    private static ReadOnlySpan<byte> ReadSegment(ref ReadOnlySpan<byte> rest, byte marker, string name)
    {
        int length = rest.Length < 2 ? 0 : BinaryPrimitives.ReadUInt16BigEndian(rest);
        if (length < 2 || length > rest.Length)
        {
            throw new ImageFormatException(
                name, $"a JPEG segment FF{marker:X2} inside the file", $"a length of {length} bytes with {rest.Length} left");
        }

        ReadOnlySpan<byte> segment = rest[2..length];
        rest = rest[length..];
        return segment;
    }

    private static bool IsFrame(byte marker)
    {
        // C4, C8 and CC are tables and an extension.
        return marker is >= 0xC0 and <= 0xCF and not (0xC4 or 0xC8 or 0xCC);
    }

    private static string Found(byte marker)
    {
        return marker switch
        {
            0 => "the end of the file",
            EndOfImage => "the end marker",
            _ => "a scan",
        };
    }
}
