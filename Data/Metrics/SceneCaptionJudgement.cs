using System.Runtime.InteropServices;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Data.Metrics;

/// <summary>What can be said with certainty of a caption of a scene: the grammar reads it, and the scene decides.</summary>
/// <param name="IsGrammatical">It is a sentence of <see cref="SceneGrammar"/>.</param>
/// <param name="IsExact">It states the very facts of the reference, in whatever words (<see cref="SceneStatement.Canonical"/>).</param>
/// <param name="IsTrue">All that it states is so in the scene (<see cref="SceneStatement.HoldsIn"/>); it may state less than the reference.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct SceneCaptionJudgement(bool IsGrammatical, bool IsExact, bool IsTrue)
{
    /// <summary>Judges a caption.</summary>
    /// <param name="caption">The caption; what is no sentence of the grammar is neither exact nor true.</param>
    /// <param name="reference">A caption of the grammar.</param>
    /// <param name="scene">The scene of both.</param>
    /// <exception cref="FormatException">The reference is no sentence of the grammar.</exception>
    public static SceneCaptionJudgement Of(string caption, string reference, Scene scene)
    {
        SceneStatement expected = SceneGrammar.Parse(reference);
        return SceneGrammar.TryParse(caption, out SceneStatement? statement)
            ? new SceneCaptionJudgement(true, statement.Canonical().Equals(expected.Canonical()), statement.HoldsIn(scene))
            : default;
    }
}
