using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>What <see cref="GradientCheck"/> found: the element whose two derivatives differ most.</summary>
/// <param name="Error">|analytic - numeric| / (1 + largest numeric derivative of the operand), 0 when nothing was compared.</param>
/// <param name="Operand">Which operand, by position.</param>
/// <param name="Element">Which element of it, row-major.</param>
/// <param name="Analytic">What the backward pass gave.</param>
/// <param name="Numeric">What central differences gave.</param>
public sealed record GradientCheckResult(double Error, int Operand, int Element, double Analytic, double Numeric);

/// <summary>Compares the gradients of a function with central differences: the test of an operation or a model that you wrote.</summary>
public static class GradientCheck
{
    /// <summary>
    /// Compares ∂/∂x Σ f(x) · c, for fixed random weights c, with (Σ f(x + h) · c - Σ f(x - h) · c) / 2h, element by element. In float32 a correct
    /// gradient of a smooth function comes out with an error around 0.001.
    /// </summary>
    /// <param name="function">From the operands to a result, without random numbers, the same each time it is called.</param>
    /// <param name="operands">The operands; those with <see cref="Tensor.NeedsGradient"/> are checked, and left as they were.</param>
    /// <param name="step">h, relative to 1 + |x|.</param>
    /// <param name="samples">How many elements of each operand are nudged; all when there are no more.</param>
    /// <returns>The worst element.</returns>
    /// <exception cref="ArgumentException">No operand needs a gradient.</exception>
    public static GradientCheckResult Run(Func<Tensor[], Tensor> function, Tensor[] operands, float step = 5e-3f, int samples = 100)
    {
        if (!operands.Any(o => o.NeedsGradient)) throw new ArgumentException("GradientCheck: no operand has NeedsGradient set.", nameof(operands));
        Random random = new(0);
        float[] weights = [];
        foreach (Tensor operand in operands) operand.ClearGradient();
        using (Tape tape = Tape.Record())
        {
            Tensor y = function(operands);
            weights = new float[y.Shape.Length];
            for (int i = 0; i < weights.Length; i++) weights[i] = (2f * random.NextSingle()) - 1f;
            tape.Backward(y, Tensor.FromArray(weights, y.Shape, y.Device));
        }

        GradientCheckResult worst = new(0, 0, 0, 0, 0);
        for (int operand = 0; operand < operands.Length; operand++)
        {
            if (!operands[operand].NeedsGradient) continue;
            float[] analytic = operands[operand].Gradient?.ToArray() ?? new float[operands[operand].Shape.Length];
            int[] elements = [.. Enumerable.Range(0, analytic.Length)];
            random.Shuffle(elements);
            (int Element, double Numeric)[] numeric = [.. elements.Take(samples).Select(e => (e, Differentiate(function, operands, operand, e, step, weights)))];
            double scale = 1 + numeric.Select(n => Math.Abs(n.Numeric)).DefaultIfEmpty(0).Max();
            foreach ((int element, double derivative) in numeric)
            {
                double error = Math.Abs(derivative - analytic[element]) / scale;
                if (!(error <= worst.Error)) worst = new GradientCheckResult(error, operand, element, analytic[element], derivative);
            }
        }

        return worst;
    }

    private static double Differentiate(Func<Tensor[], Tensor> function, Tensor[] operands, int operand, int element, float step, float[] weights)
    {
        float[] values = operands[operand].ToArray();
        float kept = values[element], above = kept + (step * (1 + Math.Abs(kept))), below = kept - (step * (1 + Math.Abs(kept)));
        double difference = WeightedSum(above) - WeightedSum(below);
        values[element] = kept;
        operands[operand].CopyFrom(values);
        return difference / ((double)above - below);

        double WeightedSum(float value)
        {
            values[element] = value;
            operands[operand].CopyFrom(values);
            using TensorScope scope = new();
            using IDisposable pause = Tape.NoGradient();
            float[] y = function(operands).ToArray();
            double sum = 0;
            for (int i = 0; i < y.Length; i++) sum += (double)y[i] * weights[i];
            return sum;
        }
    }
}
