using System.Diagnostics;
using System.Text;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

/// <summary>Random mutations of valid files: reading either works, reads inside the file, or throws <see cref="SafetensorsException"/>; nothing else.</summary>
public sealed class SafetensorsFuzzTests
{
    private const int Count = 100_000;

    private static readonly byte[][] HeaderSeeds =
    [
        SafetensorsBytes.File(
            """{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"h":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]}}""", 34),
        SafetensorsBytes.File("""{"i":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"m":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]}}  """, 19),
        SafetensorsBytes.File("""{"\u00e9":{"dtype":"F16","shape":[1,1,4],"data_offsets":[0,8]},"e":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}""", 8),
    ];

    private static readonly byte[] IndexSeed = Encoding.UTF8.GetBytes(
        """{"metadata":{"total_size":12},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}""");

    private static readonly byte[][] Pieces =
    [
        .. new[] { "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "-1", "0", "1e9", "9223372036854775807", "18446744073709551616", "null", "true", "..", "/",
            "\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"F64\"", "\"U8\"", "__metadata__", "\0", "\ufeff", "é" }.Select(Encoding.UTF8.GetBytes),
        [0xFF], [0xC3], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
    ];

    [Fact]
    public void Mutated_files_are_read_or_refused()
    {
        int accepted = Run(HeaderSeeds, 1, bytes =>
        {
            SafetensorsHeader header = SafetensorsHeader.Parse(bytes, bytes.Length, "fuzz");
            foreach (TensorEntry entry in header.Entries.Values)
            {
                ReadOnlySpan<byte> data = bytes.AsSpan(checked((int)entry.FileOffset), checked((int)entry.ByteLength));
                ElementConversion.TryToFloat32(entry.Dtype, data, new float[entry.ElementCount]);
                ElementConversion.TryToInt32(entry.Dtype, data, new int[entry.ElementCount], out _);
            }
        });

        // Were everything refused at the first byte, the run would show nothing.
        Assert.InRange(accepted, Count / 100, Count - (Count / 10));
    }

    [Fact]
    public void Mutated_indexes_are_read_or_refused()
    {
        int accepted = Run([IndexSeed], 2, bytes =>
        {
            foreach (string shard in SafetensorsIndex.Parse(bytes, "fuzz").Values)
            {
                Assert.Equal(shard, Path.GetFileName(shard));
            }
        });
        Assert.InRange(accepted, Count / 100, Count - (Count / 10));
    }

    private static int Run(byte[][] seeds, int seed, Action<byte[]> read)
    {
        Random random = new(seed);
        int accepted = 0;
        Stopwatch watch = Stopwatch.StartNew();
        for (int i = 0; i < Count; i++)
        {
            byte[] bytes = Mutate(random, seeds[i % seeds.Length]);
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(bytes);
                accepted++;
            }
            catch (SafetensorsException)
            {
            }

            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 200_000);
        }

        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 15);
        return accepted;
    }

    private static byte[] Mutate(Random random, byte[] seed)
    {
        List<byte> bytes = [.. seed];
        for (int n = random.Next(1, 4); n > 0 && bytes.Count > 0; n--)
        {
            int position = random.Next(bytes.Count);
            switch (random.Next(6))
            {
                case 0:
                    bytes[position] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes[position] ^= (byte)(1 << random.Next(8));
                    break;
                case 2:
                    bytes.RemoveRange(position, Math.Min(random.Next(1, 9), bytes.Count - position));
                    break;
                case 3:
                    byte[] piece = Pieces[random.Next(Pieces.Length)];
                    bytes.RemoveRange(position, Math.Min(piece.Length, bytes.Count - position));
                    bytes.InsertRange(position, piece);
                    break;
                case 4:
                    bytes.InsertRange(position, bytes.GetRange(position, Math.Min(random.Next(1, 40), bytes.Count - position)));
                    break;
                default:
                    bytes.RemoveRange(position, bytes.Count - position);
                    break;
            }
        }

        return [.. bytes];
    }
}
