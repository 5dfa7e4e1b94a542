namespace MiniVlp.Data.Scenes;

/// <summary>
/// Visual question answering on scenes: the text is a <see cref="SceneQuestion"/>, the metadata has its <c>answer</c> and its <c>kind</c>.
/// </summary>
public sealed class SceneQuestionDataset : SceneTaskDataset
{
    /// <summary>Makes a data set with one question about each scene.</summary>
    /// <param name="options">Which scenes.</param>
    /// <exception cref="ArgumentException">An option is out of bounds.</exception>
    public SceneQuestionDataset(SceneDatasetOptions options)
        : base(options, "questions")
    {
    }

    /// <summary>Every word that is the answer to a question about some scene of this world, sorted.</summary>
    public IReadOnlyList<string> Answers =>
    [
        .. Options.World.Colors.Select(SceneWords.Of)
            .Concat(Options.World.Shapes.Select(SceneWords.Of))
            .Concat(Options.World.Sizes.Select(SceneWords.Of))
            .Concat(SceneWords.Numbers.Take(Options.World.MaxObjects + 1))
            .Append("yes").Append("no")
            .Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal),
    ];

    private protected override SceneTask? Ask(Scene scene, ulong seed)
    {
        if (scene.Objects.IsEmpty)
        {
            return null;
        }

        SceneQuestion question = SceneQuestion.Ask(scene, Options.World, seed);
        return new SceneTask(question.Text, writer =>
        {
            writer.WriteString("answer", question.Answer);
            writer.WriteString("kind", question.Kind.ToString());
        });
    }
}
