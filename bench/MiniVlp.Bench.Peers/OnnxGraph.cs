using System.Runtime.InteropServices;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// Builds an ONNX model (onnx.proto3: ModelProto, GraphProto, NodeProto, TensorProto; operator set 20) with random weights, so that
/// ONNX Runtime runs the same sizes without any file from elsewhere. Results are named by the node that makes them.
/// </summary>
internal sealed class OnnxGraph
{
    private const int FloatType = 1, Int64Type = 7, OperatorSet = 20, FormatVersion = 9;
    private readonly Protobuf _graph = new();
    private readonly Random _random = new(1);
    private int _names;

    /// <summary>Declares an input of floats, or of token ids.</summary>
    public string Input(string name, long[] shape, bool isIndex = false)
    {
        _graph.Message(11, ValueInfo(name, shape, isIndex ? Int64Type : FloatType));
        return name;
    }

    /// <summary>A constant of random values, uniform in [-scale, scale).</summary>
    public string Weight(long[] shape, float scale = 0.03f)
    {
        float[] values = new float[shape.Aggregate(1L, (product, size) => product * size)];
        foreach (ref float value in values.AsSpan()) value = ((2f * _random.NextSingle()) - 1f) * scale;
        return Initializer(shape, FloatType, MemoryMarshal.AsBytes(values.AsSpan()));
    }

    /// <summary>A constant with all elements equal.</summary>
    public string Constant(long[] shape, float value)
    {
        float[] values = new float[shape.Aggregate(1L, (product, size) => product * size)];
        Array.Fill(values, value);
        return Initializer(shape, FloatType, MemoryMarshal.AsBytes(values.AsSpan()));
    }

    /// <summary>A constant list of integers, such as the target of a Reshape.</summary>
    public string Integers(params long[] values) => Integers([values.Length], values);

    /// <summary>A constant of integers, such as indices.</summary>
    public string Integers(long[] shape, long[] values) => Initializer(shape, Int64Type, MemoryMarshal.AsBytes(values.AsSpan()));

    /// <summary>[tokens, tokens]: 0 where a token may look, the least float above it.</summary>
    public string CausalMask(long tokens)
    {
        float[] mask = new float[tokens * tokens];
        for (long i = 0; i < tokens; i++) mask.AsSpan((int)((i * tokens) + i + 1), (int)(tokens - i - 1)).Fill(float.MinValue);
        return Initializer([tokens, tokens], FloatType, MemoryMarshal.AsBytes(mask.AsSpan()));
    }

    /// <summary>Adds a node and returns the name of its result.</summary>
    public string Node(string operation, string[] inputs, params (string Name, object Value)[] attributes)
    {
        string output = NewName(operation);
        Protobuf node = new();
        foreach (string input in inputs) node.Text(1, input);
        node.Text(2, output).Text(4, operation);
        foreach ((string name, object value) in attributes)
        {
            Protobuf attribute = new Protobuf().Text(1, name);
            switch (value)
            {
                case float number: attribute.Float(2, number).Integer(20, 1); break;
                case long integer: attribute.Integer(3, integer).Integer(20, 2); break;
                case long[] integers:
                    foreach (long integer in integers) attribute.Integer(8, integer);
                    attribute.Integer(20, 7);
                    break;
                default: throw new NotSupportedException($"{operation}.{name}: attributes of type {value.GetType()} are not written.");
            }

            node.Message(5, attribute);
        }

        _graph.Message(1, node);
        return output;
    }

    /// <summary>The model with one output.</summary>
    public byte[] ToModel(string output, long[] shape)
    {
        _graph.Text(2, "workload").Message(12, ValueInfo(output, shape, FloatType));
        return new Protobuf().Integer(1, FormatVersion).Message(7, _graph).Message(8, new Protobuf().Text(1, string.Empty).Integer(2, OperatorSet)).ToArray();
    }

    private static Protobuf ValueInfo(string name, long[] shape, int elementType)
    {
        Protobuf dimensions = new();
        foreach (long size in shape) dimensions.Message(1, new Protobuf().Integer(1, size));
        return new Protobuf().Text(1, name).Message(2, new Protobuf().Message(1, new Protobuf().Integer(1, elementType).Message(2, dimensions)));
    }

    private string Initializer(long[] shape, int elementType, ReadOnlySpan<byte> bytes)
    {
        string name = NewName("constant");
        Protobuf tensor = new();
        foreach (long size in shape) tensor.Integer(1, size);
        _graph.Message(5, tensor.Integer(2, elementType).Text(8, name).Bytes(9, bytes));
        return name;
    }

    private string NewName(string kind) => $"{kind}_{_names++}";
}
