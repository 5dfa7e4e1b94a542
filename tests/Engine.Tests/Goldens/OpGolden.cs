using System.Runtime.InteropServices;
using System.Text.Json;
using MiniVlp.Autograd;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Goldens;

/// <summary>
/// One case of Goldens/ops as PyTorch computed it: a handler reads the operands here, computes, and hands its results to
/// <see cref="Expect(string, Tensor)"/>, which compares them. Afterwards <see cref="CheckGradients"/> compares every gradient.
/// </summary>
internal sealed class OpGolden
{
    private static readonly string Folder = FindFolder();
    private static readonly byte[] File = System.IO.File.ReadAllBytes(Path.Combine(Folder, "ops.safetensors"));
    private static readonly int HeaderLength = (int)BitConverter.ToInt64(File, 0);
    private static readonly JsonElement Header = JsonDocument.Parse(File.AsMemory(8, HeaderLength)).RootElement;
    private static readonly Dictionary<string, JsonElement> Index = JsonDocument
        .Parse(System.IO.File.ReadAllText(Path.Combine(Folder, "index.json"))).RootElement.GetProperty("cases").EnumerateArray()
        .ToDictionary(c => c.GetProperty("case").GetString()!, StringComparer.Ordinal);

    private readonly JsonElement _case;
    private readonly Dictionary<string, Tensor> _inputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Tensor> _outputs = new(StringComparer.Ordinal);
    private readonly HashSet<string> _compared = new(StringComparer.Ordinal);

    public OpGolden(string name, Device device)
    {
        Name = name;
        Device = device;
        _case = Index[name];
    }

    public static IEnumerable<string> Names => Index.Keys;

    /// <summary>The operator of a case.</summary>
    public static string OpOf(string name) => Index[name].GetProperty("op").GetString()!;

    public string Name { get; }

    public Device Device { get; }

    public string Op => _case.GetProperty("op").GetString()!;

    public bool IsExact => _case.TryGetProperty("exact", out JsonElement exact) && exact.GetBoolean();

    /// <summary>A float operand; the same tensor each time. It needs a gradient when the golden holds one.</summary>
    public Tensor this[string input]
    {
        get
        {
            if (_inputs.TryGetValue(input, out Tensor? tensor)) return tensor;
            (Shape shape, float[] values) = Floats("inputs", input);
            tensor = Tensor.FromArray(values, shape, Device);
            tensor.NeedsGradient = Has("grads", input);
            return _inputs[input] = tensor;
        }
    }

    public bool HasInput(string input) => Has("inputs", input);

    /// <summary>A float operand, or null when the case has none of this name.</summary>
    public Tensor? Optional(string input) => HasInput(input) ? this[input] : null;

    /// <summary>An integer or Boolean operand.</summary>
    public IndexTensor Indices(string input)
    {
        (Shape shape, int[] values) = Integers("inputs", input);
        return IndexTensor.FromArray(values, shape, Device);
    }

    public bool HasArgument(string name) => _case.GetProperty("args").TryGetProperty(name, out _);

    public JsonElement Argument(string name) => _case.GetProperty("args").GetProperty(name);

    public float Float(string name) => Argument(name).GetSingle();

    public int Int(string name) => Argument(name).GetInt32();

    /// <summary>The values of a float tensor of the case, by role (inputs, outputs, cotangents, grads) and name.</summary>
    public (Shape Shape, float[] Values) Floats(string role, string name)
    {
        (Shape shape, string type, byte[] bytes) = Read(role, name);
        Assert.Equal("F32", type);
        return (shape, MemoryMarshal.Cast<byte, float>(bytes).ToArray());
    }

    /// <summary>The values of an integer or Boolean tensor of the case.</summary>
    public (Shape Shape, int[] Values) Integers(string role, string name)
    {
        (Shape shape, string type, byte[] bytes) = Read(role, name);
        return (shape, type switch
        {
            "I64" => [.. MemoryMarshal.Cast<byte, long>(bytes).ToArray().Select(v => (int)v)],
            "I32" => MemoryMarshal.Cast<byte, int>(bytes).ToArray(),
            "BOOL" or "U8" => [.. bytes.Select(b => (int)b)],
            _ => throw new NotSupportedException($"{Name}: {name} has the type {type}."),
        });
    }

    /// <summary>Compares a result with the golden's output of this name.</summary>
    public void Expect(string output, Tensor actual)
    {
        (Shape shape, float[] expected) = Floats("outputs", output);
        Assert.Equal(shape, actual.Shape);
        Compare(output, expected, actual.ToArray(), Tolerance("rtol"));
        _outputs[output] = actual;
        _compared.Add(output);
    }

