namespace MiniVlp.Data.Scenes;

/// <summary>
/// When a relation holds. With (dx, dy) from the other object's centre to the subject's: left, right, above and below need the sign and
/// that their axis is at least 1.25 times as long as the other one, so at most one of the four holds and near a diagonal none does.
/// Inside: the subject's circle lies in the other's circle. Next to: the gap between the two circles is at most 0.1 picture sides.
/// An object inside another is neither next to it nor on any side of it.
/// </summary>
public static class SceneRelations
{
    internal const double NextToGap = 0.1;

    private const double Dominance = 1.25;

    /// <summary>True when <paramref name="subject"/> stands in the relation to <paramref name="other"/>.</summary>
    /// <param name="relation">The relation to test.</param>
    /// <param name="subject">The object that the sentence is about.</param>
    /// <param name="other">The object it is compared with.</param>
    public static bool Holds(SceneRelation relation, SceneObject subject, SceneObject other)
    {
        double dx = subject.X - other.X;
        double dy = subject.Y - other.Y;
        double distance = subject.DistanceTo(other);
        if (relation == SceneRelation.Inside)
        {
            return distance + subject.Radius <= other.Radius;
        }

        if (distance <= Math.Abs(subject.Radius - other.Radius))
        {
            return false;
        }

        return relation switch
        {
            SceneRelation.LeftOf => dx < 0 && -dx >= Dominance * Math.Abs(dy),
            SceneRelation.RightOf => dx > 0 && dx >= Dominance * Math.Abs(dy),
            SceneRelation.Above => dy < 0 && -dy >= Dominance * Math.Abs(dx),
            SceneRelation.Below => dy > 0 && dy >= Dominance * Math.Abs(dx),
            SceneRelation.NextTo => distance - subject.Radius - other.Radius <= NextToGap,
            _ => throw new ArgumentOutOfRangeException(nameof(relation), relation, "Not a relation of the scene world."),
        };
    }

    /// <summary>The relation that holds with the two objects exchanged (left of for right of); null for inside, which has none.</summary>
    /// <param name="relation">The relation to turn round.</param>
    public static SceneRelation? Converse(SceneRelation relation)
    {
        return relation switch
        {
            SceneRelation.LeftOf => SceneRelation.RightOf,
            SceneRelation.RightOf => SceneRelation.LeftOf,
            SceneRelation.Above => SceneRelation.Below,
            SceneRelation.Below => SceneRelation.Above,
            SceneRelation.NextTo => SceneRelation.NextTo,
            _ => null,
        };
    }

    internal static bool IsDirection(SceneRelation relation) => relation <= SceneRelation.Below;
}
