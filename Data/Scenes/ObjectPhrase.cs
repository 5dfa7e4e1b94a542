namespace MiniVlp.Data.Scenes;

/// <summary>What a noun phrase says: "two small green stars". A null attribute is left open ("a red object").</summary>
/// <param name="Shape">The shape, or null for any.</param>
/// <param name="Color">The colour, or null for any.</param>
/// <param name="Size">The size, or null for any.</param>
/// <param name="Count">1: there is at least one such object. More: there are exactly so many.</param>
public sealed record ObjectPhrase(SceneShape? Shape, SceneColor? Color = null, SceneSize? Size = null, int Count = 1)
{
    /// <summary>True when the object is of the kind that the phrase names.</summary>
    /// <param name="item">The object.</param>
    public bool Matches(SceneObject item)
    {
        ArgumentNullException.ThrowIfNull(item);
        return (Shape is null || Shape == item.Shape) && (Color is null || Color == item.Color) && (Size is null || Size == item.Size);
    }

    /// <summary>How many objects of the scene the phrase matches.</summary>
    /// <param name="scene">The scene.</param>
    public int CountIn(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        int count = 0;
        foreach (SceneObject item in scene.Objects)
        {
            count += Matches(item) ? 1 : 0;
        }

        return count;
    }

    /// <summary>True when the scene has at least one such object, or exactly <see cref="Count"/> when that is more than one.</summary>
    /// <param name="scene">The scene.</param>
    public bool HoldsIn(Scene scene)
    {
        int count = CountIn(scene);
        return Count == 1 ? count > 0 : count == Count;
    }
}