    /// <summary>Compares plain numbers with the golden's output of this name.</summary>
    public void Expect(string output, ReadOnlySpan<float> actual)
    {
        Compare(output, Floats("outputs", output).Values, actual.ToArray(), Tolerance("rtol"));
        _compared.Add(output);
    }

    /// <summary>Compares integers with the golden's output of this name.</summary>
    public void Expect(string output, ReadOnlySpan<int> actual)
    {
        Assert.Equal(Integers("outputs", output).Values, actual.ToArray());
        _compared.Add(output);
    }

    /// <summary>Runs backward on Σ output · cotangent and compares every gradient of the case; every output must have been compared.</summary>
    public void CheckGradients(Tape tape)
    {
        foreach (JsonProperty output in Properties("outputs")) Assert.True(_compared.Contains(output.Name), $"{Name}: the output {output.Name} was not compared.");
        if (!Properties("grads").Any()) return;
        KeyValuePair<string, Tensor>[] outputs = [.. _outputs.Where(o => o.Value.NeedsGradient && Has("cotangents", o.Key))];
        Tensor loss = outputs[0].Value;
        Tensor seed = Tensor.FromArray(Floats("cotangents", outputs[0].Key).Values, loss.Shape, Device);
        if (outputs.Length > 1)
        {
            loss = WeightedSum(outputs);
            seed = Tensor.Full(loss.Shape, 1f, Device);
        }

        tape.Backward(loss, seed);
        foreach (JsonProperty gradient in Properties("grads"))
        {
            (Shape shape, float[] expected) = Floats("grads", gradient.Name);
            Tensor actual = this[gradient.Name].Gradient ?? throw new InvalidOperationException($"{Name}: {gradient.Name} got no gradient.");
            Assert.Equal(shape, actual.Shape);
            Compare("gradient of " + gradient.Name, expected, actual.ToArray(), Tolerance("rtol_grads"));
        }
    }

    private Tensor WeightedSum(KeyValuePair<string, Tensor>[] outputs)
        => outputs.Select(o => (o.Value * Tensor.FromArray(Floats("cotangents", o.Key).Values, o.Value.Shape, Device)).Sum()).Aggregate((a, b) => a + b);

    private double Tolerance(string name) => IsExact ? 0 : _case.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : 2e-5;

    private void Compare(string what, float[] expected, float[] actual, double relative)
    {
        Assert.Equal(expected.Length, actual.Length);
        double scale = expected.Where(float.IsFinite).Select(v => (double)Math.Abs(v)).DefaultIfEmpty(0).Max();
        double limit = IsExact ? 0 : 1e-6 + (relative * scale);
        for (int i = 0; i < expected.Length; i++)
        {
            bool isClose = float.IsFinite(expected[i]) ? Math.Abs((double)expected[i] - actual[i]) <= limit : expected[i].Equals(actual[i]);
            Assert.True(isClose, $"{Name}: {what}, element {i}: expected {expected[i]}, actual {actual[i]}, allowed difference {limit}");
        }
    }

    private bool Has(string role, string name) => _case.TryGetProperty(role, out JsonElement names) && names.TryGetProperty(name, out _);

    private IEnumerable<JsonProperty> Properties(string role)
        => _case.TryGetProperty(role, out JsonElement names) ? names.EnumerateObject() : [];

    private (Shape Shape, string Type, byte[] Bytes) Read(string role, string name)
    {
        JsonElement tensor = Header.GetProperty(_case.GetProperty(role).GetProperty(name).GetString()!);
        Shape shape = Shape.Create([.. tensor.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32())]);
        int start = 8 + HeaderLength + tensor.GetProperty("data_offsets")[0].GetInt32();
        int end = 8 + HeaderLength + tensor.GetProperty("data_offsets")[1].GetInt32();
        return (shape, tensor.GetProperty("dtype").GetString()!, File[start..end]);
    }

    /// <summary>tests/Engine.Tests/Goldens/ops in the repository, or wherever the tests were published together with it.</summary>
    private static string FindFolder()
    {
        string path = Path.Combine("tests", "Engine.Tests", "Goldens", "ops");
        for (string? folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
            if (Directory.Exists(Path.Combine(folder, path))) return Path.Combine(folder, path);
        throw new DirectoryNotFoundException($"No {path} above {AppContext.BaseDirectory}.");
    }
}
