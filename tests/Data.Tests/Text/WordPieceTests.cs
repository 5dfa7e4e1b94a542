using System.Text.Json;
using CsCheck;
using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Text;

/// <summary>BERT's tokenizer on a vocabulary small enough to follow by hand.</summary>
public class WordPieceTests
{
    private static readonly string[] Pieces =
    [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "##d", "##ish", "ball", "!", ",", "un", "##want", "##ed", "cafe", "中", "'", "s", "x",
    ];

    [Theory]
    [InlineData("", "[CLS] [SEP]")]
    [InlineData("A red ball", "[CLS] a red ball [SEP]")]
    [InlineData("REDDISH ball!", "[CLS] red ##d ##ish ball ! [SEP]")]
    [InlineData("unwanted,ball", "[CLS] un ##want ##ed , ball [SEP]")]
    [InlineData("café", "[CLS] cafe [SEP]")]
    [InlineData("cafe\u0301", "[CLS] cafe [SEP]")]
    [InlineData("a中a", "[CLS] a 中 a [SEP]")]
    [InlineData("re\u0000d\u200b\u00adball", "[CLS] [UNK] [SEP]")]
    [InlineData("re\u0000d\u00a0ball\ta\u0085", "[CLS] red ball a [SEP]")]
    [InlineData("a [MASK] ball", "[CLS] a [MASK] ball [SEP]")]
    [InlineData("a [mask] ball", "[CLS] a [UNK] [UNK] [UNK] ball [SEP]")]
    [InlineData("redx xish", "[CLS] [UNK] x ##ish [SEP]")]
    [InlineData("ball's", "[CLS] ball ' s [SEP]")]
    [InlineData("\ud83d", "[CLS] [SEP]")]
    [InlineData("\ud83d\ude00", "[CLS] [UNK] [SEP]")]
    public void SplitsAsBertDoes(string text, string expected)
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        Assert.Equal(expected, string.Join(' ', tokenizer.Tokens(text).Select(token => token.Piece)));
        Assert.Equal(tokenizer.Tokens(text).Select(token => Array.IndexOf(Pieces, token.Piece)), tokenizer.Encode(text));
    }

    [Fact]
    public void AWordOfMoreThanHundredCharactersIsUnknown()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary([.. Pieces, "##x", "\U0001F600", "##\U0001F600"]);
        Assert.Equal(102, tokenizer.Encode(new string('x', 100)).Length);
        Assert.Equal([2, 1, 3], tokenizer.Encode(new string('x', 101)));
        Assert.Equal(102, tokenizer.Encode(string.Concat(Enumerable.Repeat("\U0001F600", 100))).Length);
    }

    [Fact]
    public void TruncationKeepsTheEndToken()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        Assert.Equal([2, 5, 6, 3], tokenizer.Encode("a red ball !", 4));
        Assert.Equal([2, 6, 7, 3], tokenizer.Encode("reddish ball", 4));
        Assert.Equal([2, 3], tokenizer.Encode("a red ball", 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Encode("a", 1));
    }

    [Fact]
    public void PairsAreCutFromTheLongerText()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        (int[] ids, int[] types) = tokenizer.EncodePair("a", "red ball ! ,", 6);
        Assert.Equal([2, 5, 3, 6, 9, 3], ids);
        Assert.Equal([0, 0, 0, 1, 1, 1], types);
        (ids, types) = tokenizer.EncodePair("red ball ! ,", "a red ball", 8);
        Assert.Equal([2, 6, 9, 10, 3, 5, 6, 3], ids);
        Assert.Equal([0, 0, 0, 0, 0, 1, 1, 1], types);
    }

    [Fact]
    public void BatchesArePaddedAndMasked()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        (int[] ids, int[] mask) = tokenizer.EncodeBatch(["a", "a red ball !"], 5);
        Assert.Equal([2, 5, 3, 0, 0, 2, 5, 6, 9, 3], ids);
        Assert.Equal([1, 1, 1, 0, 0, 1, 1, 1, 1, 1], mask);
        Assert.Throws<ArgumentException>(() => tokenizer.EncodeBatch(["a", "a"], 5, new int[10], new int[9]));
    }

    [Fact]
    public void DecodeJoinsPiecesAndClosesUpPunctuation()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        Assert.Equal("a reddish ball!", tokenizer.Decode(tokenizer.Encode("A reddish ball !")));
        Assert.Equal("[CLS] a [SEP]", tokenizer.Decode(tokenizer.Encode("A"), skipSpecialTokens: false));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([99]));
    }

    [Theory]
    [InlineData(true, "Red", "[CLS] red [SEP]")]
    [InlineData(false, "Red", "[CLS] [UNK] [SEP]")]
    public void ConfigurationDecidesAboutCase(bool lowerCase, string text, string expected)
    {
        using TemporaryFolder folder = new();
        folder.Write("vocab.txt", string.Join('\n', Pieces));
        folder.Write("tokenizer_config.json", JsonSerializer.Serialize(new { do_lower_case = lowerCase, model_max_length = 40, pad_token = new { content = "x" } }));
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder.Path);
        Assert.Equal(expected, string.Join(' ', tokenizer.Tokens(text).Select(token => token.Piece)));
        Assert.Equal(40, tokenizer.MaxLength);
        Assert.Equal(19, tokenizer.PadId);
    }

    [Fact]
    public void AVocabularyWithCapitalsKeepsCaseAndAccents()
    {
        using TemporaryFolder folder = new();
        folder.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nRed\nred\ncafé\n");
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder.Path);
        Assert.Equal([2, 5, 6, 7, 3], tokenizer.Encode("Red red café"));
    }

    [Fact]
    public void SavedFilesReadBackTheSame()
    {
        using TemporaryFolder folder = new();
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        tokenizer.Save(folder.Path);
        TextTokenizer again = TextTokenizer.FromPretrained(folder.Path);
        Assert.Equal(Pieces, File.ReadAllLines(folder.File("vocab.txt")));
        Assert.Equal("BertTokenizer", JsonDocument.Parse(File.ReadAllText(folder.File("tokenizer_config.json"))).RootElement.GetProperty("tokenizer_class").GetString());
        Assert.Equal(tokenizer.Encode("A reddish [MASK] ball's café"), again.Encode("A reddish [MASK] ball's café"));
    }

    [Fact]
    public void TokenizerJsonGivesTheSameIds()
    {
        using TemporaryFolder folder = new();
        Dictionary<string, int> vocabulary = Pieces.Select((piece, id) => (piece, id)).ToDictionary(entry => entry.piece, entry => entry.id);
        folder.Write("tokenizer.json", JsonSerializer.Serialize(new
        {
            added_tokens = new[] { new { id = 20, content = "[ENC]", special = true } },
            normalizer = new { type = "BertNormalizer", lowercase = true, clean_text = true, handle_chinese_chars = true, strip_accents = (bool?)null },
            model = new { type = "WordPiece", unk_token = "[UNK]", continuing_subword_prefix = "##", max_input_chars_per_word = 100, vocab = vocabulary },
        }));
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder.Path);
        Assert.Equal([2, 20, 6, 7, 8, 15, 3], tokenizer.Encode("[ENC]Reddish Café"));
        Assert.Equal(21, tokenizer.VocabularySize);
    }

    [Fact]
    public void AnyTextGivesIdsOfTheVocabulary()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(Pieces);
        Gen.String[Gen.Char, 0, 60].Sample(text =>
        {
            int[] ids = tokenizer.Encode(text, 16);
            Assert.InRange(ids.Length, 2, 16);
            Assert.Equal(tokenizer.StartId, ids[0]);
            Assert.Equal(tokenizer.EndId, ids[^1]);
            Assert.All(ids, id => Assert.InRange(id, 0, Pieces.Length - 1));
        });
    }
}
