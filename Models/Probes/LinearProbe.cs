using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Probes;

/// <summary>How a <see cref="LinearProbe"/> is fitted.</summary>
public sealed record LinearProbeOptions
{
    /// <summary>Passes over the features.</summary>
    public int Epochs { get; init; } = 100;

    /// <summary>Rows of a step.</summary>
    public int BatchSize { get; init; } = 256;

    /// <summary>Learning rate of AdamW at the start; it falls to zero along a cosine.</summary>
    public double LearningRate { get; init; } = 0.01;

    /// <summary>Weight decays to choose from, by the validation part.</summary>
    public IReadOnlyList<double> WeightDecays { get; init; } = [0, 0.01, 0.1, 1];

    /// <summary>Share of the rows held out to choose by, in (0, 1).</summary>
    public double ValidationShare { get; init; } = 0.2;

    /// <summary>Seed of the split and of the order of rows.</summary>
    public int Seed { get; init; }
}

/// <summary>One weight decay that was tried.</summary>
/// <param name="WeightDecay">Its strength.</param>
/// <param name="TrainAccuracy">On the rows it was fitted to.</param>
/// <param name="ValidationAccuracy">On the rows held out.</param>
/// <param name="ValidationLoss">Cross-entropy on the rows held out.</param>
public sealed record LinearProbeCandidate(double WeightDecay, double TrainAccuracy, double ValidationAccuracy, double ValidationLoss);

/// <summary>
/// Logistic regression on frozen features, the usual measure of what an encoder has learnt (Alain and Bengio, arXiv:1610.01644; MoCo, MAE): features are standardised
/// by the mean and deviation of each column, and a linear layer that starts at zero is trained with cross-entropy. The weight decay is chosen on rows held
/// out of the training data, then all of them are fitted; test data has no part in either. Same features and seed, same bits.
/// </summary>
public sealed class LinearProbe : Module
{
    private readonly Linear _linear;
    private readonly Parameter _mean;
    private readonly Parameter _scale;

    private LinearProbe(int width, int classCount)
    {
        _mean = Add("mean", [width], Initializers.Zeros);
        _scale = Add("scale", [width], Initializers.Ones);
        _mean.IsTrainable = _scale.IsTrainable = false;
        _linear = Add("linear", new Linear(width, classCount, initializer: Initializers.Zeros));
    }

    /// <summary>The weight decays that were tried, in the order of the options.</summary>
    public IReadOnlyList<LinearProbeCandidate> Candidates { get; private set; } = [];

    /// <summary>The one that was chosen: the best accuracy on the rows held out, among equals the smallest loss.</summary>
    public LinearProbeCandidate? Chosen { get; private set; }

