using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>
/// One row of the table of operations: what goes in, the operation, and what it is in double precision. The runner takes forward values
/// from the reference and gradients from its central differences, on every CPU tier.
/// </summary>
/// <param name="Name">The public method, then a blank and what is special about the case: <c>LayerNorm no bias</c>.</param>
/// <param name="Inputs">Shapes of the operands; ragged on purpose (1, 17, 31, 33, 0 rows).</param>
/// <param name="Op">The operation on tensors of these shapes. Index operands are made inside, on the device of the first operand.</param>
/// <param name="Reference">The same in double precision, on row-major arrays.</param>
public sealed record OpCase(string Name, Shape[] Inputs, Func<Tensor[], Tensor> Op, Func<double[][], double[]> Reference)
{
    /// <summary>The public method this is a case of.</summary>
    public string Method => Name.Split(' ')[0];

    /// <summary>Values are drawn uniformly from here; one pair for all operands.</summary>
    public (float Low, float High) Range { get; init; } = (-2f, 2f);

    /// <summary>Explicit values of operands, by index, where drawn ones do not do.</summary>
    public IReadOnlyDictionary<int, float[]> Values { get; init; } = new Dictionary<int, float[]>();

    /// <summary>Largest error allowed, relative to the largest magnitude of the result plus one.</summary>
    public double Tolerance { get; init; } = 5e-6;

    /// <summary>The same for gradients.</summary>
    public double GradientTolerance { get; init; } = 2e-5;

    /// <summary>Whether the gradient is compared; false where it is none by definition or where the reference has kinks everywhere.</summary>
    public bool HasGradient { get; init; } = true;

    /// <summary>How many elements of each operand are nudged for central differences; all when there are no more.</summary>
    public int GradientSamples { get; init; } = 200;

    /// <summary>Step of the central differences.</summary>
    public double Step { get; init; } = 1e-5;

    /// <summary>The shown name.</summary>
    public override string ToString() => Name;
}
