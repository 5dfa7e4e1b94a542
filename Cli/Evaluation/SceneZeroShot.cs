using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Zero-shot classification of the colour and the shape of single objects of the built-in world.</summary>
public static class SceneZeroShot
{
    /// <summary>Renders single-object scenes of a split and classifies them twice.</summary>
    public static IReadOnlyList<ZeroShotResult> Run(DualEncoderFolder model, SceneOptions world, SceneSplit split, int count, CancellationToken cancellation = default)
    {
        const int BatchSize = 64;
        SceneOptions single = world.SingleObjects();
        Scene[] scenes = [.. new SceneWorld(single).Take(split, count)];
        SceneRenderer renderer = new(model.ImageSize);
        float[] vectors = new float[scenes.Length * model.EmbeddingSize];
        for (int start = 0; start < scenes.Length; start += BatchSize)
        {
            cancellation.ThrowIfCancellationRequested();
            RgbImage[] images = [.. scenes.Skip(start).Take(BatchSize).Select(renderer.Render)];
            model.EncodeImages(images).CopyTo(vectors, start * model.EmbeddingSize);
        }

        return
        [
            .. new[] { SceneZeroShotTask.Color(single), SceneZeroShotTask.Shape(single) }.Select(task =>
                new ZeroShotClassifier(model, task.ClassNames, [.. task.Prompts.Select(prompts => (IReadOnlyList<string>)prompts)], cancellation)
                    .Evaluate(task.Name, vectors, [.. scenes.Select(task.LabelOf)])),
        ];
    }
}
