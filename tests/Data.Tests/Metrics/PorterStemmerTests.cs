using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class PorterStemmerTests
{
    /// <summary>The examples of Porter's article, followed through all five steps.</summary>
    [Theory]
    [InlineData("caresses caress ponies poni ties ti caress caress cats cat")]
    [InlineData("feed feed agreed agre plastered plaster bled bled motoring motor sing sing")]
    [InlineData("conflated conflat troubled troubl sized size hopping hop tanned tan falling fall hissing hiss fizzed fizz failing fail filing file")]
    [InlineData("happy happi sky sky relational relat conditional condit rational ration digitizer digit radically radic operator oper")]
    [InlineData("feudalism feudal decisiveness decis hopefulness hope callousness callous formality formal sensitivity sensit")]
    [InlineData("triplicate triplic formative form formalize formal electrical electr hopeful hope goodness good")]
    [InlineData("revival reviv allowance allow inference infer airliner airlin gyroscopic gyroscop adjustable adjust defensible defens irritant irrit")]
    [InlineData("replacement replac adjustment adjust dependent depend adoption adopt communism commun activate activ effective effect")]
    [InlineData("probate probat rate rate cease ceas controll control roll roll generalizations gener oscillators oscil")]
    [InlineData("as as by by it's it's t-shirts t-shirts ärzte ärzte")]
    public void StemsAreThoseOfTheArticle(string pairs)
    {
        string[] words = pairs.Split(' ');
        for (int i = 0; i < words.Length; i += 2)
        {
            Assert.Equal((words[i], words[i + 1]), (words[i], PorterStemmer.Stem(words[i])));
        }
    }

    [Theory]
    [InlineData("circle", "circles")]
    [InlineData("run", "running")]
    [InlineData("play", "played")]
    public void FormsOfOneWordMeet(string first, string second) => Assert.Equal(PorterStemmer.Stem(first), PorterStemmer.Stem(second));
}
