using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Inputs of a case and what must come out, worked out once from the double-precision reference.</summary>
public sealed class OpExpectation
{
    private static readonly ConcurrentDictionary<string, Lazy<OpExpectation>> Known = new(StringComparer.Ordinal);

    private OpExpectation(OpCase opCase)
    {
        Random random = new(Seed(opCase.Name));
        Inputs = [.. opCase.Inputs.Select((shape, i) => opCase.Values.TryGetValue(i, out float[]? values) ? values : Draw(random, shape.Length, opCase.Range))];
        double[][] x = [.. Inputs.Select(input => input.Select(v => (double)v).ToArray())];
        Output = [.. opCase.Reference(x)];
        Cotangent = Draw(random, Output.Length, (-1f, 1f));
        Gradients = opCase.HasGradient ? [.. x.Select((_, i) => Differentiate(opCase, x, i, random))] : [.. x.Select(_ => Array.Empty<(int, double)>())];
    }

    /// <summary>Values of the operands.</summary>
    public float[][] Inputs { get; }

    /// <summary>The result.</summary>
    public double[] Output { get; }

    /// <summary>Gradients belong to Σ output · cotangent: with plain sums, operations such as softmax would have none.</summary>
    public float[] Cotangent { get; }

    /// <summary>For each operand some elements and the derivative with respect to each.</summary>
    public (int Element, double Derivative)[][] Gradients { get; }

    public static OpExpectation Of(OpCase opCase)
        => Known.GetOrAdd(opCase.Name, _ => new Lazy<OpExpectation>(() => new OpExpectation(opCase))).Value;

    public double GradientScale(int operand) => Gradients[operand].Select(g => Math.Abs(g.Derivative)).DefaultIfEmpty(0).Max();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private (int Element, double Derivative)[] Differentiate(OpCase opCase, double[][] x, int operand, Random random)
    {
        double[] values = x[operand];
        int[] elements = [.. Enumerable.Range(0, values.Length)];
        if (elements.Length > opCase.GradientSamples)
        {
            random.Shuffle(elements);
            elements = elements[..opCase.GradientSamples];
        }

        return [.. elements.Select(e => (e, Derivative(e)))];

        double Derivative(int element)
        {
            double kept = values[element];
            values[element] = kept + opCase.Step;
            double[] above = [.. opCase.Reference(x)];
            values[element] = kept - opCase.Step;
            double[] below = [.. opCase.Reference(x)];
            values[element] = kept;
            double sum = 0;
            for (int i = 0; i < above.Length; i++) sum += (above[i] - below[i]) * Cotangent[i];
            return sum / (2 * opCase.Step);
        }
    }

    private static float[] Draw(Random random, int count, (float Low, float High) range)
    {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = range.Low + ((range.High - range.Low) * random.NextSingle());
        return values;
    }

    private static int Seed(string name)
    {
        int seed = 17;
        foreach (char c in name) seed = unchecked((seed * 31) + c);
        return seed & int.MaxValue;
    }
}
