namespace MiniVlp.Data.Scenes;

/// <summary>What an object is; the number is the class id of the oracle detector and of the zero-shot shape task.</summary>
public enum SceneShape
{
    /// <summary>A filled circle.</summary>
    Circle,

    /// <summary>A square with level sides.</summary>
    Square,

    /// <summary>An equilateral triangle, point up.</summary>
    Triangle,

    /// <summary>A five-pointed star.</summary>
    Star,

    /// <summary>A heart.</summary>
    Heart,

    /// <summary>A cross with four equal arms.</summary>
    Cross,

    /// <summary>A circle with a round hole.</summary>
    Ring,

    /// <summary>A rhombus that is taller than wide.</summary>
    Diamond,

    /// <summary>A moon crescent.</summary>
    Crescent,

    /// <summary>A regular hexagon with a corner at the top.</summary>
    Hexagon,
}

/// <summary>The colour of an object; the number is the attribute id of the oracle detector and of the zero-shot colour task.</summary>
public enum SceneColor
{
    /// <summary>Red.</summary>
    Red,

    /// <summary>Orange.</summary>
    Orange,

    /// <summary>Yellow.</summary>
    Yellow,

    /// <summary>Green.</summary>
    Green,

    /// <summary>Cyan.</summary>
    Cyan,

    /// <summary>Blue.</summary>
    Blue,

    /// <summary>Purple.</summary>
    Purple,

    /// <summary>Pink.</summary>
    Pink,

    /// <summary>Brown.</summary>
    Brown,

    /// <summary>Black.</summary>
    Black,
}

/// <summary>How large an object is drawn.</summary>
public enum SceneSize
{
    /// <summary>About 0.23 of the picture's side across.</summary>
    Small,

    /// <summary>About 0.32 of the picture's side across.</summary>
    Medium,

    /// <summary>About 0.43 of the picture's side across.</summary>
    Large,
}

/// <summary>Where a subject stands relative to another object; see <see cref="SceneRelations"/> for when each holds.</summary>
public enum SceneRelation
{
    /// <summary>The subject stands to the left.</summary>
    LeftOf,

    /// <summary>The subject stands to the right.</summary>
    RightOf,

    /// <summary>The subject stands higher in the picture.</summary>
    Above,

    /// <summary>The subject stands lower in the picture.</summary>
    Below,

    /// <summary>The subject lies on the area of the other object.</summary>
    Inside,

    /// <summary>The gap between the two is small.</summary>
    NextTo,
}

/// <summary>What is drawn behind the objects. All variants are pale, so that every object colour stands out.</summary>
public enum SceneBackground
{
    /// <summary>Plain white.</summary>
    White,

    /// <summary>Plain light gray.</summary>
    Gray,

    /// <summary>White that darkens towards the bottom.</summary>
    Shaded,

    /// <summary>Level stripes in two pale tones.</summary>
    Striped,

    /// <summary>A pale checkerboard.</summary>
    Checked,

    /// <summary>Pale per-cell noise, fixed by the position.</summary>
    Speckled,
}

/// <summary>Which part of the world a scene belongs to; a scene's content decides it, so two splits never share a scene.</summary>
public enum SceneSplit
{
    /// <summary>About eight scenes in ten.</summary>
    Train,

    /// <summary>About one scene in ten.</summary>
    Validation,

    /// <summary>About one scene in ten.</summary>
    Test,
}
