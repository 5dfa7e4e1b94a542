using MiniVlp.Cli.Evaluation;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>Zero-shot classification by cases that are computed by hand.</summary>
public sealed class ZeroShotClassifierTests
{
    /// <summary>
    /// Class a has the prompts (1, 0) and (0, 1), whose mean lies at 45 degrees; class b has (1, 0), class c (-1, 0). A picture at 30 degrees is nearer to a
    /// (cosine of 15 degrees) than to b (of 30), which a sum that is not normalised, 1.37, would not tell from a class with more prompts.
    /// </summary>
    [Fact]
    public void AClassIsTheDirectionOfTheMeanOfItsPrompts()
    {
        ZeroShotClassifier classifier = new(["a", "b", "c"], [2, 1, 1], [1, 0, 0, 1, 1, 0, -1, 0], 2);
        float[] pictures = [.. At(30), .. At(20), .. At(60), .. At(200)];
        ZeroShotResult result = classifier.Evaluate("letters", pictures, [0, 1, 1, 2]);

        // 20 degrees is nearer to b (20) than to a (25); 60 degrees is nearer to a, so that its label b is wrong.
        Assert.Equal((4, 0.75, 1.0, 1 / 3.0), (result.Count, result.Accuracy, result.Accuracy5, result.Chance));
        Assert.Equal([[1, 0, 0], [1, 1, 0], [0, 0, 1]], result.Confusion);
    }

    /// <summary>Of seven classes in a row from 0 to 60 degrees a picture at 0 has the fifth and the sixth as its fifth and sixth nearest.</summary>
    [Fact]
    public void FiveAnswersAreTheFiveNearest()
    {
        float[] prompts = [.. Enumerable.Range(0, 7).SelectMany(i => At(10 * i))];
        ZeroShotClassifier classifier = new([.. Enumerable.Range(0, 7).Select(i => $"{i}")], [1, 1, 1, 1, 1, 1, 1], prompts, 2);
        ZeroShotResult result = classifier.Evaluate("angles", [.. At(0), .. At(0), .. At(0)], [0, 4, 5]);
        Assert.Equal((1 / 3.0, 2 / 3.0), (result.Accuracy, result.Accuracy5));
        Assert.Equal([1, 0, 0, 0, 0, 0, 0], result.Confusion[4]);
    }

    /// <summary>One vector for everything is no answer.</summary>
    [Fact]
    public void ATieIsWrong()
    {
        ZeroShotClassifier classifier = new(["a", "b"], [1, 1], [1, 0, 1, 0], 2);
        ZeroShotResult result = classifier.Evaluate("tie", [1, 0, 1, 0], [0, 1]);
        Assert.Equal(0, result.Accuracy);
        Assert.Equal([[0, 1], [1, 0]], result.Confusion);
    }

    [Fact]
    public void EveryClassNeedsAPrompt()
    {
        Assert.Throws<ArgumentException>(() => new ZeroShotClassifier(["a", "b"], [2, 0], [1, 0, 0, 1], 2));
        Assert.Throws<ArgumentException>(() => new ZeroShotClassifier(["a", "b"], [1], [1, 0], 2));
        Assert.Contains("found 6 values", Assert.Throws<ArgumentException>(() => new ZeroShotClassifier(["a", "b"], [1, 1], [1, 0, 0, 1, 1, 1], 2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TemplatesTakeTheName()
        => Assert.Equal([["red", "a red thing"], ["blue", "a blue thing"]], ZeroShotClassifier.Fill(["red", "blue"], ["{}", "a {} thing"]).Select(prompts => prompts.ToArray()));

    private static float[] At(double degrees) => [(float)Math.Cos(degrees * Math.PI / 180), (float)Math.Sin(degrees * Math.PI / 180)];
}
