using System.Text.Json.Nodes;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Training;

/// <summary>
/// Something besides parameters and optimizer that a training has to remember: a queue of features, the weights of a momentum encoder. A
/// <see cref="Trainer"/> saves it with its checkpoints and restores it bit by bit, so that a resumed run goes on as if it had never stopped.
/// </summary>
public interface ITrainingState
{
    /// <summary>Persistent tensors under names of their own; always the same ones, of the same shapes.</summary>
    IEnumerable<(string Name, Tensor Value)> Tensors { get; }

    /// <summary>Integers under names of their own; always the same ones, of the same shapes.</summary>
    IEnumerable<(string Name, IndexTensor Value)> Indices => [];

    /// <summary>Positions and the like, which go into <c>trainer.json</c>; null for none.</summary>
    JsonObject? SaveCounters() => null;

    /// <summary>Takes back what <see cref="SaveCounters"/> gave; the tensors have their old contents again by then.</summary>
    /// <param name="counters">What was saved.</param>
    /// <exception cref="InvalidDataException">A counter is missing or out of its range; the message names it.</exception>
    void RestoreCounters(JsonObject? counters)
    {
    }
}
