namespace MiniVlp.Data.Images;

/// <summary>The size a picture is brought to: a fixed one, or one that keeps the aspect ratio and has a given shorter side.</summary>
public readonly record struct ResizeTarget
{
    private ResizeTarget(int? shortestEdge, int width, int height)
    {
        Edge = shortestEdge;
        Width = width;
        Height = height;
    }

    /// <summary>The shorter side, or null when width and height are fixed.</summary>
    public int? Edge { get; }

    /// <summary>The fixed width; 0 when only the shorter side is given.</summary>
    public int Width { get; }

    /// <summary>The fixed height; 0 when only the shorter side is given.</summary>
    public int Height { get; }

    /// <summary>Keeps the aspect ratio: the shorter side becomes <paramref name="edge"/>, the longer <c>floor(edge * longer / shorter)</c>.</summary>
    /// <param name="edge">At least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The edge is below 1.</exception>
    public static ResizeTarget ShortestEdge(int edge)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(edge, 1);
        return new ResizeTarget(edge, 0, 0);
    }

    /// <summary>Exactly this size, whatever the aspect ratio was.</summary>
    /// <param name="width">At least 1.</param>
    /// <param name="height">At least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A side is below 1.</exception>
    public static ResizeTarget Exact(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        return new ResizeTarget(null, width, height);
    }

    /// <summary>The new size of a picture of the given size.</summary>
    /// <param name="width">Columns now, at least 1.</param>
    /// <param name="height">Rows now, at least 1.</param>
    /// <exception cref="OverflowException">The longer side would not fit in an int.</exception>
    public (int Width, int Height) Of(int width, int height)
    {
        if (Edge is not { } edge)
        {
            return (Width, Height);
        }

        int shorter = Math.Min(width, height);
        int longer = Math.Max(width, height);
        int newLonger = checked((int)((double)((long)edge * longer) / shorter));
        return width <= height ? (edge, newLonger) : (newLonger, edge);
    }
}