    /// <summary>Fits a probe.</summary>
    /// <param name="features">[n, width] of at least two rows; where they are is where the probe is.</param>
    /// <param name="labels">For each row its class, 0 .. classes - 1.</param>
    /// <param name="classCount">Number of classes.</param>
    /// <param name="options">How; the defaults when null.</param>
    /// <param name="cancellation">Checked between epochs.</param>
    /// <exception cref="ShapeException">There is not one label for each row.</exception>
    /// <exception cref="ArgumentException">A label is no class, a single row cannot be split, or an option is out of bounds.</exception>
    public static LinearProbe Fit(Tensor features, IReadOnlyList<int> labels, int classCount, LinearProbeOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new();
        ProbeData.Require(nameof(LinearProbe), features, labels, classCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Epochs, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        if (options.WeightDecays.Count == 0) throw new ArgumentException("LinearProbe: there must be a weight decay to choose.", nameof(options));
        if (!(options.ValidationShare is > 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(options), options.ValidationShare, "LinearProbe: the share of the rows to choose by must lie in (0, 1).");
        if (labels.Count < 2) throw new ArgumentException("LinearProbe: one row cannot be split into training and validation.", nameof(labels));

        int[] order = [.. Enumerable.Range(0, labels.Count)];
        new Random(options.Seed).Shuffle(order);
        int validationCount = Math.Clamp((int)Math.Round(options.ValidationShare * order.Length), 1, order.Length - 1);
        int[] validation = [.. order[..validationCount].Order()], training = [.. order[validationCount..].Order()];

        using TensorScope scope = new();
        using IDisposable pause = Tape.NoGradient();
        features = features.Detach();
        Rows fitted = Rows.Of(features, labels, training), held = Rows.Of(features, labels, validation);
        List<LinearProbeCandidate> candidates = [];
        foreach (double weightDecay in options.WeightDecays)
        {
            using LinearProbe probe = Train(fitted, classCount, weightDecay, options, cancellation);
            candidates.Add(new LinearProbeCandidate(
                weightDecay, probe.Accuracy(fitted.Features, fitted.Labels), probe.Accuracy(held.Features, held.Labels), probe.Forward(held.Features).CrossEntropy(held.Targets).Item()));
        }

        LinearProbeCandidate chosen = candidates.OrderByDescending(candidate => candidate.ValidationAccuracy).ThenBy(candidate => candidate.ValidationLoss).First();
        LinearProbe result = Train(Rows.Of(features, labels, [.. Enumerable.Range(0, labels.Count)]), classCount, chosen.WeightDecay, options, cancellation);
        result.Candidates = candidates;
        result.Chosen = chosen;
        return result;
    }

    /// <summary>features [n, width] to logits [n, classes].</summary>
    /// <exception cref="ShapeException">The features have another width than those it was fitted to.</exception>
    public Tensor Forward(Tensor features)
    {
        ProbeData.RequireWidth(nameof(LinearProbe), features, _mean.Shape[0]);
        return _linear.Forward((features - _mean.Value) * _scale.Value);
    }

    /// <summary>features [n, width] to the class with the largest logit, the lower one where equal.</summary>
    public int[] Predict(Tensor features)
    {
        using TensorScope scope = new();
        using IDisposable pause = Tape.NoGradient();
        return Forward(features).ArgMaxLastAxis().ToArray();
    }

    /// <summary>Share of the rows whose label is predicted.</summary>
    /// <param name="features">[n, width].</param>
    /// <param name="labels">The true classes.</param>
    public double Accuracy(Tensor features, IReadOnlyList<int> labels) => ProbeData.Accuracy(Predict(features), labels);

    private static LinearProbe Train(Rows rows, int classCount, double weightDecay, LinearProbeOptions options, CancellationToken cancellation)
    {
        int count = rows.Labels.Length, batch = Math.Min(options.BatchSize, count), stepsPerEpoch = (count + batch - 1) / batch;
        LinearProbe probe = new(rows.Features.Shape[1], classCount);
        probe.Initialize(rows.Features.Device);
        probe.Standardize(rows.Features);
        using Trainer trainer = new(
            probe,
            new AdamW(ParameterGroup.SplitByDecay(probe._linear.NamedParameters(), weightDecay), options.LearningRate),
            new TrainerOptions { Schedule = LearningRateSchedule.Cosine(options.LearningRate, 0, options.Epochs * stepsPerEpoch), ClipNorm = null });
        Random random = new(options.Seed);
        int[] order = [.. Enumerable.Range(0, count)];
        for (int epoch = 0; epoch < options.Epochs; epoch++)
        {
            cancellation.ThrowIfCancellationRequested();
            if (stepsPerEpoch > 1) random.Shuffle(order);
            for (int start = 0; start < count; start += batch)
            {
                int[] some = order[start..Math.Min(start + batch, count)];
                trainer.TrainStep(() => rows.Loss(probe, some));
            }
        }

        return probe;
    }

    /// <summary>Mean and 1 / deviation of each column; a column without variation is left out.</summary>
    private void Standardize(Tensor features)
    {
        using TensorScope scope = new();
        float[] mean = features.Mean(0).ToArray(), variance = features.Variance(0).ToArray(), scale = new float[mean.Length];
        for (int i = 0; i < scale.Length; i++)
        {
            double deviation = Math.Sqrt(variance[i]);
            scale[i] = deviation > 1e-6 * Math.Max(1e-6, Math.Abs(mean[i])) ? (float)(1 / deviation) : 0;
        }

        _mean.Assign(mean, features.Device);
        _scale.Assign(scale, features.Device);
    }

    /// <summary>Some rows of the data.</summary>
    private sealed record Rows(Tensor Features, int[] Labels, IndexTensor Targets)
    {
        public static Rows Of(Tensor features, IReadOnlyList<int> labels, int[] rows)
        {
            int[] some = [.. rows.Select(row => labels[row])];
            bool isAll = rows.Length == labels.Count;
            return new Rows(
                isAll ? features : features.GatherRows(IndexTensor.FromArray(rows, [rows.Length], features.Device)), some, IndexTensor.FromArray(some, [rows.Length], features.Device));
        }

        public Tensor Loss(LinearProbe probe, int[] rows)
        {
            if (rows.Length == Labels.Length) return probe.Forward(Features).CrossEntropy(Targets);
            IndexTensor ids = IndexTensor.FromArray(rows, [rows.Length], Features.Device), targets = IndexTensor.FromArray([.. rows.Select(row => Labels[row])], [rows.Length], Features.Device);
            return probe.Forward(Features.GatherRows(ids)).CrossEntropy(targets);
        }
    }
}
