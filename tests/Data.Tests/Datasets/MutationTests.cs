using System.Diagnostics;
using System.Formats.Tar;
using System.Text;
using Microsoft.Win32.SafeHandles;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

/// <summary>
/// 100,000 damaged inputs over the readers: each is read or refused with a documented exception, at once. The seeds are fixed, so a failure
/// names the number of the input and can be repeated.
/// </summary>
public sealed class MutationTests : IDisposable
{
    private static readonly byte[] Tokens = Encoding.ASCII.GetBytes("\"\"\",\n\r\t{}[]:\\\\u0000\\ud800nulltrue-1e99../..");

    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _folder.Dispose();
    }

    [Theory]
    [InlineData(TarEntryFormat.Ustar, 6_000)]
    [InlineData(TarEntryFormat.Pax, 6_000)]
    [InlineData(TarEntryFormat.Gnu, 6_000)]
    [InlineData(TarEntryFormat.V7, 2_000)]
    public void TarShards(TarEntryFormat format, int count)
    {
        string path = _folder.File("x.tar");
        string deep = format is TarEntryFormat.Pax or TarEntryFormat.Gnu ? new string('d', 90) + "/" + new string('e', 90) + "/" : "d/";
        TarShardTests.WriteTar(path, format, (deep + "a.png", "A"), (deep + "a.txt", "caption"), (deep + "a.json", """{"x":[1,2]}"""), ("b.jpg", "B"), ("b.json", """{"caption":"c"}"""));
        byte[] good = File.ReadAllBytes(path);
        Run(good, count, path, () => ReadAll(new TarShardDataset([path], new StubDecoder())), headerBlocks: true);
    }

    [Fact]
    public void CocoJson()
    {
        _folder.Write("a.png", "A");
        string path = _folder.Write("c.json", """{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"id":4,"image_id":1,"caption":"one \u00e9"},{"image_id":1,"caption":"two"}]}""");
        Run(File.ReadAllBytes(path), 25_000, path, () => ReadAll(new CocoCaptionDataset(path, new StubDecoder())));
    }

    [Theory]
    [InlineData("q.json")]
    [InlineData("a.json")]
    public void VqaJson(string damaged)
    {
        _folder.Write("a.png", "A");
        string questions = _folder.Write("q.json", """{"data_subtype":"x","questions":[{"question_id":1,"image_id":2,"question":"one \u00e9","image":"a.png"}]}""");
        string annotations = _folder.Write("a.json", """{"annotations":[{"question_id":1,"answer_type":"other","answers":[{"answer":"x"},{"answer":"\u00e9"}]}]}""");
        string path = _folder.File(damaged);
        Run(File.ReadAllBytes(path), 10_000, path, () => ReadAll(new VqaDataset(questions, annotations, new StubDecoder())));
    }

    [Theory]
    [InlineData("t.csv")]
    [InlineData("t.tsv")]
    public void Tables(string name)
    {
        _folder.Write("a.png", "A");
        string text = "image,caption,note\r\na.png,\"one, \"\"two\"\"\nthree\",x\r\na.png,four,\n";
        string path = _folder.Write(name, name.EndsWith("tsv", StringComparison.Ordinal) ? text.Replace(',', '\t') : text);
        Run(File.ReadAllBytes(path), 15_000, path, () => ReadAll(new TableDataset(path, new StubDecoder())));
    }

    [Theory]
    [InlineData("tokenizer.json", """{"added_tokens":[{"id":6,"content":"[X]"}],"normalizer":{"type":"BertNormalizer","lowercase":true},"model":{"type":"WordPiece","vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"a":4,"##b":5}}}""", 7_500)]
    [InlineData("tokenizer_config.json", """{"tokenizer_class":"BertTokenizer","do_lower_case":true,"pad_token":{"content":"[PAD]"},"model_max_length":20,"added_tokens_decoder":{"7":{"content":"[Y]"}}}""", 7_500)]
    [InlineData("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n", 5_000)]
    [InlineData("merges.txt", "#version: 0.2\na b</w>\nc ab</w>\n", 5_000)]
    public void TokenizerFiles(string name, string text, int count)
    {
        string path = _folder.Write(name, text);
        if (name == "tokenizer_config.json")
        {
            _folder.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n");
        }
        else if (name == "merges.txt")
        {
            _folder.Write("vocab.json", """{"a":0,"b</w>":1,"ab</w>":2,"c":3,"cab</w>":4,"c</w>":5,"<|startoftext|>":6,"<|endoftext|>":7}""");
        }

        Run(File.ReadAllBytes(path), count, path, () => TextTokenizer.FromPretrained(_folder.Path).Encode("ab cab [X]", 20));
    }

    private static void ReadAll(IImageTextDataset data)
    {
        for (int i = 0; i < data.Count; i++)
        {
            data.GetCaption(i);
            ImageTextSample sample = data.Get(i);
            _ = sample.Metadata?.GetRawText();
        }
    }

    private static void Run(byte[] good, int count, string path, Action read, bool headerBlocks = false)
    {
        Stopwatch clock = new();
        int refused = 0;
        for (int number = 0; number < count; number++)
        {
            byte[] bad = Mutate(good, SampleRandom.For(seed: 1, epoch: count, index: number), headerBlocks);
            Overwrite(path, bad);
            clock.Restart();
            try
            {
                read();
            }
            catch (Exception error) when (error is InvalidDataException or IOException or ImageFormatException or UnauthorizedAccessException)
            {
                refused++;
                Assert.False(string.IsNullOrWhiteSpace(error.Message));
            }
            catch (Exception error)
            {
                Assert.Fail($"Input {number} ({Convert.ToBase64String(bad)[..Math.Min(200, bad.Length)]}): {error}");
            }

            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(10), $"Input {number} took {clock.Elapsed}.");
        }

        // Most damage has to be seen, and some of it (a letter of a caption) is none.
        Assert.InRange(refused, count / 20, count - 1);
    }

    /// <summary>Not truncated to nothing first, which makes some file systems flush every such file to disk.</summary>
    private static void Overwrite(string path, byte[] content)
    {
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.Write);
        RandomAccess.Write(file, content, 0);
        RandomAccess.SetLength(file, content.Length);
    }

    private static byte[] Mutate(byte[] good, SampleRandom random, bool headerBlocks)
    {
        List<byte> bytes = [.. good];
        int changes = random.Next(1, 5);
        for (int i = 0; i < changes && bytes.Count > 0; i++)
        {
            int at = random.Next(bytes.Count);
            if (headerBlocks && random.Chance(0.8))
            {
                // Aim at the fields of a tar header rather than at its padding.
                at = Math.Min(bytes.Count - 1, (at / 512 * 512) + random.Next(160));
            }

            switch (random.Next(7))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 2:
                    bytes.RemoveRange(at, Math.Min(random.Next(1, 20), bytes.Count - at));
                    break;
                case 3:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 40), bytes.Count - at)));
                    break;
                case 4:
                    bytes.RemoveRange(at, random.Chance(0.2) ? bytes.Count - at : 1);
                    break;
                case 5:
                    bytes[at] = Tokens[random.Next(Tokens.Length)];
                    break;
                default:
                    int from = random.Next(Tokens.Length);
                    bytes.InsertRange(at, Tokens[from..Math.Min(Tokens.Length, from + random.Next(1, 9))]);
                    break;
            }
        }

        if (headerBlocks && random.Chance(0.5))
        {
            FixChecksums(bytes);
        }

        return [.. bytes];
    }

    /// <summary>Makes the checksum of every block right again, so that half of the damage gets past it.</summary>
    private static void FixChecksums(List<byte> bytes)
    {
        for (int block = 0; block + 512 <= bytes.Count; block += 512)
        {
            int sum = 8 * ' ';
            for (int i = 0; i < 512; i++)
            {
                sum += i is >= 148 and < 156 ? 0 : bytes[block + i];
            }

            byte[] digits = Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ");
            for (int i = 0; i < 8 && bytes[block] != 0; i++)
            {
                bytes[block + 148 + i] = digits[i];
            }
        }
    }
}
