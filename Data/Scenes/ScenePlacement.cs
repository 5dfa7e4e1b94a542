using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>Draws what is in a scene and finds places where nothing overlaps (but for an object placed inside another).</summary>
internal sealed class ScenePlacement
{
    private const double Gap = 0.015;
    private const double SizeJitter = 0.04;
    private const double ClearDominance = 1.5;
    private const int TriesPerObject = 40;
    private const int RestartsPerSizes = 12;

    private static readonly ImmutableArray<double> Radii = [0.115, 0.16, 0.215];

    private readonly SceneOptions _options;
    private readonly ImmutableArray<SceneRelation> _relations;
    private readonly ImmutableArray<SceneShape> _containers;
    private readonly ImmutableArray<SceneSize> _sizes;

    public ScenePlacement(SceneOptions options)
    {
        _options = options;
        _relations = [.. options.Relations.Where(options.CanPlace)];
        _containers = [.. options.Shapes.Where(shape => ShapeOutlines.RoomInside(shape) > 0)];
        _sizes = [.. options.Sizes.Order()];
    }

    public Scene Draw(ref SampleRandom random)
    {
        SceneBackground background = Pick(_options.Backgrounds, ref random);
        double draw = random.NextDouble() * (_options.SingleWeight + _options.PairWeight + _options.GroupWeight + _options.CrowdWeight);
        if ((draw -= _options.SingleWeight) < 0)
        {
            return new Scene(background, PlaceApart([DrawObject(ref random)], ref random));
        }

        if ((draw -= _options.PairWeight) < 0)
        {
            return new Scene(background, DrawPair(ref random));
        }

        return new Scene(background, draw < _options.GroupWeight ? DrawGroup(ref random) : DrawCrowd(ref random));
    }

    private static T Pick<T>(ImmutableArray<T> values, ref SampleRandom random) => values[random.Next(values.Length)];

    private SceneObject DrawObject(ref SampleRandom random)
    {
        return Resize(new SceneObject(Pick(_options.Shapes, ref random), Pick(_options.Colors, ref random), default, 0, 0, 0), Pick(_sizes, ref random), ref random);
    }

    private SceneObject Resize(SceneObject item, SceneSize size, ref SampleRandom random)
    {
        double radius = Radii[(int)size] * random.Uniform(1 - SizeJitter, 1 + SizeJitter);
        return item with { Size = size, Radius = radius, Rotation = random.Uniform(-1, 1) * _options.MaxRotation };
    }

    private ImmutableArray<SceneObject> DrawGroup(ref SampleRandom random)
    {
        SceneObject kind = DrawObject(ref random);
        int count = random.Next(2, _options.MaxObjects + 1);

        // Three or four large objects rarely fit: a group of that many takes a smaller size where there is one.
        SceneSize size = kind.Size == SceneSize.Large && count > 2 ? _sizes[random.Next(Math.Max(_sizes.Length - 1, 1))] : kind.Size;
        var items = new SceneObject[count];
        for (int i = 0; i < count; i++)
        {
            items[i] = Resize(kind, size, ref random);
        }

        return PlaceApart(items, ref random);
    }

    private ImmutableArray<SceneObject> DrawCrowd(ref SampleRandom random)
    {
        var items = new SceneObject[random.Next(3, _options.MaxObjects + 1)];
        for (int i = 0; i < items.Length; i++)
        {
            items[i] = DrawObject(ref random);
        }

        return PlaceApart(items, ref random);
    }

    /// <summary>Sizes that do not fit together after several tries are made smaller, largest first; a scene of fixed sizes loses its last object.</summary>
    private ImmutableArray<SceneObject> PlaceApart(SceneObject[] items, ref SampleRandom random)
    {
        while (true)
        {
            for (int restart = 0; restart < RestartsPerSizes; restart++)
            {
                if (TryPlaceApart(items, ref random))
                {
                    return [.. items];
                }
            }

            SceneSize largest = items.Max(item => item.Size);
            if (largest > _sizes[0])
            {
                // All objects of that size change together, so a group stays a group.
                SceneSize smaller = _sizes[_sizes.IndexOf(largest) - 1];
                for (int i = 0; i < items.Length; i++)
                {
                    items[i] = items[i].Size == largest ? Resize(items[i], smaller, ref random) : items[i];
                }
            }
            else
            {
                items = items[..^1];
            }
        }
    }

