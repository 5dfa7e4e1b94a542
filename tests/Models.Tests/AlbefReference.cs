using System.Globalization;
using MiniVlp.Nn;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>
/// ALBEF for one sample at a time in double precision, formula by formula, from the parameters of a model. It knows nothing of the library but their names.
/// </summary>
internal sealed class AlbefReference
{
    private readonly AlbefConfig _config;
    private readonly string _text;
    private readonly int _fusionLayer;

    public AlbefReference(Module model, AlbefConfig config, string textPrefix = "text_encoder.bert.")
    {
        _config = config;
        _text = textPrefix;
        _fusionLayer = config.Text.FusionLayer!.Value;
        Values = model.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter.Value.ToArray().Select(value => (double)value).ToArray(), StringComparer.Ordinal);
    }

    /// <summary>The parameters; a test may change them.</summary>
    public Dictionary<string, double[]> Values { get; }

    /// <summary>Layer whose cross-attention map a test changes, and what is done to the map of a head.</summary>
    public (int Layer, Action<int, double[][]> Change)? MapHook { get; set; }

    public double[][] Image(ReadOnlySpan<float> pixels)
    {
        int size = _config.Vision.ImageSize, patch = _config.Vision.PatchSize, side = size / patch, width = _config.Vision.Width;
        double[] kernel = Values["visual_encoder.embeddings.patch_embeddings.projection.weight"], bias = Values["visual_encoder.embeddings.patch_embeddings.projection.bias"];
        double[] positions = Values["visual_encoder.embeddings.position_embeddings"];
        double[][] x = new double[1 + (side * side)][];
        x[0] = [.. Values["visual_encoder.embeddings.cls_token"]];
        for (int p = 0; p < side * side; p++)
        {
            x[p + 1] = new double[width];
            for (int o = 0; o < width; o++)
            {
                double sum = bias[o];
                for (int c = 0; c < 3; c++)
                    for (int i = 0; i < patch; i++)
                        for (int j = 0; j < patch; j++)
                            sum += kernel[(((((o * 3) + c) * patch) + i) * patch) + j] * pixels[(((c * size) + (p / side * patch) + i) * size) + (p % side * patch) + j];
                x[p + 1][o] = sum;
            }
        }

        for (int t = 0; t < x.Length; t++) for (int o = 0; o < width; o++) x[t][o] += positions[(t * width) + o];
        double epsilon = _config.Vision.NormEpsilon;
        for (int layer = 0; layer < _config.Vision.Layers; layer++)
        {
            string at = Name("visual_encoder.encoder.layer.", layer);
            double[][] normed = Norm(x, at + "layernorm_before", epsilon);
            x = Add(x, Attention(normed, normed, null, at + "attention.attention.", at + "attention.output.dense", _config.Vision.Heads, -1));
            x = Add(x, Linear(Gelu(Linear(Norm(x, at + "layernorm_after", epsilon), at + "intermediate.dense")), at + "output.dense"));
        }

        return Norm(x, "visual_encoder.layernorm", epsilon);
    }

    /// <summary>The text in front of the fusion layers.</summary>
    public double[][] Text(ReadOnlySpan<int> ids, bool[] mask)
    {
        int width = _config.Text.Width;
        double[] words = Values[_text + "embeddings.word_embeddings.weight"], positions = Values[_text + "embeddings.position_embeddings.weight"], types = Values[_text + "embeddings.token_type_embeddings.weight"];
        double[][] x = new double[ids.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            x[t] = new double[width];
            for (int o = 0; o < width; o++) x[t][o] = words[(ids[t] * width) + o] + positions[(t * width) + o] + types[o];
        }

        x = Norm(x, _text + "embeddings.LayerNorm", _config.Text.NormEpsilon);
        for (int layer = 0; layer < _fusionLayer; layer++) x = Layer(x, mask, null, layer);
        return x;
    }

    /// <summary>The fusion layers, which look at the images in turn.</summary>
    public double[][] Fuse(double[][] text, bool[] mask, params double[][][] images)
    {
        double[][] x = text;
        for (int layer = _fusionLayer; layer < _config.Text.Layers; layer++) x = Layer(x, mask, images[(layer - _fusionLayer) % images.Length], layer);
        return x;
    }

    public double[] Project(double[][] states, string name)
    {
        double[] y = Linear([states[0]], name)[0];
        double norm = Math.Sqrt(y.Sum(value => value * value));
        return [.. y.Select(value => value / norm)];
    }

    public double[] Classify(double[][] fused)
        => Linear([.. Linear([fused[0]], "cls_head.0").Select(row => row.Select(value => Math.Max(0, value)).ToArray())], "cls_head.2")[0];

    public double[] Match(double[][] fused) => Linear([fused[0]], "itm_head")[0];

    public double[] Predict(double[] fused)
    {
        double[][] x = Norm(Gelu(Linear([fused], "text_encoder.cls.predictions.transform.dense")), "text_encoder.cls.predictions.transform.LayerNorm", _config.Text.NormEpsilon);
        double[] words = Values[_text + "embeddings.word_embeddings.weight"], bias = Values["text_encoder.cls.predictions.bias"];
        int width = _config.Text.Width;
        return [.. bias.Select((value, word) => value + Enumerable.Range(0, width).Sum(o => x[0][o] * words[(word * width) + o]))];
    }

    /// <summary>Compares one element of each parameter's gradient with central differences of a loss that is made of <see cref="Values"/>.</summary>
    public void AssertGradients(Module model, Func<double> loss)
    {
        Random random = new(2);
        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            double[] values = Values[name];
            int at = random.Next(values.Length);
            const double Step = 1e-5;
            double kept = values[at];
            values[at] = kept + Step;
            double above = loss();
            values[at] = kept - Step;
            double below = loss();
            values[at] = kept;
            double expected = (above - below) / (2 * Step);
            float[] gradient = parameter.Gradient?.ToArray() ?? new float[values.Length];
            double scale = Math.Max(1e-2, gradient.Max(Math.Abs));
            Assert.True(Math.Abs(expected - gradient[at]) <= 2e-4 * scale, $"{name}[{at}]: expected {expected}, found {gradient[at]}, largest {scale}");
        }
    }

    public static double[] LogSoftmax(double[] logits)
    {
        double largest = logits.Max(), log = largest + Math.Log(logits.Sum(value => Math.Exp(value - largest)));
        return [.. logits.Select(value => value - log)];
    }

    public static double Dot(double[] left, double[] right) => left.Zip(right, (a, b) => a * b).Sum();

    private static string Name(string prefix, int layer) => string.Create(CultureInfo.InvariantCulture, $"{prefix}{layer}.");

    private static double[][] Add(double[][] left, double[][] right) => [.. left.Zip(right, (a, b) => a.Zip(b, (p, q) => p + q).ToArray())];

    private static double[][] Gelu(double[][] x) => [.. x.Select(row => row.Select(value => 0.5 * value * (1 + Erf(value / Math.Sqrt(2)))).ToArray())];

    /// <summary>The power series, which is exact enough for the small numbers here.</summary>
    private static double Erf(double x)
    {
        if (Math.Abs(x) > 5) return Math.Sign(x);
        double term = x, sum = x;
        for (int n = 1; n < 200; n++)
        {
            term *= -x * x / n;
            sum += term / ((2 * n) + 1);
        }

        return 2 / Math.Sqrt(Math.PI) * sum;
    }

    private double[][] Layer(double[][] x, bool[] mask, double[][]? image, int layer)
    {
        string at = Name(_text + "encoder.layer.", layer);
        double epsilon = _config.Text.NormEpsilon;
        int heads = _config.Text.Heads;
        x = Norm(Add(x, Attention(x, x, mask, at + "attention.self.", at + "attention.output.dense", heads, -1)), at + "attention.output.LayerNorm", epsilon);
        if (image is not null)
            x = Norm(Add(x, Attention(x, image, null, at + "crossattention.self.", at + "crossattention.output.dense", heads, layer)), at + "crossattention.output.LayerNorm", epsilon);
        return Norm(Add(x, Linear(Gelu(Linear(x, at + "intermediate.dense")), at + "output.dense")), at + "output.LayerNorm", epsilon);
    }

    private double[][] Attention(double[][] queries, double[][] context, bool[]? mask, string at, string output, int heads, int crossLayer)
    {
        double[][] q = Linear(queries, at + "query"), k = Linear(context, at + "key"), v = Linear(context, at + "value");
        int width = q[0].Length, size = width / heads;
        double[][] attended = [.. q.Select(_ => new double[width])];
        for (int head = 0; head < heads; head++)
        {
            double[][] map = new double[q.Length][];
            for (int i = 0; i < q.Length; i++)
            {
                double[] scores = [.. k.Select((key, j) => mask is null || mask[j]
                    ? Enumerable.Range(head * size, size).Sum(o => q[i][o] * key[o]) / Math.Sqrt(size)
                    : double.NegativeInfinity)];
                map[i] = [.. LogSoftmax(scores).Select(Math.Exp)];
            }

            if (MapHook is { } hook && hook.Layer == crossLayer) hook.Change(head, map);
            for (int i = 0; i < q.Length; i++)
                for (int j = 0; j < k.Length; j++)
                    for (int o = head * size; o < (head + 1) * size; o++) attended[i][o] += map[i][j] * v[j][o];
        }

        return Linear(attended, output);
    }

    private double[][] Linear(double[][] x, string name)
    {
        double[] weight = Values[name + ".weight"], bias = Values[name + ".bias"];
        int inputs = x[0].Length;
        return [.. x.Select(row => bias.Select((value, o) => value + Enumerable.Range(0, inputs).Sum(i => row[i] * weight[(o * inputs) + i])).ToArray())];
    }

    private double[][] Norm(double[][] x, string name, double epsilon)
    {
        double[] weight = Values[name + ".weight"], bias = Values[name + ".bias"];
        return [.. x.Select(row =>
        {
            double mean = row.Average(), variance = row.Average(value => (value - mean) * (value - mean));
            return row.Select((value, i) => ((value - mean) / Math.Sqrt(variance + epsilon) * weight[i]) + bias[i]).ToArray();
        })];
    }
}
