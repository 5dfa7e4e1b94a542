using MiniVlp.Data.Images;

namespace MiniVlp.Cli.CapFilt;

/// <summary>Writes captions.</summary>
public interface ICaptioner : IDisposable
{
    /// <summary>One caption for each picture.</summary>
    /// <param name="images">The pictures.</param>
    /// <param name="first">Number of the first of them: a caption depends on the picture and its number alone, not on what else is in the batch.</param>
    IReadOnlyList<string> Caption(IReadOnlyList<RgbImage> images, int first);
}

/// <summary>Says how likely texts match pictures.</summary>
public interface ICaptionFilter : IDisposable
{
    /// <summary>For each list of texts, of which text i belongs to picture i, the probabilities of a match.</summary>
    IReadOnlyList<float[]> Match(IReadOnlyList<RgbImage> images, params IReadOnlyList<IReadOnlyList<string>> texts);
}

/// <summary>The models of a run: how they are trained, and how they are opened once they are.</summary>
public interface ICapFiltModels
{
    /// <summary>Folder of a model to start from instead of training one; null for none.</summary>
    string? Start { get; }

    /// <summary>Trains the model that captioner and filter start from.</summary>
    /// <returns>False when it was stopped before its end.</returns>
    bool Pretrain(string folder, CancellationToken cancellation);

    /// <summary>Trains the captioner further on clean pairs, from the model in <paramref name="start"/>.</summary>
    /// <returns>False when it was stopped before its end.</returns>
    bool TrainCaptioner(string start, string folder, CancellationToken cancellation);

    /// <summary>Trains the filter further on clean pairs, from the model in <paramref name="start"/>.</summary>
    /// <returns>False when it was stopped before its end.</returns>
    bool TrainFilter(string start, string folder, CancellationToken cancellation);

    ICaptioner OpenCaptioner(string folder);

    ICaptionFilter OpenFilter(string folder);

    /// <summary>What must be the same when a run goes on.</summary>
    System.Text.Json.Nodes.JsonObject Settings { get; }
}
