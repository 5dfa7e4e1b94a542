using System.Text.Json;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Models;

/// <summary>How one named output or gradient compares with its reference.</summary>
/// <param name="Name">Name in <c>outputs.safetensors</c>.</param>
/// <param name="MaxAbsolute">max|x - reference|; NaN when the model gives no such tensor.</param>
/// <param name="MaxRelative">MaxAbsolute divided by max|reference|.</param>
/// <param name="Allowed">Largest MaxAbsolute that passes.</param>
/// <param name="Problem">Why it fails for another reason than size: missing, other shape; null otherwise.</param>
public sealed record ParityRow(string Name, double MaxAbsolute, double MaxRelative, double Allowed, string? Problem)
{
    /// <summary>Whether it agrees.</summary>
    public bool Passed => Problem is null && MaxAbsolute <= Allowed;
}

/// <summary>
/// Runs a model folder on stored inputs and compares every output, and every gradient that is stored, with references: a folder holds
/// <c>config.json</c>, <c>model.safetensors</c>, <c>inputs.safetensors</c> (arguments of the reference's forward), and
/// <c>outputs.safetensors</c> (outputs, <c>grad.NAME</c> of parameters, <c>input_grad.NAME</c> of inputs).
/// </summary>
public static class Parity
{
    /// <summary>Tolerance, relative to the largest value of the tensor, when the folder has no <c>meta.json</c>.</summary>
    public const double DefaultTolerance = 2e-4;

    /// <summary>Loads, runs and compares.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where to run; the CPU when null.</param>
    /// <param name="tolerance">Allowed max|x - reference| / max|reference| where <c>meta.json</c> does not say.</param>
    /// <param name="weights">Packs the weights in this format first; then there are no gradients, and only outputs are compared. As they are when null.</param>
    /// <returns>One row for each tensor in <c>outputs.safetensors</c>, in order of name.</returns>
    /// <exception cref="ModelFormatException">The architecture is unknown, or the folder is incomplete.</exception>
    public static IReadOnlyList<ParityRow> Check(string folder, Device? device = null, double tolerance = DefaultTolerance, WeightFormat? weights = null)
    {
        foreach (string file in (string[])["inputs.safetensors", "outputs.safetensors"])
            if (!File.Exists(Path.Combine(folder, file))) throw new ModelFormatException($"{folder}: a parity folder must hold {file}; there is none.");
        device ??= Device.Cpu;
        using PretrainedModel model = Architectures.Load(folder, device);
        using SafetensorsFile inputFile = SafetensorsFile.Open(Path.Combine(folder, "inputs.safetensors"));
        using SafetensorsFile expected = SafetensorsFile.Open(Path.Combine(folder, "outputs.safetensors"));
        Tolerances tolerances = Tolerances.Read(folder, tolerance);
        if (weights is { } format) return CheckPacked(model, format, new ParityRun(inputFile, device), expected, tolerances);
        bool backward = expected.Entries.Keys.Any(IsGradient);

        using Tape tape = Tape.Record();
        ParityRun run = new(inputFile, device);
        run.Forward(model);
        if (backward)
        {
            if (run.Loss is null) throw new ModelFormatException($"{folder}: outputs.safetensors holds gradients, but the inputs give no loss: no labels, and no probe.* weights.");
            tape.Backward(run.Loss);

            // What the loss does not reach has no gradient here and one of zeros in the reference.
            foreach ((string name, Parameter parameter) in model.NamedParameters())
                run.AddResult("grad." + name, parameter.Gradient ?? Tensor.Zeros(parameter.Shape, device));
            foreach ((string name, Tensor input) in run.FloatInputs)
                if (input.Gradient is { } gradient) run.AddResult("input_grad." + name, gradient);
        }

        return [.. expected.Entries.Keys.Order(StringComparer.Ordinal).Select(name => Compare(name, expected, run.Results, tolerances))];
    }

