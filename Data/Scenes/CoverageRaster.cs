using System.Buffers;

namespace MiniVlp.Data.Scenes;

/// <summary>
/// Exact area coverage of a polygon, pixel by pixel. Each edge adds to every pixel row it crosses the signed height it spans; the pixel
/// that holds the edge gets the part of that height to the right of the edge, its right neighbour the rest, so that the running sum along
/// a row is the covered share of each pixel. Cost grows with the outline, not with the area, and there is no sampling pattern.
/// </summary>
internal ref struct CoverageRaster
{
    private readonly float[] _cells;
    private readonly int _stride;

    private CoverageRaster(int left, int top, int width, int height)
    {
        Left = left;
        Top = top;
        Width = width;
        Height = height;

        // An edge in the last column also touches the column after it.
        _stride = width + 2;
        _cells = ArrayPool<float>.Shared.Rent(_stride * height);
        _cells.AsSpan(0, _stride * height).Clear();
    }

    /// <summary>First pixel column of the covered rectangle.</summary>
    public int Left { get; }

    /// <summary>First pixel row of the covered rectangle.</summary>
    public int Top { get; }

    public int Width { get; }

    public int Height { get; }

    /// <summary>Rasterises an object on a picture of size x size pixels.</summary>
    public static CoverageRaster Of(SceneObject item, int size)
    {
        SceneBox box = item.Box;
        int left = Math.Clamp((int)Math.Floor(box.Left * size), 0, size);
        int top = Math.Clamp((int)Math.Floor(box.Top * size), 0, size);
        int right = Math.Clamp((int)Math.Ceiling(box.Right * size), left, size);
        int bottom = Math.Clamp((int)Math.Ceiling(box.Bottom * size), top, size);
        var raster = new CoverageRaster(left, top, right - left, bottom - top);

        (double sin, double cos) = Math.SinCos(item.Rotation);
        double scale = item.Radius * size;
        double originX = (item.X * size) - left;
        double originY = (item.Y * size) - top;
        foreach ((double X, double Y)[] contour in ShapeOutlines.Of(item.Shape))
        {
            (double fromX, double fromY) = Place(contour[^1]);
            foreach ((double X, double Y) point in contour)
            {
                (double toX, double toY) = Place(point);
                raster.AddEdge(fromX, fromY, toX, toY);
                (fromX, fromY) = (toX, toY);
            }
        }

        raster.Accumulate();
        return raster;

        (double X, double Y) Place((double X, double Y) point)
        {
            return (originX + (scale * ((cos * point.X) - (sin * point.Y))), originY + (scale * ((sin * point.X) + (cos * point.Y))));
        }
    }

    /// <summary>Coverage in [0, 1] of the pixels of one row of the rectangle, from <see cref="Left"/> on.</summary>
    public readonly ReadOnlySpan<float> Row(int row) => _cells.AsSpan(row * _stride, Width);

    public readonly void Dispose() => ArrayPool<float>.Shared.Return(_cells);

    private readonly void AddEdge(double fromX, double fromY, double toX, double toY)
    {
        double sign = 1;
        if (fromY > toY)
        {
            (fromX, fromY, toX, toY) = (toX, toY, fromX, fromY);
            sign = -1;
        }

        if (toY <= 0 || fromY >= Height || fromY == toY)
        {
            return;
        }

        double slope = (toX - fromX) / (toY - fromY);
        double y = Math.Max(fromY, 0);
        double end = Math.Min(toY, Height);
        while (y < end)
        {
            int row = (int)y;
            double next = Math.Min(row + 1, end);
            AddInRow(row, fromX + ((y - fromY) * slope), fromX + ((next - fromY) * slope), (next - y) * sign);
            y = next;
        }
    }

    /// <summary>Adds the part of an edge that lies in one row: from x = a to x = b while spanning the signed height.</summary>
    private readonly void AddInRow(int row, double a, double b, double height)
    {
        Span<float> cells = _cells.AsSpan(row * _stride, _stride);

        // Left of the rectangle counts as its left side, so a cut-off shape still covers; right of it covers nothing.
        a = Math.Clamp(a, 0, Width);
        b = Math.Clamp(b, 0, Width);
        if (a > b)
        {
            (a, b) = (b, a);
        }

        int column = (int)a;
        double heightPerColumn = b > a ? height / (b - a) : 0;
        while (column + 1 < b)
        {
            double part = heightPerColumn * (column + 1 - a);
            AddAt(cells, column, 0.5 * (a + column + 1), part);
            height -= part;
            a = ++column;
        }

        AddAt(cells, column, 0.5 * (a + b), height);
    }

    private static void AddAt(Span<float> cells, int column, double middle, double height)
    {
        double right = height * (middle - column);
        cells[column] += (float)(height - right);
        cells[column + 1] += (float)right;
    }

    private readonly void Accumulate()
    {
        for (int row = 0; row < Height; row++)
        {
            Span<float> cells = _cells.AsSpan(row * _stride, Width);
            float sum = 0;
            foreach (ref float cell in cells)
            {
                sum += cell;
                cell = Math.Min(Math.Abs(sum), 1);
            }
        }
    }
}
