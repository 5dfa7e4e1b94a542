using System.Globalization;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>
/// Looks at the result of every operation of its thread, and at every gradient, until it is disposed, and throws at the first one that is not
/// finite: with the operation, the parameter next to it and what the numbers are like. Every result is copied to the host, so it is for the one
/// step that went wrong, not for a whole training. Negative infinity is let pass, since masks are written so, until it becomes something else;
/// the operation that made it is named then.
/// </summary>
public sealed class AnomalyDetection : IDisposable
{
    [ThreadStatic]
    private static AnomalyDetection? _current;

    private readonly AnomalyDetection? _outer;
    private readonly Dictionary<Tensor, string> _names;
    private readonly Dictionary<Tensor, Origin> _origins = [];

    private AnomalyDetection(Dictionary<Tensor, string> names)
    {
        _names = names;
        _outer = _current;
        _current = this;
    }

    internal static AnomalyDetection? Current => _current;

    /// <summary>Starts to look.</summary>
    /// <param name="named">Parameters and other tensors that outlive the step, under the names by which places are told.</param>
    public static AnomalyDetection Watch(IEnumerable<(string Name, Tensor Value)> named)
    {
        Dictionary<Tensor, string> names = [];
        foreach ((string name, Tensor value) in named) names.TryAdd(value, name);
        return new AnomalyDetection(names);
    }

    /// <summary>Looks no more.</summary>
    public void Dispose()
    {
        if (ReferenceEquals(_current, this)) _current = _outer;
    }

    /// <summary>Looks at the result of an operation.</summary>
    /// <exception cref="AnomalyException">It is not finite.</exception>
    internal void Computed(Function function, ReadOnlySpan<Tensor?> operands)
    {
        Tensor[] read = [.. operands.ToArray().OfType<Tensor>()];
        TensorStatistics statistics = TensorStatistics.Of(function.Output);
        Origin origin = new(NameOf(function.GetType()), PlaceOf(read), read, statistics);
        _origins[function.Output] = origin;
        if (statistics.NotANumber > 0 || statistics.PositiveInfinite > 0) throw Anomaly(origin);
    }

    /// <summary>Looks at the gradients that an operation has just passed on.</summary>
    /// <exception cref="AnomalyException">One is not finite.</exception>
    internal void Differentiated(Function function)
    {
        if (!_origins.TryGetValue(function.Output, out Origin? origin)) return;
        for (int i = 0; i < origin.Operands.Length; i++)
        {
            if (origin.Operands[i].Gradient is not { } gradient) continue;
            TensorStatistics statistics = TensorStatistics.Of(gradient);
            if (statistics.IsFinite) continue;
            string operand = _names.TryGetValue(origin.Operands[i], out string? name) ? $"the parameter '{name}'" : $"operand {i + 1}";
            throw new AnomalyException(
                origin.Operation, origin.Place, isBackward: true,
                $"The backward pass of {origin.Operation}{Where(origin)} gave {operand} a gradient that is not finite: {statistics}. {Operands(origin)}");
        }
    }

    /// <summary>The operation that began it: as long as an operand was not finite already, the one that made the operand.</summary>
    private AnomalyException Anomaly(Origin origin)
    {
        while (origin.Operands.Select(operand => _origins.GetValueOrDefault(operand)).FirstOrDefault(made => made is { Statistics.IsFinite: false }) is { } earlier) origin = earlier;
        return new AnomalyException(
            origin.Operation, origin.Place, isBackward: false,
            $"{origin.Operation}{Where(origin)} gave a result that is not finite: {origin.Statistics}. {Operands(origin)}");
    }

    private string Operands(Origin origin)
    {
        IEnumerable<string> described = origin.Operands.Select((operand, i) =>
        {
            string what = _names.TryGetValue(operand, out string? name) ? $"the parameter '{name}'" : _origins.TryGetValue(operand, out Origin? made) ? $"from {made.Operation}" : "an input";
            string numbers = operand.IsReleased ? _origins.GetValueOrDefault(operand)?.Statistics.ToString() ?? "no longer there" : TensorStatistics.Of(operand).ToString();
            return $"{i + 1} ({what}) {numbers}";
        });
        return origin.Operands.Length == 0 ? "It has no operands." : $"Operands: {string.Join("; ", described)}.";
    }

