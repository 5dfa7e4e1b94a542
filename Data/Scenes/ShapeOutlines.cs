namespace MiniVlp.Data.Scenes;

/// <summary>
/// Every shape as closed contours in the circle of radius 1 (x right, y down). Curves are cut into short straight pieces, fine enough
/// that a shape 256 pixels across is off by less than a tenth of a pixel; a hole runs the other way round than the contour it is in.
/// </summary>
internal static class ShapeOutlines
{
    private const double CircleRadius = 0.9;
    private const double RingOuter = 0.92;
    private const double RingInner = 0.54;
    private const double StarInner = 0.42;
    private const double CrossArm = 0.3;
    private const double CrossReach = 0.93;
    private const double DiamondHalfWidth = 0.62;
    private const double CrescentOuter = 0.95;
    private const double CrescentBite = 0.78;
    private const double CrescentShift = 0.42;
    private const int CurvePieces = 64;

    private static readonly (double X, double Y)[][][] Contours =
    [
        [Arc(0, 0, CircleRadius, 0, Math.Tau, CurvePieces)],
        [Polygon(4, Math.PI / 4)],
        [Polygon(3, -Math.PI / 2)],
        [StarPoints()],
        [HeartPoints()],
        [CrossPoints()],
        [Arc(0, 0, RingOuter, 0, Math.Tau, CurvePieces), Arc(0, 0, RingInner, Math.Tau, 0, CurvePieces)],
        [[(0, -1), (DiamondHalfWidth, 0), (0, 1), (-DiamondHalfWidth, 0)]],
        [CrescentPoints()],
        [Polygon(6, -Math.PI / 2)],
    ];

    /// <summary>The contours of a shape, shared: do not change them.</summary>
    public static (double X, double Y)[][] Of(SceneShape shape) => Contours[(int)shape];

    /// <summary>Radius of the largest circle around the centre that is free for another object to lie in; 0 where none fits well.</summary>
    public static double RoomInside(SceneShape shape)
    {
        return shape switch
        {
            SceneShape.Circle => CircleRadius,
            SceneShape.Square => Math.Sqrt(0.5),
            SceneShape.Hexagon => Math.Sqrt(0.75),
            SceneShape.Ring => RingInner,
            _ => 0,
        };
    }

    public static SceneBox Bounds(SceneObject item)
    {
        (double sin, double cos) = Math.SinCos(item.Rotation);
        double left = 1, top = 1, right = 0, bottom = 0;
        foreach ((double X, double Y)[] contour in Of(item.Shape))
        {
            foreach ((double x, double y) in contour)
            {
                double px = item.X + (item.Radius * ((cos * x) - (sin * y)));
                double py = item.Y + (item.Radius * ((sin * x) + (cos * y)));
                left = Math.Min(left, px);
                right = Math.Max(right, px);
                top = Math.Min(top, py);
                bottom = Math.Max(bottom, py);
            }
        }

        return new SceneBox(Math.Max(left, 0), Math.Max(top, 0), Math.Min(right, 1), Math.Min(bottom, 1));
    }

    private static (double X, double Y)[] Polygon(int corners, double first)
    {
        return Arc(0, 0, 1, first, first + Math.Tau, corners);
    }

    private static (double X, double Y)[] Arc(double centreX, double centreY, double radius, double from, double to, int pieces)
    {
        var points = new (double X, double Y)[pieces];
        for (int i = 0; i < pieces; i++)
        {
            (double sin, double cos) = Math.SinCos(from + ((to - from) * i / pieces));
            points[i] = (centreX + (radius * cos), centreY + (radius * sin));
        }

        return points;
    }

    private static (double X, double Y)[] StarPoints()
    {
        (double X, double Y)[] points = Polygon(10, -Math.PI / 2);
        for (int i = 1; i < points.Length; i += 2)
        {
            points[i] = (points[i].X * StarInner, points[i].Y * StarInner);
        }

        return points;
    }

    private static (double X, double Y)[] HeartPoints()
    {
        // The usual heart curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, moved and scaled into the unit circle.
        // It runs fast in places, so it takes more pieces than an arc.
        var points = new (double X, double Y)[2 * CurvePieces];
        for (int i = 0; i < points.Length; i++)
        {
            double t = Math.Tau * i / points.Length;
            double sin = Math.Sin(t);
            double x = 16 * sin * sin * sin;
            double y = (13 * Math.Cos(t)) - (5 * Math.Cos(2 * t)) - (2 * Math.Cos(3 * t)) - Math.Cos(4 * t);
            points[i] = (x / 17.5, -(y + 2.0) / 17.5);
        }

        return points;
    }

    private static (double X, double Y)[] CrossPoints()
    {
        return
        [
            (-CrossArm, -CrossReach), (CrossArm, -CrossReach), (CrossArm, -CrossArm), (CrossReach, -CrossArm),
            (CrossReach, CrossArm), (CrossArm, CrossArm), (CrossArm, CrossReach), (-CrossArm, CrossReach),
            (-CrossArm, CrossArm), (-CrossReach, CrossArm), (-CrossReach, -CrossArm), (-CrossArm, -CrossArm),
        ];
    }

    private static (double X, double Y)[] CrescentPoints()
    {
        // Where the two circles meet: x from the difference of their equations.
        double x = ((CrescentOuter * CrescentOuter) - (CrescentBite * CrescentBite) + (CrescentShift * CrescentShift)) / (2 * CrescentShift);
        double y = Math.Sqrt((CrescentOuter * CrescentOuter) - (x * x));
        double outer = Math.Atan2(y, x);
        double bite = Math.Atan2(y, x - CrescentShift);
        return
        [
            .. Arc(0, 0, CrescentOuter, outer, Math.Tau - outer, CurvePieces),
            .. Arc(CrescentShift, 0, CrescentBite, Math.Tau - bite, bite, CurvePieces),
        ];
    }
}
