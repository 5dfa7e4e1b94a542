using CsCheck;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneQuestionTests
{
    private static readonly SceneOptions Options = new();

    [Fact]
    public void ASecondReaderGivesTheSameAnswers()
    {
        Gen.Select(Gen.ULong, Gen.Enum<SceneQuestionKind>()).Sample((seed, kind) =>
        {
            Scene scene = new SceneWorld(Options with { Seed = seed }).At(SceneSplit.Train, 0);
            if (SceneQuestion.Ask(scene, Options, kind, seed) is { } question)
            {
                Assert.Equal(kind, question.Kind);
                Assert.Equal(SceneFactChecker.Answer(question.Text, scene), question.Answer);
                Assert.All(question.Text.Split(' ').Append(question.Answer), word => Assert.Contains(word, SceneGrammar.AllWords));
            }
        });
    }

    [Theory]
    [InlineData(SceneQuestionKind.Exists)]
    [InlineData(SceneQuestionKind.Relation)]
    public void YesAndNoAreEquallyOften(SceneQuestionKind kind)
    {
        var world = new SceneWorld(Options);
        SceneQuestion[] questions = [.. Enumerable.Range(0, 6000)
            .Select(i => SceneQuestion.Ask(world.At(SceneSplit.Train, i), Options, kind, (ulong)i))
            .OfType<SceneQuestion>()];
        int yes = questions.Count(question => question.Answer == "yes");

        Assert.True(questions.Length > 1000);
        Assert.True(ChiSquare.Statistic([yes, questions.Length - yes], [0.5, 0.5]) < ChiSquare.Critical(1));
    }

    [Theory]
    [InlineData(SceneQuestionKind.Color)]
    [InlineData(SceneQuestionKind.Shape)]
    public void AttributeAnswersAreSpreadEvenly(SceneQuestionKind kind)
    {
        SceneOptions single = Options.SingleObjects();
        var world = new SceneWorld(single);
        int[] counts = new int[10];
        for (int i = 0; i < 5000; i++)
        {
            string answer = SceneQuestion.Ask(world.At(SceneSplit.Train, i), single, kind, (ulong)i)!.Answer;
            counts[kind == SceneQuestionKind.Color ? SceneWords.Colors.IndexOf(answer) : SceneWords.Shapes.IndexOf(answer)]++;
        }

        Assert.True(ChiSquare.Statistic(counts, [.. Enumerable.Repeat(0.1, 10)]) < ChiSquare.Critical(9));
    }

    [Fact]
    public void EveryCountFromZeroToFourIsAsked()
    {
        var world = new SceneWorld(Options);
        HashSet<string> answers = [.. Enumerable.Range(0, 2000).Select(i => SceneQuestion.Ask(world.At(SceneSplit.Train, i), Options, SceneQuestionKind.Count, (ulong)i)!.Answer)];

        Assert.Equal(SceneWords.Numbers.ToHashSet(), answers);
    }

    [Fact]
    public void AnyQuestionCanBeAskedAndIsTheSameForTheSameSeed()
    {
        var world = new SceneWorld(Options);
        SceneQuestion[] questions = [.. Enumerable.Range(0, 500).Select(i => SceneQuestion.Ask(world.At(SceneSplit.Train, i), Options, (ulong)i))];

        Assert.Equal(Enum.GetValues<SceneQuestionKind>(), questions.Select(question => question.Kind).Distinct().Order());
        Assert.Equal(questions, Enumerable.Range(0, 500).Select(i => SceneQuestion.Ask(world.At(SceneSplit.Train, i), Options, (ulong)i)));
        Assert.Throws<ArgumentException>(() => SceneQuestion.Ask(new Scene(SceneBackground.White, []), Options, 0));
    }

    [Fact]
    public void ASceneWithOneObjectHasNoRelationToAskFor()
    {
        Scene scene = new SceneWorld(Options.SingleObjects()).At(SceneSplit.Train, 0);
        Assert.Null(SceneQuestion.Ask(scene, Options, SceneQuestionKind.Relation, 1));
    }
}
