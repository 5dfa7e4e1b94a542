namespace MiniVlp.Data.Scenes;

/// <summary>
/// Visual entailment on scenes: the text is a true caption or, as often, one in which a single word makes it false; the metadata has the <c>label</c>,
/// <c>entailment</c> or <c>contradiction</c>. A scene shows all that there is, so that nothing is left open: there is no <c>neutral</c>.
/// </summary>
public sealed class SceneEntailmentDataset : SceneTaskDataset
{
    /// <summary>Makes a data set with one sentence about each scene.</summary>
    /// <param name="options">Which scenes; <see cref="SceneDatasetOptions.Style"/> says how sentences are worded.</param>
    /// <exception cref="ArgumentException">An option is out of bounds.</exception>
    public SceneEntailmentDataset(SceneDatasetOptions options)
        : base(options, "entailment")
    {
    }

    private protected override SceneTask? Ask(Scene scene, ulong seed)
    {
        string caption = SceneCaptions.Write(scene, Options.Style, seed);
        if (SceneDistractor.Draw(caption, scene, Options.World, seed) is not { } distractor)
        {
            return null;
        }

        bool isTrue = SceneHash.Random(seed, SceneDraw.Entailment).Chance(0.5);
        return new SceneTask(isTrue ? caption : distractor.Text, writer => writer.WriteString("label", isTrue ? "entailment" : "contradiction"));
    }
}
