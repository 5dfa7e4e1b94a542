using System.Text;

namespace MiniVlp.Bench.Peers;

/// <summary>Writes one message in the protocol buffers wire format: as much of it as an ONNX model needs.</summary>
internal sealed class Protobuf
{
    private const int VarintType = 0, LengthType = 2, Fixed32Type = 5;
    private readonly MemoryStream _bytes = new();

    public byte[] ToArray() => _bytes.ToArray();

    public Protobuf Integer(int field, long value)
    {
        Varint((ulong)((field << 3) | VarintType));
        Varint((ulong)value);
        return this;
    }

    public Protobuf Float(int field, float value)
    {
        Varint((ulong)((field << 3) | Fixed32Type));
        _bytes.Write(BitConverter.GetBytes(value));
        return this;
    }

    public Protobuf Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    public Protobuf Message(int field, Protobuf message) => Bytes(field, message._bytes.GetBuffer().AsSpan(0, (int)message._bytes.Length));

    public Protobuf Bytes(int field, ReadOnlySpan<byte> value)
    {
        Varint((ulong)((field << 3) | LengthType));
        Varint((ulong)value.Length);
        _bytes.Write(value);
        return this;
    }

    private void Varint(ulong value)
    {
        while (value >= 0x80)
        {
            _bytes.WriteByte((byte)(value | 0x80));
            value >>= 7;
        }

        _bytes.WriteByte((byte)value);
    }
}
