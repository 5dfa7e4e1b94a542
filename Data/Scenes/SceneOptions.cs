using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>What keeps the splits of a world apart.</summary>
public enum SceneHoldout
{
    /// <summary>No scene is in two splits; the same objects may be, at other places.</summary>
    Scenes,

    /// <summary>No combination of shapes and colours is in two splits: validation asks for combinations never seen together.</summary>
    Compositions,
}

/// <summary>What a world is made of and how often. Two worlds with equal options give the same scenes.</summary>
public sealed record SceneOptions
{
    /// <summary>The largest number of objects in one scene that the number words can count.</summary>
    public const int MostObjects = 4;

    /// <summary>Seed of every draw.</summary>
    public ulong Seed { get; init; }

    /// <summary>Shapes that occur; at least one.</summary>
    public ImmutableArray<SceneShape> Shapes { get; init; } = [.. Enum.GetValues<SceneShape>()];

    /// <summary>Colours that occur; at least one.</summary>
    public ImmutableArray<SceneColor> Colors { get; init; } = [.. Enum.GetValues<SceneColor>()];

    /// <summary>Sizes that occur; at least one.</summary>
    public ImmutableArray<SceneSize> Sizes { get; init; } = [.. Enum.GetValues<SceneSize>()];

    /// <summary>Backgrounds that occur; at least one.</summary>
    public ImmutableArray<SceneBackground> Backgrounds { get; init; } = [.. Enum.GetValues<SceneBackground>()];

    /// <summary>Relations that pairs are placed in; at least one when <see cref="PairWeight"/> is positive.</summary>
    public ImmutableArray<SceneRelation> Relations { get; init; } = [.. Enum.GetValues<SceneRelation>()];

    /// <summary>Relative frequency of scenes with one object.</summary>
    public double SingleWeight { get; init; } = 1;

    /// <summary>Relative frequency of two different objects in a clear relation.</summary>
    public double PairWeight { get; init; } = 1;

    /// <summary>Relative frequency of two to <see cref="MaxObjects"/> alike objects.</summary>
    public double GroupWeight { get; init; } = 1;

    /// <summary>Relative frequency of three to <see cref="MaxObjects"/> objects drawn independently.</summary>
    public double CrowdWeight { get; init; } = 1;

    /// <summary>The largest number of objects in a scene, 1 to <see cref="MostObjects"/>.</summary>
    public int MaxObjects { get; init; } = MostObjects;

    /// <summary>Objects are turned by up to this many radians either way, 0 to 0.3 (beyond, a square starts to look like a diamond).</summary>
    public double MaxRotation { get; init; } = 0.12;

    /// <summary>What keeps the splits apart.</summary>
    public SceneHoldout Holdout { get; init; }

    /// <summary>
    /// A world that a small CLIP learns in about a minute on two cores: one object, two in a clear direction, or a group; eight shapes in
    /// eight colours, all of one size, so that shape too has to tell captions apart; three calm backgrounds.
    /// </summary>
    public static SceneOptions Demo { get; } = new()
    {
        Shapes =
        [
            SceneShape.Circle, SceneShape.Square, SceneShape.Triangle, SceneShape.Star,
            SceneShape.Heart, SceneShape.Cross, SceneShape.Ring, SceneShape.Crescent,
        ],
        Colors =
        [
            SceneColor.Red, SceneColor.Orange, SceneColor.Yellow, SceneColor.Green,
            SceneColor.Blue, SceneColor.Purple, SceneColor.Pink, SceneColor.Black,
        ],
        Sizes = [SceneSize.Medium],
        MaxRotation = 0.04,
        Backgrounds = [SceneBackground.White, SceneBackground.Gray, SceneBackground.Shaded],
        Relations = [SceneRelation.LeftOf, SceneRelation.RightOf, SceneRelation.Above, SceneRelation.Below],
        SingleWeight = 0.5,
        PairWeight = 0.35,
        GroupWeight = 0.15,
        CrowdWeight = 0,
    };

    /// <summary>These options with one object in every scene: what zero-shot classification of colour and shape is measured on.</summary>
    public SceneOptions SingleObjects()
    {
        return this with { SingleWeight = 1, PairWeight = 0, GroupWeight = 0, CrowdWeight = 0 };
    }

    /// <summary>Throws when the options cannot make a world.</summary>
    /// <exception cref="ArgumentException">A list is empty, a number is out of bounds, or a frequency asks for what the lists cannot give.</exception>
    public void Validate()
    {
        RequireSome(Shapes, nameof(Shapes));
        RequireSome(Colors, nameof(Colors));
        RequireSome(Sizes, nameof(Sizes));
        RequireSome(Backgrounds, nameof(Backgrounds));
        RequireWeight(SingleWeight, nameof(SingleWeight));
        RequireWeight(PairWeight, nameof(PairWeight));
        RequireWeight(GroupWeight, nameof(GroupWeight));
        RequireWeight(CrowdWeight, nameof(CrowdWeight));
        Require(MaxObjects is >= 1 and <= MostObjects, $"MaxObjects must be 1 to {MostObjects}, but is {MaxObjects}.");
        Require(MaxRotation is >= 0 and <= 0.3, $"MaxRotation must be 0 to 0.3 radians, but is {MaxRotation}.");
        Require(SingleWeight + PairWeight + GroupWeight + CrowdWeight > 0, "At least one of the four weights must be positive.");
        Require(MaxObjects >= 2 || PairWeight + GroupWeight == 0, "Pairs and groups need MaxObjects of at least 2.");
        Require(MaxObjects >= 3 || CrowdWeight == 0, "Crowds need MaxObjects of at least 3.");
        if (PairWeight > 0)
        {
            RequireSome(Relations, nameof(Relations));
            Require(Shapes.Length * Colors.Length >= 2, "Pairs need at least two combinations of shape and colour.");
            Require(Relations.Any(CanPlace), "Inside, the only relation asked for, needs a circle, square, hexagon or ring, two sizes and two colours.");
        }
    }

    internal bool CanPlace(SceneRelation relation)
    {
        return relation != SceneRelation.Inside || (Sizes.Length > 1 && Colors.Length > 1 && Shapes.Any(shape => ShapeOutlines.RoomInside(shape) > 0));
    }

    private static void RequireSome<T>(ImmutableArray<T> values, string name)
        where T : struct, Enum
    {
        Require(!values.IsDefaultOrEmpty, $"{name} must name at least one {typeof(T).Name}.");
        Require(values.Distinct().Count() == values.Length, $"{name} names a value twice.");
        Require(values.All(Enum.IsDefined), $"{name} holds a number that is no {typeof(T).Name}.");
    }

    private static void RequireWeight(double weight, string name)
    {
        Require(double.IsFinite(weight) && weight >= 0, $"{name} must be a finite number of at least 0, but is {weight}.");
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new ArgumentException("Scene options: " + message);
        }
    }
}
