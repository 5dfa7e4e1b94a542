using CsCheck;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneWorldTests
{
    private static readonly SceneOptions Everything = new();

    [Fact]
    public void AnIndexGivesTheSameSceneInAnyOrderOnAnyThread()
    {
        var world = new SceneWorld(Everything);
        Scene[] forward = [.. world.Take(SceneSplit.Train, 500)];
        var parallel = new Scene[500];
        Parallel.For(0, 500, i => parallel[499 - i] = new SceneWorld(Everything).At(SceneSplit.Train, 499 - i));

        Assert.Equal(forward, parallel);
        Assert.Equal(500, forward.Select(scene => scene.Fingerprint).Distinct().Count());
    }

    [Fact]
    public void SeedsGiveDifferentScenes()
    {
        Scene[] first = [.. new SceneWorld(Everything).Take(SceneSplit.Train, 100)];
        Scene[] second = [.. new SceneWorld(Everything with { Seed = 1 }).Take(SceneSplit.Train, 100)];

        Assert.Empty(first.Intersect(second));
    }

    [Fact]
    public void FingerprintsDoNotChangeBetweenVersions()
    {
        // Splits and noise hang on the hash: a change here would mix data sets that were drawn before and after it.
        var scene = new Scene(SceneBackground.Gray, [new SceneObject(SceneShape.Star, SceneColor.Blue, SceneSize.Large, 0.5, 0.25, 0.125)]);

        // The number comes from a few lines of Python that mix the same fields by SplitMix64.
        Assert.Equal(0x95ACC767FD693068UL, scene.Fingerprint);
        Assert.NotEqual(scene.Fingerprint, new Scene(SceneBackground.White, scene.Objects).Fingerprint);
        Assert.NotEqual(scene.Fingerprint, new Scene(scene.Background, [scene.Objects[0] with { X = Math.BitIncrement(0.5) }]).Fingerprint);
        Assert.Equal(scene.CompositionKey, new Scene(SceneBackground.White, [scene.Objects[0] with { X = 0.4, Size = SceneSize.Small }]).CompositionKey);
    }

    [Fact]
    public void EverySceneBelongsToItsSplitWhateverTheSeed()
    {
        var judge = new SceneWorld(Everything);
        foreach (ulong seed in new ulong[] { 0, 1, 99 })
        {
            var world = new SceneWorld(Everything with { Seed = seed });
            foreach (SceneSplit split in Enum.GetValues<SceneSplit>())
            {
                Assert.All(world.Take(split, 300), scene => Assert.Equal(split, judge.SplitOf(scene)));
            }
        }
    }

    [Fact]
    public void HeldOutCompositionsAreNeverSeenInTraining()
    {
        var world = new SceneWorld(SceneOptions.Demo with { Holdout = SceneHoldout.Compositions });
        HashSet<ulong> train = [.. world.Take(SceneSplit.Train, 3000).Select(scene => scene.CompositionKey)];
        HashSet<ulong> validation = [.. world.Take(SceneSplit.Validation, 1000).Select(scene => scene.CompositionKey)];
        HashSet<ulong> test = [.. world.Take(SceneSplit.Test, 1000).Select(scene => scene.CompositionKey)];

        Assert.Empty(train.Intersect(validation));
        Assert.Empty(train.Intersect(test));
        Assert.Empty(validation.Intersect(test));
    }

    [Fact]
    public void ObjectsLieOnThePlaneAndDoNotOverlap()
    {
        Gen.ULong.Sample(seed =>
        {
            Scene scene = new SceneWorld(Everything with { Seed = seed }).At(SceneSplit.Train, (long)(seed % 1000));
            foreach (SceneObject item in scene.Objects)
            {
                Assert.InRange(item.X, item.Radius, 1 - item.Radius);
                Assert.InRange(item.Y, item.Radius, 1 - item.Radius);
                foreach (SceneObject other in scene.Objects)
                {
                    bool apart = item.DistanceTo(other) >= item.Radius + other.Radius;
                    bool nested = SceneRelations.Holds(SceneRelation.Inside, item, other) || SceneRelations.Holds(SceneRelation.Inside, other, item);
                    Assert.True(ReferenceEquals(item, other) || apart || nested);
                }
            }
        });
    }

    [Fact]
    public void LayoutsColoursAndShapesComeAsOftenAsAsked()
    {
        SceneOptions options = Everything with { SingleWeight = 4, PairWeight = 3, GroupWeight = 2, CrowdWeight = 1 };
        Scene[] scenes = [.. new SceneWorld(options).Take(SceneSplit.Train, 6000)];
        int[] layouts = new int[4];
        int[] shapes = new int[10];
        int[] colors = new int[10];
        foreach (Scene scene in scenes)
        {
            bool alike = scene.Objects.All(item => item.Shape == scene.Objects[0].Shape && item.Color == scene.Objects[0].Color);
            layouts[scene.Objects.Length == 1 ? 0 : alike ? 2 : scene.Objects.Length == 2 ? 1 : 3]++;
            if (scene.Objects.Length == 1)
            {
                shapes[(int)scene.Objects[0].Shape]++;
                colors[(int)scene.Objects[0].Color]++;
            }
        }

        Assert.True(ChiSquare.Statistic(layouts, [0.4, 0.3, 0.2, 0.1]) < ChiSquare.Critical(3));
        Assert.True(ChiSquare.Statistic(shapes, [.. Enumerable.Repeat(0.1, 10)]) < ChiSquare.Critical(9));
        Assert.True(ChiSquare.Statistic(colors, [.. Enumerable.Repeat(0.1, 10)]) < ChiSquare.Critical(9));
    }

    [Fact]
    public void PairsStandInEveryRelationAskedForAndInNoOther()
    {
        SceneRelation[] all = Enum.GetValues<SceneRelation>();
        foreach (SceneRelation relation in all)
        {
            SceneOptions options = Everything with { Relations = [relation], SingleWeight = 0, GroupWeight = 0, CrowdWeight = 0 };
            foreach (Scene scene in new SceneWorld(options).Take(SceneSplit.Train, 200))
            {
                Assert.Equal(2, scene.Objects.Length);
                (SceneObject a, SceneObject b) = (scene.Objects[0], scene.Objects[1]);
                (SceneObject subject, SceneObject other) = relation == SceneRelation.Inside ? (b, a) : (a, b);
                Assert.True(SceneRelations.Holds(relation, subject, other));
                SceneRelation[] sides = [.. all.Where(side => side <= SceneRelation.Below && SceneRelations.Holds(side, subject, other))];
                Assert.True(sides.Length <= (relation == SceneRelation.Inside ? 0 : 1));
                if (SceneRelations.Converse(relation) is { } converse)
                {
                    Assert.True(SceneRelations.Holds(converse, other, subject));
                }
            }
        }
    }

    [Fact]
    public void AWorldOfOneSizeStillFits()
    {
        SceneOptions options = Everything with { Sizes = [SceneSize.Large], SingleWeight = 0 };
        Assert.All(new SceneWorld(options).Take(SceneSplit.Train, 300), scene => Assert.All(scene.Objects, item => Assert.Equal(SceneSize.Large, item.Size)));
    }

    [Fact]
    public void ImpossibleOptionsAreNamed()
    {
        AssertRefused(Everything with { Shapes = [] }, "Shapes");
        AssertRefused(Everything with { Colors = default }, "Colors");
        AssertRefused(Everything with { Sizes = [SceneSize.Large, SceneSize.Large] }, "Sizes");
        AssertRefused(Everything with { Backgrounds = [(SceneBackground)77] }, "Backgrounds");
        AssertRefused(Everything with { MaxObjects = 5 }, "MaxObjects");
        AssertRefused(Everything with { MaxObjects = 2 }, "Crowds");
        AssertRefused(Everything with { SingleWeight = double.NaN }, "SingleWeight");
        AssertRefused(Everything with { PairWeight = -1 }, "PairWeight");
        AssertRefused(Everything.SingleObjects() with { SingleWeight = 0 }, "weights");
        AssertRefused(Everything with { MaxRotation = 1 }, "MaxRotation");
        AssertRefused(Everything with { Relations = [] }, "Relations");
        AssertRefused(Everything with { Shapes = [SceneShape.Star], Relations = [SceneRelation.Inside] }, "Inside");
        AssertRefused(Everything with { Shapes = [SceneShape.Star], Colors = [SceneColor.Red] }, "Pairs");

        static void AssertRefused(SceneOptions options, string part)
        {
            ArgumentException error = Assert.Throws<ArgumentException>(() => new SceneWorld(options));
            Assert.Contains(part, error.Message);
        }
    }

    [Fact]
    public void ASplitWithoutCompositionsIsAnErrorNotALoop()
    {
        SceneOptions options = Everything.SingleObjects() with
        {
            Shapes = [SceneShape.Star],
            Colors = [SceneColor.Red],
            Holdout = SceneHoldout.Compositions,
        };
        var world = new SceneWorld(options);
        int refused = Enum.GetValues<SceneSplit>().Count(split => Record.Exception(() => world.At(split, 0)) is InvalidOperationException);

        Assert.Equal(2, refused);
    }
}
