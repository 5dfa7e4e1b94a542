namespace MiniVlp.Autograd;

/// <summary>Weights of an interpolation along one axis, output by output.</summary>
/// <param name="From">Length of the input axis.</param>
/// <param name="Rows">For each output the first input and the weights from there on.</param>
internal sealed record ResampleTable(int From, (int First, float[] Weights)[] Rows)
{
    /// <summary>The largest number of weights of an output.</summary>
    public int Taps => Math.Min(From, Math.Max(1, Rows.Select(r => r.Weights.Length).DefaultIfEmpty(0).Max()));

    /// <summary>Nearest neighbour: output j takes input ⌊j · from / to⌋.</summary>
    public static ResampleTable Nearest(int from, int to)
        => new(from, [.. Enumerable.Range(0, to).Select(j => (Math.Min(from - 1, (int)(j * ((float)from / to))), new[] { 1f }))]);

    /// <summary>
    /// Samples a kernel around (j + ½) · from / to - ½ (or j · (from - 1) / (to - 1) with aligned corners); inputs beyond the border repeat it.
    /// </summary>
    /// <param name="from">Length of the input axis.</param>
    /// <param name="to">Length of the output axis.</param>
    /// <param name="radius">The kernel is zero at this distance: 1 linear, 2 cubic.</param>
    /// <param name="kernel">Weight by distance.</param>
    /// <param name="alignCorners">Whether first and last elements fall on each other instead of the outer edges.</param>
    public static ResampleTable Interpolate(int from, int to, int radius, Func<double, double> kernel, bool alignCorners)
    {
        double scale = alignCorners ? to > 1 ? (from - 1.0) / (to - 1) : 0 : (double)from / to;
        return new(from, [.. Enumerable.Range(0, to).Select(Row)]);

        (int First, float[] Weights) Row(int j)
        {
            double center = alignCorners ? j * scale : ((j + 0.5) * scale) - 0.5;
            int lowest = (int)Math.Floor(center) - radius + 1;
            int first = Math.Clamp(lowest, 0, from - 1), last = Math.Clamp(lowest + (2 * radius) - 1, 0, from - 1);
            double[] weights = new double[last - first + 1];
            for (int i = 0; i < 2 * radius; i++) weights[Math.Clamp(lowest + i, 0, from - 1) - first] += kernel(Math.Abs(center - lowest - i));
            return (first, [.. weights.Select(w => (float)w)]);
        }
    }

    /// <summary>
    /// Averages with a kernel that is stretched by from / to when the axis shrinks, so that every input counts; weights are divided by their sum,
    /// inputs beyond the border do not count.
    /// </summary>
    /// <inheritdoc cref="Interpolate"/>
    public static ResampleTable Antialias(int from, int to, int radius, Func<double, double> kernel)
    {
        double scale = (double)from / to, stretch = Math.Max(1, scale);
        return new(from, [.. Enumerable.Range(0, to).Select(Row)]);

        (int First, float[] Weights) Row(int j)
        {
            double center = (j + 0.5) * scale, support = radius * stretch;
            int first = Math.Max(0, (int)(center - support + 0.5)), end = Math.Min(from, (int)(center + support + 0.5));
            double[] weights = [.. Enumerable.Range(first, end - first).Select(i => kernel(Math.Abs(i + 0.5 - center) / stretch))];
            double sum = weights.Sum();
            return (first, [.. weights.Select(w => (float)(w / sum))]);
        }
    }

    /// <summary>Keys' cubic convolution kernel (1981).</summary>
    /// <param name="a">Its free parameter: -0.75 in PyTorch without antialiasing, -0.5 with it and in Pillow.</param>
    public static Func<double, double> Cubic(double a) => x =>
        x < 1 ? ((((a + 2) * x) - (a + 3)) * x * x) + 1
        : x < 2 ? a * ((((x - 5) * x) + 8) * x - 4)
        : 0;

    /// <summary>The triangle 1 - x.</summary>
    public static double Linear(double x) => Math.Max(0, 1 - x);

    /// <summary>The map backwards: for each input the outputs it enters.</summary>
    public ResampleTable Transpose()
    {
        (int First, float[] Weights)[] rows = new (int, float[])[From];
        for (int i = 0; i < From; i++)
        {
            int[] users = [.. Enumerable.Range(0, Rows.Length).Where(j => i >= Rows[j].First && i < Rows[j].First + Rows[j].Weights.Length)];
            int first = users.Length == 0 ? 0 : users[0], count = users.Length == 0 ? 0 : users[^1] - first + 1;
            float[] weights = new float[count];
            foreach (int j in users) weights[j - first] = Rows[j].Weights[i - Rows[j].First];
            rows[i] = (first, weights);
        }

        return new ResampleTable(Rows.Length, rows);
    }

    /// <summary>The flat form that kernels read: [outputs, 1 + taps], rows moved to the left where they would reach beyond the input.</summary>
    public float[] Flatten()
    {
        int taps = Taps, width = taps + 1;
        float[] table = new float[Rows.Length * width];
        for (int j = 0; j < Rows.Length; j++)
        {
            int first = Math.Min(Rows[j].First, From - taps);
            table[j * width] = first;
            Rows[j].Weights.CopyTo(table, (j * width) + 1 + Rows[j].First - first);
        }

        return table;
    }
}
