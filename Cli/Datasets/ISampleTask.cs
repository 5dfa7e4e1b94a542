using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Datasets;

/// <summary>What a task reads of a sample besides its picture: the text, and what is right.</summary>
public interface ISampleTask
{
    /// <summary>Whether what is right stays right when picture and text are mirrored.</summary>
    bool AllowsMirror { get; }

    /// <summary>The text that the model reads.</summary>
    /// <exception cref="ToolException">There is none.</exception>
    string TextOf(ImageTextSample sample);

    /// <summary>Puts what is right into a batch; called by several threads at once, each with its own batch.</summary>
    /// <param name="batch">Has the pictures and texts of the samples.</param>
    /// <param name="samples">In the order of the batch.</param>
    /// <exception cref="ToolException">A sample does not say what is right, or says what the model cannot express.</exception>
    void AddTargets(ImageTextBatch batch, IReadOnlyList<ImageTextSample> samples);
}
