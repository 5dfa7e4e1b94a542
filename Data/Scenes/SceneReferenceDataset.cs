namespace MiniVlp.Data.Scenes;

/// <summary>
/// Grounding on scenes with at least two objects: the text is a <see cref="SceneReference"/>, the metadata has the <c>box</c> of the object that it
/// points at and, as <c>proposals</c>, the boxes of all objects, each [left, top, right, bottom] on the unit plane.
/// </summary>
public sealed class SceneReferenceDataset : SceneTaskDataset
{
    /// <summary>Makes a data set with one expression for each scene.</summary>
    /// <param name="options">Which scenes.</param>
    /// <exception cref="ArgumentException">An option is out of bounds.</exception>
    public SceneReferenceDataset(SceneDatasetOptions options)
        : base(options, "references")
    {
    }

    private protected override SceneTask? Ask(Scene scene, ulong seed)
    {
        if (scene.Objects.Length < 2)
        {
            return null;
        }

        int[] order = [.. Enumerable.Range(0, scene.Objects.Length)];
        SceneHash.Random(seed, SceneDraw.Reference).Shuffle(order.AsSpan());
        foreach (int index in order)
        {
            if (SceneReference.To(scene, index, seed) is { } reference)
            {
                return new SceneTask(reference.ToString(), writer =>
                {
                    writer.WritePropertyName("box");
                    Write(writer, scene.Objects[index].Box);
                    writer.WriteStartArray("proposals");
                    foreach (SceneObject item in scene.Objects)
                    {
                        Write(writer, item.Box);
                    }

                    writer.WriteEndArray();
                });
            }
        }

        return null;
    }
}
