using System.Buffers.Binary;
using System.Formats.Tar;
using System.Text;
using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Skia;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

public class TarShardTests
{
    [Fact]
    public void WrittenShardsReadBackInOrder()
    {
        using TemporaryFolder folder = new();
        using (TarShardWriter writer = new(folder.File("train"), samplesPerShard: 2))
        {
            for (int i = 0; i < 5; i++)
            {
                writer.Write($"{i:D6}", [(byte)(10 + i), 0], $"caption {i} é", JsonSerializer.SerializeToElement(new { number = i }));
            }

            Assert.False(File.Exists(folder.File("train-000002.tar")));
            writer.Complete();
            Assert.Equal(["train-000000.tar", "train-000001.tar", "train-000002.tar"], writer.Paths.Select(path => Path.GetFileName(path)));
        }

        Assert.Equal(3, Directory.GetFiles(folder.Path).Length);
        foreach (string spec in new[] { folder.Path, folder.File("train-*.tar"), folder.File("train-{000000..000002}.tar"), folder.File("train-00000{0,1,2}.tar") })
        {
            IImageTextDataset data = ImageTextDataset.Open(spec, new StubDecoder());
            Assert.Equal(5, data.Count);
            for (int i = 4; i >= 0; i--)
            {
                ImageTextSample sample = data.Get(i);
                Assert.Equal($"train-00000{i / 2}.tar/{i:D6}", sample.Key);
                Assert.Equal((byte)(10 + i), sample.Image.Pixels[0]);
                Assert.Equal($"caption {i} é", sample.Caption);
                Assert.Equal(sample.Caption, data.GetCaption(i));
                Assert.Equal(i, sample.Metadata!.Value.GetProperty("number").GetInt32());
            }

            Assert.Throws<ArgumentOutOfRangeException>(() => data.Get(5));
        }
    }

    [Fact]
    public void NeighboursWithTheSamePictureAreCaptionsOfIt()
    {
        using TemporaryFolder folder = new();
        using (TarShardWriter writer = new(folder.File("pairs"), samplesPerShard: 3))
        {
            byte[][] pictures = [[1, 0], [1, 0], [2, 0], [2, 0], [2, 0, 0], [1, 0]];
            for (int i = 0; i < pictures.Length; i++) writer.Write($"{i:D6}", pictures[i], $"caption {i}");
            writer.Complete();
        }

        // Samples 2 and 3 are in different shards; 5 is the picture of 0 again, but not beside it.
        IImageTextDataset data = ImageTextDataset.Open(folder.File("pairs-*.tar"), new StubDecoder());
        Assert.Equal([0, 0, 2, 2, 4, 5], Enumerable.Range(0, 6).Select(data.PictureOf));
        Assert.Throws<ArgumentOutOfRangeException>(() => data.PictureOf(6));
    }

    [Fact]
    public void TheSameSamplesGiveTheSameBytes()
    {
        using TemporaryFolder folder = new();
        foreach (string name in new[] { "a", "b" })
        {
            using TarShardWriter writer = new(folder.File(name));
            writer.Write("k", [1, 2, 3], "text");
            writer.Complete();
        }

        Assert.Equal(File.ReadAllBytes(folder.File("a-000000.tar")), File.ReadAllBytes(folder.File("b-000000.tar")));
    }

    [Fact]
    public void AnUnfinishedShardLeavesNothing()
    {
        using TemporaryFolder folder = new();
        using (TarShardWriter writer = new(folder.File("a")))
        {
            writer.Write("k", [1], "text");
            Assert.Throws<ArgumentException>(() => writer.Write("k", [1], "text"));
            Assert.Throws<ArgumentException>(() => writer.Write("../k", [1], "text"));
        }

        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void ReadsEveryTarFormatAndIgnoresForeignMembers(TarEntryFormat format)
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.tar");
        WriteTar(path, format, ("dir/a.seg.png", "x"), ("__notes__.txt", "x"), ("._a.png", "x"), ("a.cls", "3"), ("a.txt", " hello \n"), ("b.JPEG", "Bytes"), ("a.png", "Abytes"), ("b.json", """{"caption":"from json"}"""));
        TarShardDataset data = new([path], new StubDecoder());
        Assert.Equal(["hello", "from json"], [data.GetCaption(0), data.GetCaption(1)]);
        Assert.Equal([(byte)'A', (byte)'B'], [data.Get(0).Image.Pixels[0], data.Get(1).Image.Pixels[0]]);
    }