    private static bool TryPlaceApart(SceneObject[] items, ref SampleRandom random)
    {
        for (int i = 0; i < items.Length; i++)
        {
            int tries = 0;
            do
            {
                if (tries++ == TriesPerObject)
                {
                    return false;
                }

                items[i] = PlaceAnywhere(items[i], ref random);
            }
            while (Overlaps(items[i], items.AsSpan(0, i)));
        }

        return true;
    }

    private static SceneObject PlaceAnywhere(SceneObject item, ref SampleRandom random)
    {
        double margin = item.Radius + Gap;
        return item with { X = random.Uniform(margin, 1 - margin), Y = random.Uniform(margin, 1 - margin) };
    }

    private static bool Overlaps(SceneObject item, ReadOnlySpan<SceneObject> others)
    {
        foreach (SceneObject other in others)
        {
            if (item.DistanceTo(other) < item.Radius + other.Radius + Gap)
            {
                return true;
            }
        }

        return false;
    }

    private ImmutableArray<SceneObject> DrawPair(ref SampleRandom random)
    {
        SceneRelation relation = Pick(_relations, ref random);
        if (relation == SceneRelation.Inside)
        {
            return DrawNested(ref random);
        }

        while (true)
        {
            SceneObject subject = DrawObject(ref random);
            SceneObject other = DrawObject(ref random);
            if (subject.Shape == other.Shape && subject.Color == other.Color)
            {
                continue;
            }

            for (int attempt = 0; attempt < 20 * TriesPerObject; attempt++)
            {
                subject = PlaceAnywhere(subject, ref random);
                other = PlaceAnywhere(other, ref random);
                if (relation == SceneRelation.NextTo)
                {
                    other = PlaceBeside(subject, other, ref random);
                }

                if (!Overlaps(subject, [other]) && StandsClearly(relation, subject, other))
                {
                    return [subject, other];
                }
            }
        }
    }

    private static SceneObject PlaceBeside(SceneObject subject, SceneObject other, ref SampleRandom random)
    {
        (double sin, double cos) = Math.SinCos(random.Uniform(0, Math.Tau));
        double distance = subject.Radius + other.Radius + random.Uniform(Gap, 0.8 * SceneRelations.NextToGap);
        return other with { X = subject.X + (cos * distance), Y = subject.Y + (sin * distance) };
    }

    private static bool StandsClearly(SceneRelation relation, SceneObject subject, SceneObject other)
    {
        if (relation == SceneRelation.NextTo)
        {
            double margin = other.Radius + Gap;
            return other.X >= margin && other.X <= 1 - margin && other.Y >= margin && other.Y <= 1 - margin;
        }

        double dx = Math.Abs(subject.X - other.X);
        double dy = Math.Abs(subject.Y - other.Y);
        return Math.Max(dx, dy) >= ClearDominance * Math.Min(dx, dy) && SceneRelations.Holds(relation, subject, other);
    }

    private ImmutableArray<SceneObject> DrawNested(ref SampleRandom random)
    {
        SceneObject kind = DrawObject(ref random) with { Shape = Pick(_containers, ref random) };
        SceneObject container = PlaceAnywhere(Resize(kind, _sizes[^1], ref random), ref random);
        SceneObject content = DrawObject(ref random);
        while (content.Color == container.Color)
        {
            content = content with { Color = Pick(_options.Colors, ref random) };
        }

        content = Resize(content, _sizes[0], ref random);
        double room = container.Radius * ShapeOutlines.RoomInside(container.Shape);
        double radius = Math.Min(content.Radius, 0.8 * room);
        (double sin, double cos) = Math.SinCos(random.Uniform(0, Math.Tau));
        double offset = random.Uniform(0, 0.9 * (room - radius));
        return [container, content with { Radius = radius, X = container.X + (cos * offset), Y = container.Y + (sin * offset) }];
    }
}
