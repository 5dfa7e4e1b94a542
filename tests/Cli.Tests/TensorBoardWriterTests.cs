using System.Buffers.Binary;
using System.Text;
using MiniVlp.Cli.TensorBoard;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed class TensorBoardWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Test vectors of RFC 3720 (iSCSI), appendix B.4, and the check value of the CRC catalogue for "123456789".
    [Theory]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000", 0x8A9136AAu)]
    [InlineData("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", 0x62A8AB43u)]
    [InlineData("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", 0x46DD794Eu)]
    [InlineData("1F1E1D1C1B1A191817161514131211100F0E0D0C0B0A09080706050403020100", 0x113FDB5Cu)]
    [InlineData("313233343536373839", 0xE3069283u)]
    [InlineData("", 0u)]
    public void Crc32C_GivesPublishedValues(string hex, uint expected) => Assert.Equal(expected, TensorBoardWriter.Crc32C(Convert.FromHexString(hex)));

    [Fact]
    public void MaskedCrc_RotatesAndAdds()
    {
        uint crc = 0xE3069283u;
        uint expected = unchecked(((crc >> 15) | (crc << 17)) + 0xA282EAD8u);
        Assert.Equal(expected, TensorBoardWriter.MaskedCrc("123456789"u8));
    }

    [Fact]
    public void EventFile_ReadsBack()
    {
        DateTimeOffset time = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_250);
        string path;
        using (TensorBoardWriter writer = new(_folder.Path, () => time))
        {
            path = writer.Path;
            writer.Write(300, ("train/loss", 1.5), ("speed/größe", -2));
            writer.Write(long.MaxValue, ("x", double.NaN));
        }

        List<Event> events = Read(File.ReadAllBytes(path));
        Assert.Equal(3, events.Count);
        Assert.All(events, read => Assert.Equal(1_700_000_000.25, read.WallTime));
        Assert.Equal("brain.Event:2", events[0].FileVersion);
        Assert.Equal(300, events[1].Step);
        Assert.Equal([("train/loss", 1.5f), ("speed/größe", -2f)], events[1].Values);
        Assert.Equal(long.MaxValue, events[2].Step);
        Assert.True(float.IsNaN(events[2].Values[0].Value));
    }

    [Fact]
    public void SecondRun_StartsAnotherFile()
    {
        DateTimeOffset time = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);
        using TensorBoardWriter first = new(_folder.Path, () => time), second = new(_folder.Path, () => time);
        Assert.NotEqual(first.Path, second.Path);
        Assert.Contains("tfevents", Path.GetFileName(second.Path), StringComparison.Ordinal);
    }

    private static List<Event> Read(ReadOnlySpan<byte> file)
    {
        List<Event> events = [];
        while (file.Length > 0)
        {
            ulong length = BinaryPrimitives.ReadUInt64LittleEndian(file);
            Assert.Equal(Mask(SlowCrc32C(file[..8])), BinaryPrimitives.ReadUInt32LittleEndian(file[8..]));
            ReadOnlySpan<byte> data = file.Slice(12, (int)length);
            Assert.Equal(Mask(SlowCrc32C(data)), BinaryPrimitives.ReadUInt32LittleEndian(file[(12 + (int)length)..]));
            events.Add(Event.Parse(data));
            file = file[(16 + (int)length)..];
        }

        return events;
    }

    private static uint Mask(uint crc) => unchecked(((crc >> 15) | (crc << 17)) + 0xA282EAD8u);

    /// <summary>Bit by bit, from the polynomial.</summary>
    private static uint SlowCrc32C(ReadOnlySpan<byte> data)
    {
        uint crc = 0xFFFFFFFF;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
        }

        return ~crc;
    }

    /// <summary>A reader of protocol buffers that knows the fields of an event and rejects others.</summary>
    private sealed record Event(double WallTime, long Step, string? FileVersion, List<(string Tag, float Value)> Values)
    {
        public static Event Parse(ReadOnlySpan<byte> data)
        {
            Event read = new(0, 0, null, []);
            while (data.Length > 0)
            {
                switch (Varint(ref data))
                {
                    case (1 << 3) | 1: read = read with { WallTime = BinaryPrimitives.ReadDoubleLittleEndian(Take(ref data, 8)) }; break;
                    case (2 << 3) | 0: read = read with { Step = (long)Varint(ref data) }; break;
                    case (3 << 3) | 2: read = read with { FileVersion = Encoding.UTF8.GetString(Take(ref data, (int)Varint(ref data))) }; break;
                    case (5 << 3) | 2: ParseSummary(Take(ref data, (int)Varint(ref data)), read.Values); break;
                    case ulong key: throw new InvalidDataException($"field {key >> 3}, type {key & 7}");
                }
            }

            return read;
        }

        private static void ParseSummary(ReadOnlySpan<byte> data, List<(string Tag, float Value)> values)
        {
            while (data.Length > 0)
            {
                Assert.Equal((1ul << 3) | 2, Varint(ref data));
                ReadOnlySpan<byte> value = Take(ref data, (int)Varint(ref data));
                Assert.Equal((1ul << 3) | 2, Varint(ref value));
                string tag = Encoding.UTF8.GetString(Take(ref value, (int)Varint(ref value)));
                Assert.Equal((2ul << 3) | 5, Varint(ref value));
                values.Add((tag, BinaryPrimitives.ReadSingleLittleEndian(Take(ref value, 4))));
                Assert.Equal(0, value.Length);
            }
        }

        private static ulong Varint(ref ReadOnlySpan<byte> data)
        {
            ulong value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte part = Take(ref data, 1)[0];
                value |= (ulong)(part & 0x7F) << shift;
                if (part < 0x80) return value;
            }
        }

        private static ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> data, int count)
        {
            ReadOnlySpan<byte> taken = data[..count];
            data = data[count..];
            return taken;
        }
    }
}
