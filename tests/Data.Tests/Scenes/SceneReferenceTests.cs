using CsCheck;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneReferenceTests
{
    [Fact]
    public void AReferenceFitsItsObjectAloneAndSurvivesReading()
    {
        Gen.ULong.Sample(seed =>
        {
            Scene scene = new SceneWorld(new SceneOptions { Seed = seed }).At(SceneSplit.Train, 0);
            for (int i = 0; i < scene.Objects.Length; i++)
            {
                if (SceneReference.To(scene, i, seed) is { } reference)
                {
                    Assert.True(SceneReference.TryParse(reference.ToString(), out SceneReference? read));
                    Assert.Equal(reference, read);
                    Assert.Equal([i], read.Resolve(scene));
                    Assert.Same(scene.Objects[i], Point(reference.ToString(), scene));
                    Assert.All(reference.ToString().Split(' '), word => Assert.Contains(word, SceneGrammar.AllWords));
                }
            }
        });
    }

    [Fact]
    public void TheBoxOfTheObjectHoldsItsPixels()
    {
        var world = new SceneWorld(new SceneOptions());
        const int Size = 96;
        var renderer = new SceneRenderer(Size);
        for (int index = 0; index < 200; index++)
        {
            Scene scene = world.At(SceneSplit.Train, index);
            for (int i = 0; i < scene.Objects.Length; i++)
            {
                SceneBox box = scene.Objects[i].Box;
                float[] mask = renderer.RenderMask(scene, i);
                int seen = 0;
                for (int pixel = 0; pixel < mask.Length; pixel++)
                {
                    if (mask[pixel] > 0)
                    {
                        // A pixel on the border of the box is covered in part: its far side still has to reach the box.
                        seen++;
                        Assert.InRange((pixel % Size) + 0.5, (box.Left * Size) - 0.5, (box.Right * Size) + 0.5);
                        Assert.InRange((pixel / Size) + 0.5, (box.Top * Size) - 0.5, (box.Bottom * Size) + 0.5);
                    }
                }

                Assert.True(seen > 0.1 * box.Area * Size * Size);
            }
        }
    }

    [Fact]
    public void AllWaysOfPointingAreUsedAndMostObjectsCanBePointedAt()
    {
        var world = new SceneWorld(new SceneOptions { SingleWeight = 0 });
        int objects = 0;
        var references = new List<SceneReference>();
        for (int index = 0; index < 1000; index++)
        {
            Scene scene = world.At(SceneSplit.Train, index);
            objects += scene.Objects.Length;
            references.AddRange(Enumerable.Range(0, scene.Objects.Length).Select(i => SceneReference.To(scene, i, (ulong)index)).OfType<SceneReference>());
        }

        Assert.True(references.Count > 0.9 * objects, $"{references.Count} of {objects}");
        Assert.Contains(references, reference => reference.Edge is not null);
        Assert.Contains(references, reference => reference.Relation is not null);
        Assert.Contains(references, reference => reference.Phrase.Shape is null);
        Assert.Contains(references, reference => reference is { Edge: null, Relation: null, Phrase: { Color: null, Size: null } });
    }

    [Fact]
    public void WhatNothingSinglesOutHasNoReference()
    {
        SceneObject[] row = [.. new[] { 0.2, 0.5, 0.8 }.Select(x => new SceneObject(SceneShape.Star, SceneColor.Red, SceneSize.Small, x, 0.5, 0.1))];
        var scene = new Scene(SceneBackground.White, [.. row]);

        Assert.Null(SceneReference.To(scene, 1, 0));
        Assert.Equal(SceneEdge.Left, SceneReference.To(scene, 0, 0)!.Edge);
        Assert.Equal("the rightmost star", new SceneReference(new ObjectPhrase(SceneShape.Star), SceneEdge.Right).ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("the")]
    [InlineData("a star")]
    [InlineData("the stars")]
    [InlineData("the star left of a ring")]
    [InlineData("the leftmost star left of the ring")]
    [InlineData("the star ring")]
    [InlineData(null)]
    public void OtherTextsAreNoReferences(string? text)
    {
        Assert.False(SceneReference.TryParse(text, out SceneReference? reference));
        Assert.Null(reference);
    }

    [Fact]
    public void OverlapOfBoxesIsInEveryTextbook()
    {
        var box = new SceneBox(0, 0, 0.4, 0.2);
        Assert.Equal(1, box.IntersectionOverUnion(box));
        Assert.Equal(1.0 / 3, box.IntersectionOverUnion(new SceneBox(0.2, 0, 0.6, 0.2)), 12);
        Assert.Equal(0, box.IntersectionOverUnion(new SceneBox(0.5, 0.5, 0.6, 0.6)));
        Assert.Equal(0, default(SceneBox).IntersectionOverUnion(default));
    }

    /// <summary>Reads a reference without the grammar.</summary>
    private static SceneObject Point(string text, Scene scene)
    {
        foreach ((string word, Func<SceneObject, double> far) in new (string, Func<SceneObject, double>)[]
        {
            ("leftmost", item => -item.X), ("rightmost", item => item.X), ("topmost", item => -item.Y), ("bottommost", item => item.Y),
        })
        {
            if (text.Contains(word, StringComparison.Ordinal))
            {
                return SceneFactChecker.Matching(text, scene).MaxBy(far)!;
            }
        }

        int second = text.IndexOf(" the ", StringComparison.Ordinal);
        if (second < 0)
        {
            return Assert.Single(SceneFactChecker.Matching(text, scene));
        }

        SceneObject anchor = Assert.Single(SceneFactChecker.Matching(text[second..], scene));
        return Assert.Single(scene.Objects, item =>
            !ReferenceEquals(item, anchor) && SceneFactChecker.IsTrue(text.Replace("the ", "a "), new Scene(scene.Background, [item, anchor])));
    }
}
