using System.Globalization;
using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Text;

/// <summary>Examples of Unicode Standard Annex 15 and of the conformance test's hard cases.</summary>
public class UnicodeNormalizationTests
{
    [Theory]
    [InlineData("212B", "00C5", "0041 030A")]
    [InlineData("1E9B 0323", "1E9B 0323", "017F 0323 0307")]
    [InlineData("0071 0307 0323", "0071 0323 0307", "0071 0323 0307")]
    [InlineData("0061 0323 0302", "1EAD", "0061 0323 0302")]
    [InlineData("0061 0302 0323", "1EAD", "0061 0323 0302")]
    [InlineData("0958", "0915 093C", "0915 093C")]
    [InlineData("AC01", "AC01", "1100 1161 11A8")]
    [InlineData("1100 1161 11A8", "AC01", "1100 1161 11A8")]
    [InlineData("0344", "0308 0301", "0308 0301")]
    [InlineData("0061 0315 0300 05AE 0062", "00E0 05AE 0315 0062", "0061 05AE 0300 0315 0062")]
    [InlineData("1D15E", "1D157 1D165", "1D157 1D165")]
    [InlineData("FB1D", "05D9 05B4", "05D9 05B4")]
    [InlineData("0301 0041", "0301 0041", "0301 0041")]
    public void ComposesAndDecomposes(string text, string composed, string decomposed)
    {
        Assert.Equal(Parse(composed), UnicodeNormalization.Compose(Parse(text)));
        Assert.Equal(Parse(decomposed), UnicodeNormalization.Decompose(Parse(text)));
    }

    private static List<int> Parse(string codePoints)
    {
        return [.. codePoints.Split(' ').Select(code => int.Parse(code, NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
    }
}