    [Fact]
    public void LongNamesOfPaxAndGnuAreRead()
    {
        string key = string.Join('/', Enumerable.Repeat(new string('d', 60), 4)) + "/sample";
        foreach (TarEntryFormat format in new[] { TarEntryFormat.Pax, TarEntryFormat.Gnu })
        {
            using TemporaryFolder folder = new();
            WriteTar(folder.File("x.tar"), format, (key + ".png", "A"), (key + ".txt", "long"));
            Assert.Equal($"x.tar/{key}", new TarShardDataset([folder.File("x.tar")], new StubDecoder()).Get(0).Key);
        }
    }

    [Theory]
    [InlineData("../a.png")]
    [InlineData("x/../../a.png")]
    [InlineData("/etc/a.png")]
    [InlineData("..\\a.png")]
    [InlineData("C:/a.png")]
    public void NamesThatLeadOutOfTheArchiveAreRefused(string name)
    {
        using TemporaryFolder folder = new();
        WriteTar(folder.File("x.tar"), TarEntryFormat.Gnu, (name, "A"));
        AssertRefused(folder.File("x.tar"), "x.tar: member '" + name, "leads out of the archive");
    }

    [Fact]
    public void TruncatedAndLyingArchivesAreRefused()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.tar");
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", new string('A', 2000)), ("a.txt", "x"));
        byte[] good = File.ReadAllBytes(path);

        File.WriteAllBytes(path, good[..1000]);
        AssertRefused(path, "member 'a.png'", "says 2000 bytes, the file ends 488 bytes after it");
        File.WriteAllBytes(path, good[..300]);
        AssertRefused(path, "truncated");
        File.WriteAllBytes(path, []);
        AssertRefused(path, "empty file");
        File.WriteAllBytes(path, Encoding.ASCII.GetBytes(new string('?', 4096)));
        AssertRefused(path, "x.tar");