    private static string Where(Origin origin) => origin.Place is null ? string.Empty : origin.ReadsPlace ? $" at '{origin.Place}'" : $" after '{origin.Place}'";

    /// <summary>The parameter that an operation reads, else the last one before it.</summary>
    private (string? Name, bool Reads) PlaceOf(Tensor[] operands)
    {
        foreach (Tensor operand in operands)
            if (_names.TryGetValue(operand, out string? name)) return (name, true);
        foreach (Tensor operand in operands)
            if (_origins.TryGetValue(operand, out Origin? made) && made.Place is { } place) return (place, false);
        return (null, false);
    }

    /// <summary>MatMulFunction is MatMul, UnaryFunction of Log is Log.</summary>
    private static string NameOf(Type type)
    {
        if (type.IsGenericType && type.Name.StartsWith("UnaryFunction", StringComparison.Ordinal)) return NameOf(type.GetGenericArguments()[^1]);
        string name = type.Name.Split('`')[0];
        if (name.EndsWith("Function", StringComparison.Ordinal)) name = name[..^"Function".Length];
        Type[] arguments = type.IsGenericType ? type.GetGenericArguments() : [];
        return arguments.Length == 0 ? name : $"{name}<{string.Join(", ", arguments.Select(NameOf))}>";
    }

    private sealed record Origin(string Operation, (string? Name, bool Reads) At, Tensor[] Operands, TensorStatistics Statistics)
    {
        public string? Place => At.Name;

        public bool ReadsPlace => At.Reads;
    }
}

/// <summary>An operation has made numbers that are not finite.</summary>
/// <param name="operation">Its name, such as <c>MatMul</c>.</param>
/// <param name="place">Full name of the parameter that it reads, or of the last one before it; null when there is none.</param>
/// <param name="isBackward">Whether its gradient is meant.</param>
/// <param name="message">All of it, for people.</param>
public sealed class AnomalyException(string operation, string? place, bool isBackward, string message) : NotFiniteNumberException(message)
{
    /// <summary>Name of the operation, such as <c>MatMul</c>.</summary>
    public string Operation => operation;

    /// <summary>Full name of the parameter that the operation reads, or of the last one before it, which tells the module; null when there is none.</summary>
    public string? Place => place;

    /// <summary>Whether its gradient is meant.</summary>
    public bool IsBackward => isBackward;
}

/// <summary>What the numbers of a tensor are like.</summary>
internal sealed record TensorStatistics(Shape Shape, int NotANumber, int PositiveInfinite, int NegativeInfinite, float Smallest, float Largest)
{
    public bool IsFinite => NotANumber + PositiveInfinite + NegativeInfinite == 0;

    public static TensorStatistics Of(Tensor tensor)
    {
        int notANumber = 0, positive = 0, negative = 0;
        float smallest = float.PositiveInfinity, largest = float.NegativeInfinity;
        foreach (float value in tensor.ToArray())
        {
            if (float.IsNaN(value)) notANumber++;
            else if (float.IsPositiveInfinity(value)) positive++;
            else if (float.IsNegativeInfinity(value)) negative++;
            else (smallest, largest) = (Math.Min(smallest, value), Math.Max(largest, value));
        }

        return new TensorStatistics(tensor.Shape, notANumber, positive, negative, smallest, largest);
    }

    public override string ToString()
    {
        int length = Shape.Length, finite = length - NotANumber - PositiveInfinite - NegativeInfinite;
        List<string> parts = [];
        if (NotANumber > 0) parts.Add($"{NotANumber} NaN");
        if (PositiveInfinite > 0) parts.Add($"{PositiveInfinite} infinite");
        if (NegativeInfinite > 0) parts.Add($"{NegativeInfinite} negative infinite");
        if (finite > 0) parts.Add(string.Create(CultureInfo.InvariantCulture, $"{(parts.Count == 0 ? "all" : "the rest")} in [{Smallest:G4}, {Largest:G4}]"));
        return $"{Shape} with {(length == 0 ? "no elements" : string.Join(", ", parts))}";
    }
}
