using System.Text.Json.Nodes;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Nn.Training;

/// <summary>The states of an objective as one safetensors file, each tensor under <c>state.tensor</c>, and their counters as JSON.</summary>
internal static class TrainingStateFile
{
    /// <summary>Writes all tensors; the file appears whole or not at all.</summary>
    public static void Save(string path, IReadOnlyList<(string Name, ITrainingState State)> states)
    {
        List<(string Name, Tensor Value)> tensors = [];
        List<(string Name, IndexTensor Value)> indices = [];
        foreach ((string prefix, ITrainingState state) in states)
        {
            foreach ((string name, Tensor value) in state.Tensors) tensors.Add(($"{prefix}.{name}", value));
            foreach ((string name, IndexTensor value) in state.Indices) indices.Add(($"{prefix}.{name}", value));
        }

        using SafetensorsWriter writer = SafetensorsWriter.Create(path);
        foreach ((string name, Tensor value) in tensors) writer.Declare(name, SafetensorsDtype.F32, value.Shape.ToArray());
        foreach ((string name, IndexTensor value) in indices) writer.Declare(name, SafetensorsDtype.I32, value.Shape.ToArray());
        foreach ((string name, Tensor value) in tensors) writer.Write(name, value.ToArray());
        foreach ((string name, IndexTensor value) in indices) writer.Write(name, value.ToArray());
        writer.Complete();
    }

    /// <summary>What the states count, by name.</summary>
    public static JsonObject Counters(IReadOnlyList<(string Name, ITrainingState State)> states)
    {
        JsonObject all = [];
        foreach ((string name, ITrainingState state) in states) all[name] = state.SaveCounters();
        return all;
    }

    /// <summary>Throws unless the file holds exactly the tensors of the states.</summary>
    /// <exception cref="InvalidDataException">Names, shapes or types do not fit; all misfits are listed.</exception>
    public static void Check(SafetensorsFile file, IReadOnlyList<(string Name, ITrainingState State)> states)
    {
        HashSet<string> unknown = [.. file.Entries.Keys];
        List<string> misfits = [];
        foreach ((string prefix, ITrainingState state) in states)
        {
            foreach ((string name, Tensor value) in state.Tensors) Check($"{prefix}.{name}", value.Shape, SafetensorsDtype.F32);
            foreach ((string name, IndexTensor value) in state.Indices) Check($"{prefix}.{name}", value.Shape, SafetensorsDtype.I32);
        }

        misfits.AddRange(unknown.Order(StringComparer.Ordinal).Select(name => $"'{name}' belongs to no state"));
        if (misfits.Count > 0) throw new InvalidDataException($"{file.Path} is not the state of this training: {string.Join("; ", misfits)}.");

        void Check(string name, Shape shape, SafetensorsDtype dtype)
        {
            if (!unknown.Remove(name)) misfits.Add($"'{name}' is missing");
            else if (file.Entry(name) is { } entry && (entry.Dtype != dtype || !entry.Shape.SequenceEqual(shape.ToArray().Select(size => (long)size))))
                misfits.Add($"'{name}' must be {dtype} {shape}, but is {entry.Dtype} [{string.Join(", ", entry.Shape)}]");
        }
    }

    /// <summary>Puts tensors and counters back; the file has been checked.</summary>
    public static void Restore(SafetensorsFile file, JsonObject counters, IReadOnlyList<(string Name, ITrainingState State)> states)
    {
        foreach ((string prefix, ITrainingState state) in states)
        {
            foreach ((string name, Tensor value) in state.Tensors)
            {
                float[] values = new float[value.Shape.Length];
                file.ReadFloat32($"{prefix}.{name}", values);
                value.CopyFrom(values);
            }

            foreach ((string name, IndexTensor value) in state.Indices)
            {
                int[] values = new int[value.Shape.Length];
                file.ReadInt32($"{prefix}.{name}", values);
                value.CopyFrom(values);
            }

            state.RestoreCounters(counters[prefix] as JsonObject);
        }
    }
}
