using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class CaptionTokenizerTests
{
    [Theory]
    [InlineData("A man's T-shirt, isn't it?", "a man 's t-shirt is n't it")]
    [InlineData("They’ll see 1,000 dogs (at 3.5 m).", "they 'll see 1,000 dogs at 3.5 m")]
    [InlineData("I cannot; we've: he'd -- \"o'clock\" ...", "i can not we 've he 'd o'clock")]
    [InlineData("two, three", "two three")]
    [InlineData("red/blue 5,", "red blue 5")]
    [InlineData("  \t ", "")]
    [InlineData("?!.", "")]
    [InlineData("", "")]
    [InlineData("Straße Ägypten 漢字", "straße ägypten 漢字")]
    [InlineData("'s n't", "s n't")]
    public void WordsAreThoseOfTheTreebankWithoutPunctuation(string caption, string words)
        => Assert.Equal(words, string.Join(' ', CaptionTokenizer.Split(caption)));
}
