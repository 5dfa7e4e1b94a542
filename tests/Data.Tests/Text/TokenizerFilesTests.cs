using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Text;

public class TokenizerFilesTests
{
    private const string Clip = """{"a</w>":0,"<|startoftext|>":1,"<|endoftext|>":2}""";

    [Theory]
    [InlineData("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n", null, null, "vocab.txt: the vocabulary of 3 pieces has no '[SEP]'")]
    [InlineData("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]", "tokenizer_config.json", """{"do_lower_case":1}""", "tokenizer_config.json: the field 'do_lower_case' should be true or false and is number")]
    [InlineData("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]", "tokenizer_config.json", """{"added_tokens_decoder":{"900000000":{"content":"x"}}}""", "'x' has id 900000000, far outside")]
    [InlineData("vocab.json", """{"a":0}""", "merges.txt", "", "vocab.json: no piece ends in '</w>', so this is not a CLIP vocabulary")]
    [InlineData("vocab.json", """{"a</w>":-1}""", "merges.txt", "", "the id of the piece 'a</w>' is not a whole number")]
    [InlineData("vocab.json", """{"a</w>":2000000000}""", "merges.txt", "", "the highest id is 2000000000, but there are only 1 pieces")]
    [InlineData("vocab.json", Clip, "merges.txt", "#version: 0.2\na b c\n", "merges.txt: line 2 should be two pieces")]
    [InlineData("vocab.json", Clip, "merges.txt", "x y</w>\n", "vocab.json: the merges do not fit the vocabulary")]
    [InlineData("vocab.json", "[]", "merges.txt", "", "should be a json object of piece and id, is array")]
    [InlineData("tokenizer.json", """{"model":{"type":"Unigram","vocab":{}}}""", null, null, "model.type is 'Unigram'")]
    [InlineData("tokenizer.json", """{"model":{"type":"WordPiece"}}""", null, null, "tokenizer.json: model: the field 'vocab' is missing")]
    [InlineData("tokenizer.json", """{"normalizer":{"type":"NFKC"},"model":{"type":"WordPiece","vocab":{}}}""", null, null, "normalizer.type is 'NFKC'")]
    [InlineData("tokenizer.json", """{"model":{"type":"BPE","vocab":{"a</w>":0},"merges":[["a"]]}}""", null, null, "model.merges[0]: should be two pieces")]
    public void DamageIsNamedByFileAndField(string name, string text, string? secondName, string? second, string message)
    {
        using TemporaryFolder folder = new();
        folder.Write(name, text);
        if (secondName is not null)
        {
            folder.Write(secondName, second!);
        }

        InvalidDataException error = Assert.Throws<InvalidDataException>(() => TextTokenizer.FromPretrained(folder.Path));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AbsentFilesAreNamed()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("vocab.txt", Assert.Throws<FileNotFoundException>(() => TextTokenizer.FromPretrained(folder.Path)).Message, StringComparison.Ordinal);
        Assert.Throws<DirectoryNotFoundException>(() => TextTokenizer.FromPretrained(folder.File("none")));
    }

    [Fact]
    public void APieceListedTwiceHasItsLastIdAndHolesAreUnreachable()
    {
        using TemporaryFolder folder = new();
        folder.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n\na\nb\n");
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder.Path);
        Assert.Equal([2, 6, 7, 3], tokenizer.Encode("a b"));
        Assert.Equal(8, tokenizer.VocabularySize);
    }

    [Fact]
    public void ManyThreadsEncodeTheSame()
    {
        using TemporaryFolder folder = new();
        folder.Write("vocab.json", """{"a":0,"b":1,"c":2,"a</w>":3,"b</w>":4,"c</w>":5,"ab":6,"abc</w>":7,"<|startoftext|>":8,"<|endoftext|>":9}""");
        folder.Write("merges.txt", "a b\nab c</w>\n");
        TextTokenizer wordPiece = TextTokenizer.FromVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a", "##b", "##c"]);
        foreach (TextTokenizer tokenizer in new[] { TextTokenizer.FromPretrained(folder.Path), wordPiece })
        {
            string[] texts = [.. Enumerable.Range(0, 400).Select(i => string.Concat(Enumerable.Range(0, i % 23).Select(j => "abc "[(i + (j * j)) % 4])))];
            int[][] expected = [.. texts.Select(text => tokenizer.Encode(text))];
            Parallel.For(0, 4000, i => Assert.Equal(expected[i % 400], tokenizer.Encode(texts[i % 400])));
        }
    }
}