    private static IReadOnlyList<ParityRow> CheckPacked(PretrainedModel model, WeightFormat format, ParityRun run, SafetensorsFile expected, Tolerances tolerances)
    {
        using TensorScope scope = new();
        model.PackWeights(format);
        run.Forward(model);

        // A text is made of choices: a rounded weight may well make another one.
        bool comparesTexts = format is WeightFormat.Float32;
        return [.. expected.Entries.Keys.Where(name => !IsGradient(name) && (comparesTexts || !name.StartsWith("generate.", StringComparison.Ordinal))).Order(StringComparer.Ordinal).Select(name => Compare(name, expected, run.Results, tolerances))];
    }

    private static bool IsGradient(string name) => name.StartsWith("grad.", StringComparison.Ordinal) || name.StartsWith("input_grad.", StringComparison.Ordinal);

    private static ParityRow Compare(string name, SafetensorsFile expected, Dictionary<string, (Shape Shape, float[] Values)> results, Tolerances tolerances)
    {
        float[] reference = Reference(expected, name, out bool isExact);
        double scale = 0;
        foreach (float value in reference) scale = Math.Max(scale, Math.Abs(value));
        double allowed = isExact ? 0 : tolerances.Allowed(IsGradient(name), scale);
        if (!results.TryGetValue(name, out (Shape Shape, float[] Values) actual)) return new ParityRow(name, double.NaN, double.NaN, allowed, "missing");
        if (!expected.Entry(name).Shape.SequenceEqual(actual.Shape.ToArray().Select(size => (long)size)))
            return new ParityRow(name, double.NaN, double.NaN, allowed, $"shape {actual.Shape}, expected [{string.Join(", ", expected.Entry(name).Shape)}]");
        double largest = 0;
        for (int i = 0; i < reference.Length; i++)
        {
            double difference = Math.Abs((double)reference[i] - actual.Values[i]);
            if (double.IsNaN(difference)) difference = double.PositiveInfinity;
            largest = Math.Max(largest, difference);
        }

        return new ParityRow(name, largest, scale > 0 ? largest / scale : largest, allowed, null);
    }

    /// <summary>The stored values; integers, which must agree to the last one, as floating-point numbers.</summary>
    private static float[] Reference(SafetensorsFile expected, string name, out bool isExact)
    {
        TensorEntry entry = expected.Entry(name);
        float[] values = new float[checked((int)entry.ElementCount)];
        isExact = entry.Dtype is not (SafetensorsDtype.F32 or SafetensorsDtype.F16 or SafetensorsDtype.BF16 or SafetensorsDtype.F64);
        if (!isExact)
        {
            expected.ReadFloat32(name, values);
            return values;
        }

        int[] integers = new int[values.Length];
        expected.ReadInt32(name, integers);
        for (int i = 0; i < values.Length; i++) values[i] = integers[i];
        return values;
    }

    /// <summary>What may differ: absolute + relative · max|reference|.</summary>
    private sealed record Tolerances(double OutputAbsolute, double OutputRelative, double GradientAbsolute, double GradientRelative)
    {
        public double Allowed(bool gradient, double scale) => gradient ? GradientAbsolute + (GradientRelative * scale) : OutputAbsolute + (OutputRelative * scale);

        public static Tolerances Read(string folder, double tolerance)
        {
            string file = Path.Combine(folder, "meta.json");
            if (!File.Exists(file)) return new Tolerances(1e-6, tolerance, 1e-6, tolerance);
            try
            {
                using JsonDocument meta = JsonDocument.Parse(File.ReadAllBytes(file), new JsonDocumentOptions { MaxDepth = 32 });
                JsonElement outputs = meta.RootElement.GetProperty("tolerance_outputs"), gradients = meta.RootElement.GetProperty("tolerance_grads");
                return new Tolerances(
                    outputs.GetProperty("atol").GetDouble(),
                    outputs.GetProperty("rtol").GetDouble(),
                    gradients.GetProperty("atol").GetDouble(),
                    gradients.GetProperty("rtol").GetDouble());
            }
            catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new ModelFormatException($"{file}: expected tolerance_outputs and tolerance_grads, each with numbers atol and rtol: {exception.Message}");
            }
        }
    }
}
