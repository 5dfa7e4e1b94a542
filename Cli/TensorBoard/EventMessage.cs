using System.Buffers.Binary;
using System.Text;

namespace MiniVlp.Cli.TensorBoard;

/// <summary>
/// The two kinds of TensorFlow's Event message that are needed. Event: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string),
/// summary = 5; Summary: value = 1 (repeated); Value: tag = 1 (string), simple_value = 2 (float).
/// </summary>
public static class EventMessage
{
    private const int Varint = 0, Fixed64 = 1, LengthDelimited = 2, Fixed32 = 5;

    /// <summary>The first event of every file.</summary>
    public static byte[] Version(double wallTime, string version)
    {
        using MemoryStream message = new();
        WriteTime(message, wallTime);
        WriteBytes(message, 3, Encoding.UTF8.GetBytes(version));
        return message.ToArray();
    }

    /// <summary>The values of one step.</summary>
    public static byte[] Scalars(double wallTime, long step, ReadOnlySpan<(string Tag, double Value)> scalars)
    {
        using MemoryStream summary = new();
        Span<byte> number = stackalloc byte[4];
        foreach ((string tag, double value) in scalars)
        {
            using MemoryStream entry = new();
            WriteBytes(entry, 1, Encoding.UTF8.GetBytes(tag));
            WriteKey(entry, 2, Fixed32);
            BinaryPrimitives.WriteSingleLittleEndian(number, (float)value);
            entry.Write(number);
            WriteBytes(summary, 1, entry.ToArray());
        }

        using MemoryStream message = new();
        WriteTime(message, wallTime);
        WriteKey(message, 2, Varint);
        WriteVarint(message, (ulong)step);
        WriteBytes(message, 5, summary.ToArray());
        return message.ToArray();
    }

    private static void WriteTime(Stream message, double wallTime)
    {
        WriteKey(message, 1, Fixed64);
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(number, wallTime);
        message.Write(number);
    }

    private static void WriteBytes(Stream message, int field, ReadOnlySpan<byte> bytes)
    {
        WriteKey(message, field, LengthDelimited);
        WriteVarint(message, (ulong)bytes.Length);
        message.Write(bytes);
    }

    private static void WriteKey(Stream message, int field, int wireType) => WriteVarint(message, (ulong)((field << 3) | wireType));

    private static void WriteVarint(Stream message, ulong value)
    {
        while (value >= 0x80)
        {
            message.WriteByte((byte)(value | 0x80));
            value >>= 7;
        }

        message.WriteByte((byte)value);
    }
}
