namespace MiniVlp.Data.Scenes;

/// <summary>
/// One way to show a scene to a model. The same scene seen through two views makes a pair for cross-modal training: a further modality
/// (depth, sound, motion, video) is one more implementation and touches neither the world nor the grammar.
/// </summary>
/// <typeparam name="TView">What the view makes: a picture, a waveform, a clip.</typeparam>
public interface ISceneView<out TView>
{
    /// <summary>Shows the scene; the same scene always gives the same view, and calls may run in parallel.</summary>
    /// <param name="scene">The scene to show.</param>
    TView Render(Scene scene);
}
