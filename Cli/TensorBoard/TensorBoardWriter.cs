using System.Buffers.Binary;
using System.Numerics;

namespace MiniVlp.Cli.TensorBoard;

/// <summary>
/// Appends scalars to an event file that TensorBoard reads: TFRecord framing (length, masked CRC-32C of the length, data, masked CRC-32C
/// of the data) around Event messages in protocol-buffer encoding. Readers skip a record that is cut off, so a crash costs the last one only.
/// </summary>
public sealed class TensorBoardWriter : IDisposable
{
    private readonly FileStream _stream;
    private readonly Func<DateTimeOffset> _clock;

    /// <summary>Starts a new event file in a folder.</summary>
    /// <param name="folder">Created when absent.</param>
    /// <param name="clock">The time of each event; the system's when null.</param>
    public TensorBoardWriter(string folder, Func<DateTimeOffset>? clock = null)
    {
        _clock = clock ?? (() => DateTimeOffset.UtcNow);
        Directory.CreateDirectory(folder);
        Path = FreeName(folder, _clock().ToUnixTimeSeconds());
        _stream = new FileStream(Path, FileMode.CreateNew, FileAccess.Write, FileShare.Read);
        Append(EventMessage.Version(Now, "brain.Event:2"));
    }

    /// <summary>The event file.</summary>
    public string Path { get; }

    private double Now => _clock().ToUnixTimeMilliseconds() / 1000.0;

    /// <summary>Appends one event with the values of a step.</summary>
    public void Write(long step, params ReadOnlySpan<(string Tag, double Value)> scalars) => Append(EventMessage.Scalars(Now, step, scalars));

    /// <summary>Hands what was written to the operating system.</summary>
    public void Flush() => _stream.Flush();

    public void Dispose() => _stream.Dispose();

    /// <summary>TensorFlow's masking, so that the checksum of data that holds checksums is no special case: rotate right by 15, add a constant.</summary>
    public static uint MaskedCrc(ReadOnlySpan<byte> data)
    {
        uint crc = Crc32C(data);
        return unchecked(BitOperations.RotateRight(crc, 15) + 0xA282EAD8u);
    }

    /// <summary>CRC-32C (Castagnoli), initial value and final xor all ones.</summary>
    public static uint Crc32C(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    private static string FreeName(string folder, long time)
    {
        for (int attempt = 0; ; attempt++)
        {
            string path = System.IO.Path.Combine(folder, FormattableString.Invariant($"events.out.tfevents.{time:D10}.{attempt}.minivlp"));
            if (!File.Exists(path)) return path;
        }
    }

    private void Append(byte[] message)
    {
        Span<byte> head = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)message.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], MaskedCrc(head[..8]));
        Span<byte> tail = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(tail, MaskedCrc(message));
        _stream.Write(head);
        _stream.Write(message);
        _stream.Write(tail);
    }
}