        // Eight gigabytes as octal digits, as a binary number, and an extended header of one gigabyte.
        byte[] lying = [.. good];
        "77777777777"u8.CopyTo(lying.AsSpan(124));
        File.WriteAllBytes(path, lying);
        AssertRefused(path, "says 8589934591 bytes");
        lying = [.. good];
        lying[124] = 0x80;
        lying.AsSpan(125, 3).Clear();
        BinaryPrimitives.WriteInt64BigEndian(lying.AsSpan(128), long.MaxValue);
        File.WriteAllBytes(path, lying);
        AssertRefused(path, "the file ends");
        lying = [.. good];
        lying[156] = (byte)'x';
        File.WriteAllBytes(path, lying);
        AssertRefused(path);
    }

    [Fact]
    public void AnExtendedHeaderTakesNoMoreMemoryThanItMay()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.tar");
        using (FileStream stream = File.Create(path))
        {
            byte[] header = new byte[512];
            "././@LongLink"u8.CopyTo(header);
            "00400000000"u8.CopyTo(header.AsSpan(124));
            header[156] = (byte)'L';
            stream.Write(header);
            stream.SetLength(70 << 20);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        AssertRefused(path, "extended header", "at most 65536");
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20);
    }

    [Fact]
    public void OversizedAndDoubledMembersAreRefused()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.tar");
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", "A"), ("a.txt", new string('x', (1 << 20) + 1)));
        AssertRefused(path, "member 'a.txt' has 1048577 bytes; at most 1048576");
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", "A"), ("a.jpg", "B"), ("a.txt", "x"));
        AssertRefused(path, "member 'a.jpg'", "more than one");
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", "A"));
        AssertRefused(path, "sample 'a' has neither a .txt nor a .json");
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", string.Empty), ("a.txt", "x"));
        AssertRefused(path, "sample 'a' has no picture");
    }

    [Fact]
    public void DeepJsonAndBrokenTextAreNamed()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.tar");
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", "A"), ("a.txt", "x"), ("a.json", new string('[', 100_000)));
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => new TarShardDataset([path], new StubDecoder()).Get(0));
        Assert.Contains("x.tar: member 'a.json'", error.Message, StringComparison.Ordinal);
        WriteTar(path, TarEntryFormat.Ustar, ("a.png", "A"), ("a.json", """{"text":"x"}"""));
        error = Assert.Throws<InvalidDataException>(() => new TarShardDataset([path], new StubDecoder()).GetCaption(0));
        Assert.Contains("member 'a.json': the field 'caption' is missing", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ManyThreadsReadTheSame()
    {
        using TemporaryFolder folder = new();
        using (TarShardWriter writer = new(folder.File("t")))
        {
            for (int i = 0; i < 100; i++)
            {
                writer.Write($"{i}", [(byte)i], $"c{i}");
            }

            writer.Complete();
        }

        IImageTextDataset data = ImageTextDataset.Open(folder.Path, new StubDecoder());
        Parallel.For(0, 1000, i => Assert.Equal(((byte)(i % 100), $"c{i % 100}"), (data.Get(i % 100).Image.Pixels[0], data.GetCaption(i % 100))));
    }

    [Fact]
    public void SharedEmojiShardsDecode()
    {
        string folder = SharedFolder.Require("data/emoji");
        IImageTextDataset data = ImageTextDataset.Open(Path.Combine(folder, "val-*.tar"), new SkiaImageDecoder());
        Assert.Equal(628, data.Count);
        for (int i = 0; i < data.Count; i += 50)
        {
            ImageTextSample sample = data.Get(i);
            Assert.Equal((64, 64), (sample.Image.Width, sample.Image.Height));
            Assert.Equal(sample.Metadata!.Value.GetProperty("caption").GetString(), sample.Caption);
        }
    }

    [Fact]
    public void ADamagedPictureIsNamedByShardAndKey()
    {
        using TemporaryFolder folder = new();
        WriteTar(folder.File("x.tar"), TarEntryFormat.Ustar, ("a.png", "not a picture"), ("a.txt", "x"));
        IImageTextDataset data = ImageTextDataset.Open(folder.File("x.tar"), new SkiaImageDecoder());
        Assert.Contains("x.tar/a", Assert.Throws<ImageFormatException>(() => data.Get(0)).Message, StringComparison.Ordinal);
    }

    internal static void WriteTar(string path, TarEntryFormat format, params (string Name, string Content)[] members)
    {
        using FileStream stream = File.Create(path);
        using TarWriter writer = new(stream, format);
        foreach ((string name, string content) in members)
        {
            TarEntryType type = format == TarEntryFormat.V7 ? TarEntryType.V7RegularFile : TarEntryType.RegularFile;
            TarEntry entry = format switch
            {
                TarEntryFormat.V7 => new V7TarEntry(type, name),
                TarEntryFormat.Ustar => new UstarTarEntry(type, name),
                TarEntryFormat.Pax => new PaxTarEntry(type, name),
                _ => new GnuTarEntry(type, name),
            };
            entry.DataStream = new MemoryStream(Encoding.UTF8.GetBytes(content));
            writer.WriteEntry(entry);
        }
    }

    private static void AssertRefused(string path, params string[] parts)
    {
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => new TarShardDataset([path], new StubDecoder()));
        Assert.All(parts, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
    }
}
