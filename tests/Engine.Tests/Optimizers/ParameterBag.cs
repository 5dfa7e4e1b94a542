using MiniVlp.Engine.Tests.Goldens;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Optimizers;

/// <summary>A module that is nothing but parameters with given values.</summary>
internal sealed class ParameterBag : Module
{
    private readonly Dictionary<string, Parameter> _parameters = new(StringComparer.Ordinal);

    public ParameterBag(Device device, params (string Name, Shape Shape, float[] Values)[] parameters)
    {
        foreach ((string name, Shape shape, float[] values) in parameters)
        {
            Parameter parameter = Add(name, shape, static (values, _, _) => values.Clear());
            parameter.Assign(values, device);
            _parameters.Add(name, parameter);
        }
    }

    public Parameter this[string name] => _parameters[name];

    /// <summary>Parameters of the shapes and values of the golden's inputs <c>prefix.name</c>.</summary>
    public static ParameterBag From(OpGolden golden, string prefix, params string[] names) => new(
        golden.Device,
        [.. names.Select(name => (name, golden.Floats("inputs", prefix + name).Shape, golden.Floats("inputs", prefix + name).Values))]);
}
