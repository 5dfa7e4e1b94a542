using System.Buffers;
using System.Runtime.ExceptionServices;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Nn;

/// <summary>A checkpoint does not fit a model. The message lists every key that is missing, unexpected or shaped otherwise.</summary>
/// <param name="message">All that is wrong.</param>
public sealed class StateDictException(string message) : IOException(message);

/// <summary>Moves the parameters of a module from and to safetensors files, under their full names.</summary>
public static class StateDict
{
    /// <summary>
    /// From 64 MB on, threads share the loading into the memory of the CPU: most of its time goes into first touches of pages. A GPU takes one upload
    /// after the other.
    /// </summary>
    private const long ManyValues = 16 << 20;

    /// <summary>
    /// Loads every parameter of <paramref name="module"/> from an open file. Nothing is changed unless all fit.
    /// </summary>
    /// <param name="module">The module.</param>
    /// <param name="file">The file, or all shards of a sharded checkpoint.</param>
    /// <param name="device">Where the parameters are kept.</param>
    /// <param name="keyOf">Key in the file for the full name of a parameter; the name itself when null.</param>
    /// <param name="ignoresKey">Keys in the file that no parameter claims and that are no mistake, such as buffers and other heads; none when null.</param>
    /// <exception cref="StateDictException">Keys are missing, unexpected, or of another shape or type; all are listed.</exception>
    public static void Load(Module module, SafetensorsFile file, Device device, Func<string, string>? keyOf = null, Predicate<string>? ignoresKey = null)
    {
        List<string> problems = [];
        HashSet<string> claimed = [];
        List<(string Key, Parameter Parameter)> plan = [];
        foreach ((string name, Parameter parameter) in module.NamedParameters())
        {
            string key = keyOf?.Invoke(name) ?? name;
            claimed.Add(key);
            if (!file.Entries.TryGetValue(key, out TensorEntry? entry)) problems.Add($"missing    {key} {parameter.Shape}");
            else if (!SameShape(entry, parameter.Shape)) problems.Add($"mis-shaped {key}: the file has [{string.Join(", ", entry.Shape)}], the model {parameter.Shape}");
            else if (!IsFloat(entry.Dtype)) problems.Add($"mis-typed  {key}: the file has {entry.Dtype}, the model floating-point numbers");
            else plan.Add((key, parameter));
        }

        foreach (string key in file.Entries.Keys)
            if (!claimed.Contains(key) && ignoresKey?.Invoke(key) != true) problems.Add($"unexpected {key}");
        if (problems.Count > 0)
        {
            problems.Sort(StringComparer.Ordinal);
            throw new StateDictException($"{file.Path} does not fit {module.GetType().Name}: {problems.Count} keys differ.{Environment.NewLine}  {string.Join($"{Environment.NewLine}  ", problems)}");
        }

        if (device.Backend is CpuBackend && plan.Sum(part => (long)part.Parameter.Shape.Length) >= ManyValues)
        {
            try
            {
                Parallel.For(0, plan.Count, Assign);
            }
            catch (AggregateException exception)
            {
                ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
            }

            return;
        }

        for (int i = 0; i < plan.Count; i++) Assign(i);

        void Assign(int i)
        {
            (string key, Parameter parameter) = plan[i];
            if (file.TryMapFloat32(key, out ReadOnlySpan<float> values))
            {
                parameter.Assign(values, device);
                return;
            }

            int length = parameter.Shape.Length;
            float[] converted = ArrayPool<float>.Shared.Rent(length);
            file.ReadFloat32(key, converted.AsSpan(0, length));
            parameter.Assign(converted.AsSpan(0, length), device);
            ArrayPool<float>.Shared.Return(converted);
        }
    }

    /// <summary>Writes every parameter of <paramref name="module"/> under its full name; the file appears whole or not at all.</summary>
    /// <param name="module">The module.</param>
    /// <param name="path">The file to write.</param>
    /// <param name="dtype">F32, F16 or BF16.</param>
    /// <param name="metadata">Goes into the header beside <c>format: pt</c>.</param>
    public static void Save(Module module, string path, SafetensorsDtype dtype = SafetensorsDtype.F32, IReadOnlyDictionary<string, string>? metadata = null)
    {
        Dictionary<string, string> header = new(StringComparer.Ordinal) { ["format"] = "pt" };
        foreach ((string key, string value) in metadata ?? header) header[key] = value;
        Save(path, module.NamedParameters().Select(named => (named.Name, named.Parameter.Value)), dtype, header);
    }

    /// <summary>Writes named tensors; the file appears whole or not at all.</summary>
    public static void Save(string path, IEnumerable<(string Name, Tensor Value)> tensors, SafetensorsDtype dtype = SafetensorsDtype.F32, IReadOnlyDictionary<string, string>? metadata = null)
    {
        List<(string Name, Tensor Value)> all = [.. tensors];
        using SafetensorsWriter writer = SafetensorsWriter.Create(path, metadata);
        foreach ((string name, Tensor value) in all) writer.Declare(name, dtype, value.Shape.ToArray());
        float[] values = [];
        foreach ((string name, Tensor value) in all)
        {
            int length = value.Shape.Length;
            if (values.Length < length) values = new float[length];
            value.CopyTo(values.AsSpan(0, length));
            writer.Write(name, values.AsSpan(0, length));
        }

        writer.Complete();
    }

    /// <summary>
    /// Copies the values of one module's parameters to another's, for a model that starts from a pre-trained one. Nothing is changed unless all fit.
    /// </summary>
    /// <param name="source">Where the values come from; it stays as it is.</param>
    /// <param name="target">Where they go to.</param>
    /// <param name="sourceOf">Name in the source for the full name of a parameter of the target; null leaves that parameter as it is.</param>
    /// <exception cref="StateDictException">The source lacks a parameter or has another shape; all differences are listed.</exception>
    public static void Copy(Module source, Module target, Func<string, string?> sourceOf)
    {
        Dictionary<string, Parameter> sources = source.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter, StringComparer.Ordinal);
        List<string> problems = [];
        List<(Parameter From, Parameter To)> plan = [];
        foreach ((string name, Parameter to) in target.NamedParameters())
        {
            if (sourceOf(name) is not { } key) continue;
            if (!sources.TryGetValue(key, out Parameter? from)) problems.Add($"missing    {key} for {name} {to.Shape}");
            else if (from.Shape != to.Shape) problems.Add($"mis-shaped {key}: {from.Shape} for {name} {to.Shape}");
            else plan.Add((from, to));
        }

        if (problems.Count > 0)
            throw new StateDictException($"{source.GetType().Name} does not fit {target.GetType().Name}: {problems.Count} parameters differ.{Environment.NewLine}  {string.Join($"{Environment.NewLine}  ", problems)}");
        foreach ((Parameter from, Parameter to) in plan) to.Assign(from.Value.ToArray(), from.Value.Device);
    }

    private static bool IsFloat(SafetensorsDtype dtype) => dtype is SafetensorsDtype.F32 or SafetensorsDtype.F16 or SafetensorsDtype.BF16 or SafetensorsDtype.F64;

    private static bool SameShape(TensorEntry entry, Shape shape)
    {
        if (entry.Shape.Length != shape.Rank) return false;
        for (int i = 0; i < shape.Rank; i++)
            if (entry.Shape[i] != shape[i]) return false;
        return true;
    }
}
