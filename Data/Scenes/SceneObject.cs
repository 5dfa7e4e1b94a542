namespace MiniVlp.Data.Scenes;

/// <summary>One object on the unit plane. Objects are drawn in list order, later ones over earlier ones.</summary>
/// <param name="Shape">What it is.</param>
/// <param name="Color">Its colour.</param>
/// <param name="Size">The size class that captions name.</param>
/// <param name="X">Centre, 0 at the left edge and 1 at the right edge.</param>
/// <param name="Y">Centre, 0 at the top edge and 1 at the bottom edge.</param>
/// <param name="Radius">Radius of the circle around the centre that holds the whole shape, in picture sides.</param>
/// <param name="Rotation">Turn in radians, clockwise on the picture.</param>
public sealed record SceneObject(SceneShape Shape, SceneColor Color, SceneSize Size, double X, double Y, double Radius, double Rotation = 0)
{
    /// <summary>The smallest level rectangle that holds the shape, rotation included, clipped to the plane.</summary>
    public SceneBox Box => ShapeOutlines.Bounds(this);

    /// <summary>Distance between the centres.</summary>
    /// <param name="other">The other object.</param>
    public double DistanceTo(SceneObject other)
    {
        return Math.Sqrt(((X - other.X) * (X - other.X)) + ((Y - other.Y) * (Y - other.Y)));
    }
}
