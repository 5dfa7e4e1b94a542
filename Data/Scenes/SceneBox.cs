namespace MiniVlp.Data.Scenes;

/// <summary>A level rectangle on the unit plane, x to the right and y down; multiply by the picture's side for pixels.</summary>
/// <param name="Left">Smallest x.</param>
/// <param name="Top">Smallest y.</param>
/// <param name="Right">Largest x.</param>
/// <param name="Bottom">Largest y.</param>
public readonly record struct SceneBox(double Left, double Top, double Right, double Bottom)
{
    /// <summary>Right less left.</summary>
    public double Width => Right - Left;

    /// <summary>Bottom less top.</summary>
    public double Height => Bottom - Top;

    /// <summary>Width times height.</summary>
    public double Area => Width * Height;

    /// <summary>Intersection over union with another box, in [0, 1]; 0 when both are empty.</summary>
    /// <param name="other">The other box.</param>
    public double IntersectionOverUnion(SceneBox other)
    {
        double width = Math.Min(Right, other.Right) - Math.Max(Left, other.Left);
        double height = Math.Min(Bottom, other.Bottom) - Math.Max(Top, other.Top);
        double shared = Math.Max(width, 0) * Math.Max(height, 0);
        double union = Area + other.Area - shared;
        return union > 0 ? shared / union : 0;
    }
}
