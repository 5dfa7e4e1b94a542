using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>
/// What is there, apart from how it is shown: objects on a plane before a background. Views (<see cref="ISceneView{TView}"/>) turn it
/// into something a model can see; the RGB picture of <see cref="SceneRenderer"/> is the first of them.
/// </summary>
public sealed class Scene : IEquatable<Scene>
{
    /// <summary>Makes a scene from its parts.</summary>
    /// <param name="background">What is drawn behind the objects.</param>
    /// <param name="objects">The objects, back to front.</param>
    /// <exception cref="ArgumentException">The array of objects is not initialised.</exception>
    public Scene(SceneBackground background, ImmutableArray<SceneObject> objects)
    {
        if (objects.IsDefault)
        {
            throw new ArgumentException("A scene needs an array of objects; it may be empty.", nameof(objects));
        }

        Background = background;
        Objects = objects;
    }

    /// <summary>What is drawn behind the objects.</summary>
    public SceneBackground Background { get; }

    /// <summary>The objects, back to front.</summary>
    public ImmutableArray<SceneObject> Objects { get; }

    /// <summary>A 64-bit hash of everything in the scene, positions to the last bit; the same on every machine.</summary>
    public ulong Fingerprint
    {
        get
        {
            ulong hash = SceneHash.Combine(SceneHash.Start, (ulong)Background);
            foreach (SceneObject item in Objects)
            {
                hash = SceneHash.Combine(hash, ((ulong)item.Shape << 16) | ((ulong)item.Color << 8) | (ulong)item.Size);
                hash = SceneHash.Combine(hash, BitConverter.DoubleToUInt64Bits(item.X));
                hash = SceneHash.Combine(hash, BitConverter.DoubleToUInt64Bits(item.Y));
                hash = SceneHash.Combine(hash, BitConverter.DoubleToUInt64Bits(item.Radius));
                hash = SceneHash.Combine(hash, BitConverter.DoubleToUInt64Bits(item.Rotation));
            }

            return hash;
        }
    }

    /// <summary>A 64-bit hash of which shapes in which colours are there, whatever their size, place, order and background.</summary>
    public ulong CompositionKey
    {
        get
        {
            Span<int> kinds = stackalloc int[Objects.Length];
            for (int i = 0; i < kinds.Length; i++)
            {
                kinds[i] = ((int)Objects[i].Shape << 8) | (int)Objects[i].Color;
            }

            kinds.Sort();
            ulong hash = SceneHash.Start;
            foreach (int kind in kinds)
            {
                hash = SceneHash.Combine(hash, (ulong)kind);
            }

            return hash;
        }
    }

    /// <summary>Same background and same objects in the same order.</summary>
    /// <param name="other">The other scene.</param>
    public bool Equals(Scene? other)
    {
        return other is not null && Background == other.Background && Objects.AsSpan().SequenceEqual(other.Objects.AsSpan());
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Scene);

    /// <inheritdoc/>
    public override int GetHashCode() => Fingerprint.GetHashCode();
}
