using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Text;

public class VocabularyBuilderTests
{
    private static readonly string[] Captions =
        ["a red ball", "a red cube", "the red ball left of the cube", "a reddish ball, and a cube", "two balls", "a café"];

    [Fact]
    public void JoinsTheMostFrequentPairsFirst()
    {
        // "aa" three times and "ab" twice: a+a before a+b, and no join that occurs once.
        IReadOnlyList<string> pieces = TextTokenizer.BuildVocabulary(["aa aa aa", "ab ab", "cd"], 100);
        Assert.Equal(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##a", "##b", "##d", "a", "c", "aa", "ab"], pieces);
    }

    [Fact]
    public void RepeatedWordsBecomeOnePieceAndAllCharactersAreSpelled()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(Captions, 500));
        Assert.Equal(["[CLS]", "a", "red", "ball", "[SEP]"], tokenizer.Tokens("A red ball").Select(token => token.Piece));
        foreach (string caption in Captions)
        {
            Assert.DoesNotContain(tokenizer.UnknownId, tokenizer.Encode(caption));
        }
    }

    /// <summary>Further special tokens come behind the pieces, are found literally, and go through a folder.</summary>
    [Fact]
    public void SpecialTokensAreAddedOnce()
    {
        IReadOnlyList<string> pieces = TextTokenizer.BuildVocabulary(Captions, 500);
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(pieces, "[DEC]", "[ENC]", "[MASK]");
        Assert.Equal(pieces.Count + 2, tokenizer.VocabularySize);
        Assert.Equal((pieces.Count, pieces.Count + 1), (tokenizer.IdOf("[DEC]"), tokenizer.IdOf("[ENC]")));
        Assert.Equal([tokenizer.StartId, pieces.Count, tokenizer.IdOf("ball")!.Value, tokenizer.EndId], tokenizer.Encode("[DEC] ball"));
        using TemporaryFolder folder = new();
        tokenizer.Save(folder.File("model"));
        TextTokenizer read = TextTokenizer.FromPretrained(folder.File("model"));
        Assert.Equal(tokenizer.Encode("[ENC] red ball"), read.Encode("[ENC] red ball"));
        Assert.Equal(tokenizer.SpecialIds.Order(), read.SpecialIds.Order());
    }

    [Fact]
    public void OrderOfCaptionsDoesNotMatter()
    {
        Assert.Equal(TextTokenizer.BuildVocabulary(Captions, 60), TextTokenizer.BuildVocabulary(Captions.Reverse(), 60));
    }

    [Fact]
    public void SizeIsALimit()
    {
        Assert.Equal(30, TextTokenizer.BuildVocabulary(Captions, 30).Count);
        Assert.Equal(16, TextTokenizer.BuildVocabulary(Captions, 16).Count);
        Assert.Throws<ArgumentOutOfRangeException>(() => TextTokenizer.BuildVocabulary(Captions, 15));
    }
}
