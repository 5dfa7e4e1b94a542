using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>Fills the values of a new parameter.</summary>
/// <param name="values">What to fill, row-major.</param>
/// <param name="shape">Shape of the parameter; a weight is [outputs, inputs, ...].</param>
/// <param name="random">Source of random numbers, of this parameter alone.</param>
public delegate void Initializer(Span<float> values, Shape shape, Random random);

/// <summary>The usual ways to fill a parameter.</summary>
public static class Initializers
{
    /// <summary>All zero: biases.</summary>
    public static Initializer Zeros { get; } = static (values, _, _) => values.Clear();

    /// <summary>All one: weights of norms.</summary>
    public static Initializer Ones { get; } = static (values, _, _) => values.Fill(1f);

    /// <summary>
    /// Uniform in ±√(6 / (inputs + outputs)), which keeps the variance of activations and of gradients (Glorot and Bengio, 2010).
    /// </summary>
    public static Initializer XavierUniform { get; } = static (values, shape, random) =>
    {
        float limit = MathF.Sqrt(6f / (InputCount(shape) + OutputCount(shape)));
        foreach (ref float value in values) value = limit * ((2f * random.NextSingle()) - 1f);
    };

    /// <summary>
    /// Normal with deviation √(2 / inputs), which keeps the variance of activations through ReLU (He et al., arXiv:1502.01852).
    /// </summary>
    public static Initializer KaimingNormal { get; } = static (values, shape, random) => FillNormal(values, MathF.Sqrt(2f / InputCount(shape)), random);

    /// <summary>All equal to <paramref name="constant"/>.</summary>
    public static Initializer Constant(float constant) => (values, _, _) => values.Fill(constant);

    /// <summary>Normal with mean 0.</summary>
    /// <param name="standardDeviation">Its standard deviation; 0.02 in BERT, GPT and their kin.</param>
    public static Initializer Normal(float standardDeviation) => (values, _, random) => FillNormal(values, standardDeviation, random);

    /// <summary>Normal with mean 0, drawn again while more than two standard deviations away, as ViT does.</summary>
    /// <param name="standardDeviation">The deviation before truncation.</param>
    public static Initializer TruncatedNormal(float standardDeviation) => (values, _, random) =>
    {
        foreach (ref float value in values)
        {
            double z;
            do z = NextNormal(random);
            while (Math.Abs(z) > 2);
            value = (float)(standardDeviation * z);
        }
    };

    private static int InputCount(Shape shape) => Math.Max(1, shape.Length / Math.Max(1, OutputCount(shape)));

    private static int OutputCount(Shape shape) => shape.Rank == 0 ? 1 : shape[0];

    private static void FillNormal(Span<float> values, float standardDeviation, Random random)
    {
        foreach (ref float value in values) value = (float)(standardDeviation * NextNormal(random));
    }

    /// <summary>Box and Muller's transform of two uniform numbers.</summary>
    private static double NextNormal(Random random)
        => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
