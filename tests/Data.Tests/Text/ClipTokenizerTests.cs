using System.Text.Json;
using CsCheck;
using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Text;

/// <summary>CLIP's tokenizer on the 256 byte symbols and four merges, small enough to follow by hand.</summary>
public class ClipTokenizerTests
{
    private static readonly string[] Merges = ["c a", "ca t</w>", "' s</w>", "1 2</w>"];
    private static readonly Dictionary<string, int> Vocabulary = MakeVocabulary();

    [Theory]
    [InlineData("", "<|startoftext|> <|endoftext|>")]
    [InlineData("Cat", "<|startoftext|> cat</w> <|endoftext|>")]
    [InlineData("cat's  CATS", "<|startoftext|> cat</w> 's</w> ca t s</w> <|endoftext|>")]
    [InlineData("12", "<|startoftext|> 1</w> 2</w> <|endoftext|>")]
    [InlineData("a!? b", "<|startoftext|> a</w> ! ?</w> b</w> <|endoftext|>")]
    [InlineData("!'s", "<|startoftext|> ! '</w> s</w> <|endoftext|>")]
    [InlineData("\u00e9", "<|startoftext|> Ã ©</w> <|endoftext|>")]
    [InlineData("e\u0301", "<|startoftext|> Ã ©</w> <|endoftext|>")]
    [InlineData("\u00c9", "<|startoftext|> Ã ©</w> <|endoftext|>")]
    [InlineData("<|endoftext|>a", "<|startoftext|> <|endoftext|> a</w> <|endoftext|>")]
    [InlineData("&amp;", "<|startoftext|> &</w> a m p</w> ;</w> <|endoftext|>")]
    public void SplitsAsClipDoes(string text, string expected)
    {
        using TemporaryFolder folder = new();
        TextTokenizer tokenizer = Load(folder);
        Assert.Equal(expected, string.Join(' ', tokenizer.Tokens(text).Select(token => token.Piece)));
        Assert.Equal(tokenizer.Tokens(text).Select(token => Vocabulary[token.Piece]), tokenizer.Encode(text));
    }

    [Fact]
    public void EntitiesAreDecodedTwiceOnRequest()
    {
        using TemporaryFolder folder = new();
        TextTokenizer plain = Load(folder);
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder.Path, unescapeHtml: true);
        Assert.Equal(plain.Encode("a & b"), tokenizer.Encode("a &amp;amp; b"));
        Assert.NotEqual(plain.Encode("a & b"), plain.Encode("a &amp;amp; b"));
    }

    [Fact]
    public void SeventySevenIdsWithTheEndTokenLast()
    {
        using TemporaryFolder folder = new();
        TextTokenizer tokenizer = Load(folder);
        int[] ids = tokenizer.Encode(string.Join(' ', Enumerable.Repeat("cat", 200)));
        Assert.Equal(77, ids.Length);
        Assert.Equal(tokenizer.EndId, ids[^1]);
        Assert.Equal(Enumerable.Repeat(Vocabulary["cat</w>"], 75), ids[1..^1]);
    }

    [Fact]
    public void PadsWithTheEndToken()
    {
        using TemporaryFolder folder = new();
        TextTokenizer tokenizer = Load(folder);
        (int[] ids, int[] mask) = tokenizer.EncodeBatch(["cat"], 6);
        int end = Vocabulary["<|endoftext|>"];
        Assert.Equal([Vocabulary["<|startoftext|>"], Vocabulary["cat</w>"], end, end, end, end], ids);
        Assert.Equal([1, 1, 1, 0, 0, 0], mask);
    }

    [Fact]
    public void DecodesBytes()
    {
        using TemporaryFolder folder = new();
        TextTokenizer tokenizer = Load(folder);
        Assert.Equal("cat é 中 \U0001F600", tokenizer.Decode(tokenizer.Encode("Cat É 中 \U0001F600")));
    }

    [Fact]
    public void ReadsBothFormsOfTokenizerJson()
    {
        foreach (object merges in new object[] { Merges, Merges.Select(merge => merge.Split(' ')).ToArray() })
        {
            using TemporaryFolder folder = new();
            folder.Write("tokenizer.json", JsonSerializer.Serialize(new { model = new { type = "BPE", vocab = Vocabulary, merges, end_of_word_suffix = "</w>" } }));
            Assert.Equal([Vocabulary["<|startoftext|>"], Vocabulary["cat</w>"], Vocabulary["<|endoftext|>"]], TextTokenizer.FromPretrained(folder.Path).Encode("cat"));
        }
    }

    [Fact]
    public void WellFormedLowerCaseTextComesBack()
    {
        using TemporaryFolder folder = new();
        TextTokenizer tokenizer = Load(folder);
        Gen.Char["abcdefg hijé中!?.,ßø"].Array[0, 40].Sample(characters =>
        {
            string text = new(characters);
            string withoutSpaces = text.Replace(" ", string.Empty, StringComparison.Ordinal);
            string back = tokenizer.Decode(tokenizer.Encode(text, 1000)).Replace(" ", string.Empty, StringComparison.Ordinal);
            Assert.Equal(withoutSpaces, back);
        });
    }

    private static TextTokenizer Load(TemporaryFolder folder)
    {
        folder.Write("vocab.json", JsonSerializer.Serialize(Vocabulary));
        folder.Write("merges.txt", "#version: 0.2\n" + string.Join('\n', Merges) + "\n");
        return TextTokenizer.FromPretrained(folder.Path);
    }

    private static Dictionary<string, int> MakeVocabulary()
    {
        // Byte symbols as GPT-2 defines them: printable Latin-1 stands for itself, the other 68 bytes for U+0100, U+0101, ...
        List<string> symbols = [];
        int next = 0x100;
        foreach (int value in Enumerable.Range(0, 256))
        {
            bool printable = (value >= 33 && value <= 126) || (value >= 161 && value <= 172) || value >= 174;
            symbols.Add(((char)(printable ? value : next++)).ToString());
        }

        IEnumerable<string> all = [.. symbols, .. symbols.Select(symbol => symbol + "</w>"), "ca", "cat</w>", "'s</w>", "12</w>", "<|startoftext|>", "<|endoftext|>"];
        return all.Select((piece, id) => (piece, id)).ToDictionary(entry => entry.piece, entry => entry.id);
    }
}
