using System.Text;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>
/// A part of a model: parameters and other modules under explicit names, so that the path of names is the key in a checkpoint. No
/// reflection is involved; a module is known by what its constructor adds.
/// </summary>
public abstract class Module : IDisposable
{
    private readonly List<(string Name, Module Child)> _children = [];
    private readonly List<Parameter> _parameters = [];

    /// <summary>Whether dropout and its kin are active; false until <see cref="Train"/>.</summary>
    public bool IsTraining { get; private set; }

    /// <summary>
    /// All parameters with their full names, in the order in which they were added. One that several parts share comes once, under the first of
    /// its names.
    /// </summary>
    public IEnumerable<(string Name, Parameter Parameter)> NamedParameters() => NamedParameters(string.Empty).DistinctBy(named => named.Parameter);

    /// <summary>Number of values in all parameters together.</summary>
    public long ParameterCount()
    {
        long count = 0;
        foreach ((_, Parameter parameter) in NamedParameters()) count += parameter.Shape.Length;
        return count;
    }

    /// <summary>
    /// Gives every parameter its memory on <paramref name="device"/> and fills it by its initializer. The numbers of a parameter depend
    /// on the seed and its full name alone.
    /// </summary>
    /// <param name="device">Where the parameters are kept.</param>
    /// <param name="seed">Same seed, same values.</param>
    public void Initialize(Device device, int seed = 0) => Fill(device, seed, static _ => true);

    /// <summary>The same for the parameters that have no values yet: a new head on a trained model.</summary>
    /// <param name="device">Where these parameters are kept.</param>
    /// <param name="seed">Same seed, same values.</param>
    public void InitializeMissing(Device device, int seed = 0) => Fill(device, seed, static parameter => !parameter.IsInitialized);

    /// <summary>Turns dropout and its kin on.</summary>
    public void Train() => SetTraining(true);

    /// <summary>Turns dropout and its kin off.</summary>
    public void Evaluate() => SetTraining(false);

    /// <summary>Freezes or thaws all parameters.</summary>
    public void SetTrainable(bool trainable)
    {
        foreach ((_, Parameter parameter) in NamedParameters()) parameter.IsTrainable = trainable;
    }

    /// <summary>Forgets all gradients and keeps their memory.</summary>
    public void ClearGradients()
    {
        foreach ((_, Parameter parameter) in NamedParameters()) parameter.ClearGradient();
    }

    /// <summary>
    /// Makes the model ready for fast inference: the weight of every linear layer and patch embedding is rearranged once for matrix products
    /// and the original given up, so that memory does not grow; with <see cref="WeightFormat.BFloat16"/> or <see cref="WeightFormat.Int8"/>
    /// these weights take a half or a quarter, rounded. Embeddings, norms and biases stay. The model can no longer be trained or saved.
    /// </summary>
    /// <param name="format">How the weights are stored; GPUs have float32 here.</param>
    /// <exception cref="InvalidOperationException">A weight has no values yet, or is packed already.</exception>
    /// <exception cref="NotSupportedException">The device lacks the format.</exception>
    public void PackWeights(WeightFormat format = WeightFormat.Float32)
    {
        foreach (Module module in Descendants().Distinct()) module.PackOwnWeights(format);
    }

    /// <summary>Gives the memory of all parameters back.</summary>
    public void Dispose()
    {
        foreach ((_, Parameter parameter) in NamedParameters()) parameter.Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>Packs the weights that this module itself multiplies by; nothing where it has none.</summary>
    protected virtual void PackOwnWeights(WeightFormat format)
    {
    }

    /// <summary>Adds a module; an empty name adds its parameters under this module's own path.</summary>
    /// <returns><paramref name="child"/> itself.</returns>
    protected T Add<T>(string name, T child)
        where T : Module
    {
        _children.Add((name, child));
        return child;
    }

    /// <summary>Declares a parameter.</summary>
    /// <param name="name">Its name in this module, exactly as Hugging Face spells it.</param>
    /// <param name="shape">Sizes of its axes.</param>
    /// <param name="initializer">How a new model fills it.</param>
    protected Parameter Add(string name, Shape shape, Initializer initializer)
    {
        Parameter parameter = new(name, shape, initializer);
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Adds <paramref name="count"/> modules named <c>name.0</c>, <c>name.1</c>, ...</summary>
    protected T[] AddMany<T>(string name, int count, Func<int, T> create)
        where T : Module
    {
        T[] children = new T[count];
        for (int i = 0; i < count; i++) children[i] = Add($"{name}.{i}", create(i));
        return children;
    }

    private void Fill(Device device, int seed, Predicate<Parameter> concerns)
    {
        foreach ((string name, Parameter parameter) in NamedParameters())
        {
            if (!concerns(parameter)) continue;
            float[] values = new float[parameter.Shape.Length];
            parameter.Initializer(values, parameter.Shape, new Random(SeedOf(seed, name)));
            parameter.Assign(values, device);
        }
    }

    private IEnumerable<(string Name, Parameter Parameter)> NamedParameters(string prefix)
    {
        foreach (Parameter parameter in _parameters) yield return (prefix + parameter.Name, parameter);
        foreach ((string name, Module child) in _children)
        {
            string path = name.Length == 0 ? prefix : $"{prefix}{name}.";
            foreach ((string, Parameter) named in child.NamedParameters(path)) yield return named;
        }
    }

    /// <summary>This module and all below it; a shared one as often as it is added.</summary>
    private IEnumerable<Module> Descendants() => _children.SelectMany(named => named.Child.Descendants()).Prepend(this);

    private void SetTraining(bool training)
    {
        IsTraining = training;
        foreach ((_, Module child) in _children) child.SetTraining(training);
    }

    /// <summary>FNV-1a over the name, mixed with the seed: string.GetHashCode differs from run to run.</summary>
    private static int SeedOf(int seed, string name)
    {
        uint hash = 2166136261u ^ (uint)seed * 2654435761u;
        foreach (byte b in Encoding.UTF8.GetBytes(name)) hash = (hash ^ b) * 16777619u;
        return (int)(hash & 0x7FFFFFFF);
    }
}
