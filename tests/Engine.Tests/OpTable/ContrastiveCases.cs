using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class ContrastiveCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        new Setting("plain", 7, 5).Case(),
        new Setting("one row", 1, 3).Case(),
        new Setting("several tiles", 131, 33).Case() with { GradientSamples = 8 },
        new Setting("one direction", 9, 17) { OneDirection = true }.Case(),
        new Setting("smoothed", 9, 4) { LabelSmoothing = 0.1f }.Case(),
        new Setting("queues", 7, 5) { TextQueue = 9, ImageQueue = 9 }.Case(),
        new Setting("queues of different length, smoothed", 7, 5) { TextQueue = 70, ImageQueue = 3, LabelSmoothing = 0.2f }.Case(),
        new Setting("negatives from the queue alone", 6, 5) { OneDirection = true, TextQueue = 70, QueueOnly = true }.Case(),
        new Setting("negatives from the queue alone, scale below 0", 6, 5) { OneDirection = true, TextQueue = 70, QueueOnly = true, Scale = -1.75f }.Case(),
        new Setting("negatives from the queue alone, scale 0", 6, 5) { OneDirection = true, TextQueue = 70, QueueOnly = true, Scale = 0f }.Case(),
        new Setting("momentum features, mixed targets, scale below 0", 7, 5) { Momentum = true, Alpha = 0.4f, TextQueue = 9, ImageQueue = 9, Scale = -1.75f }.Case(),
        new Setting("ids", 9, 4) { Ids = [4, 1, 4, 2, 1, 4, 9, 8, 2] }.Case(),
        new Setting("ids, smoothed, one direction", 9, 4) { Ids = [4, 1, 4, 2, 1, 4, 9, 8, 2], LabelSmoothing = 0.1f, OneDirection = true }.Case(),
        new Setting("ids in the queues", 5, 4) { Ids = [4, 1, 4, 2, 1], TextQueue = 3, ImageQueue = 3, QueueIds = [1, 7, 4] }.Case(),
        new Setting("momentum features", 7, 5) { Momentum = true, TextQueue = 9, ImageQueue = 9 }.Case(),
        new Setting("momentum features, mixed targets", 7, 5) { Momentum = true, Alpha = 0.4f, TextQueue = 9, ImageQueue = 9 }.Case(),
        new Setting("momentum features, mixed targets, ids, smoothed", 5, 4)
        {
            Momentum = true, Alpha = 0.4f, LabelSmoothing = 0.1f, Ids = [4, 1, 4, 2, 1],
        }.Case(),
        new("SoftmaxContrastive of a tensor with itself", [[5, 4], [1]], t => t[0].SoftmaxContrastive(t[0], t[1]), x => new Setting(string.Empty, 5, 4).Reference([x[0], x[0], x[1]])),
        Sigmoid("plain", 7, 5),
        Sigmoid("one row", 1, 3),
        Sigmoid("several tiles", 131, 33) with { GradientSamples = 8 },
        new(
            "SigmoidContrastive of a tensor with itself", [[5, 4], [1], [1]], t => t[0].SigmoidContrastive(t[0], t[1], t[2]),
            x => SigmoidReference([x[0], x[0], x[1], x[2]], 5, 4)),
    ];

    private static OpCase Sigmoid(string name, int rows, int width) => new(
        $"SigmoidContrastive {name}", [[rows, width], [rows, width], [1], []], t => t[0].SigmoidContrastive(t[1], t[2], t[3]), x => SigmoidReference(x, rows, width))
    {
        Range = (-1f, 1f),
    };

    private static double[] SigmoidReference(double[][] x, int rows, int width)
    {
        double loss = 0;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < rows; j++)
                loss += DoubleMath.Softplus((i == j ? -1 : 1) * ((x[2][0] * Dot(x[0], i, x[1], j, width)) + x[3][0]));
        return [loss / rows];
    }

    private static double Dot(double[] left, int i, double[] right, int j, int width)
        => Enumerable.Range(0, width).Sum(c => left[(i * width) + c] * right[(j * width) + c]);

    /// <summary>A case of the softmax loss: its sizes and options, and the loss as the formula says, with whole matrices.</summary>
    private sealed record Setting(string Name, int Rows, int Width)
    {
        /// <summary>The scale; the reference keeps it fixed in the targets, which are constants, when the scale is nudged.</summary>
        public float Scale { get; init; } = 1.75f;

        public bool OneDirection { get; init; }

        public bool QueueOnly { get; init; }

        public bool Momentum { get; init; }

        public float Alpha { get; init; }

        public float LabelSmoothing { get; init; }

        public int TextQueue { get; init; }

        public int ImageQueue { get; init; }

        public int[]? Ids { get; init; }

        public int[]? QueueIds { get; init; }

        public OpCase Case() => new($"SoftmaxContrastive {Name}", [[Rows, Width], [Rows, Width], [1]], Compute, Reference)
        {
            Range = (-1f, 1f),
            Values = new Dictionary<int, float[]> { [2] = [Scale] },
        };

        private Tensor Compute(Tensor[] t) => t[0].SoftmaxContrastive(t[1], t[2], new ContrastiveOptions
        {
            Direction = OneDirection ? ContrastiveDirection.ImageToText : ContrastiveDirection.Both,
            InBatchNegatives = !QueueOnly,
            TextQueue = Constant(t[0], TextQueue, 1),
            ImageQueue = Constant(t[0], ImageQueue, 2),
            TextMomentum = Momentum ? Constant(t[0], Rows, 3) : null,
            ImageMomentum = Momentum ? Constant(t[0], Rows, 4) : null,
            Alpha = Alpha,
            LabelSmoothing = LabelSmoothing,
            Ids = Ids is null ? null : IndexTensor.FromArray(Ids, [Rows], t[0].Device),
            QueueIds = QueueIds is null ? null : IndexTensor.FromArray(QueueIds, [QueueIds.Length], t[0].Device),
        });

        public double[] Reference(double[][] x)
        {
            double[] imageMomentum = Values(Rows, 4), textMomentum = Values(Rows, 3);
            double images = Direction(x[0], Momentum ? textMomentum : x[1], Values(TextQueue, 1), imageMomentum, x[2][0]);
            if (OneDirection) return [images];
            return [(images + Direction(x[1], Momentum ? imageMomentum : x[0], Values(ImageQueue, 2), textMomentum, x[2][0])) / 2];
        }

        private double Direction(double[] rows, double[] columns, double[] queue, double[] teacher, double scale)
        {
            double[] all = [.. columns, .. queue];
            int count = all.Length / Width;
            double loss = 0;
            for (int i = 0; i < Rows; i++)
            {
                double[] scores = [.. Enumerable.Range(0, count).Select(j => scale * Dot(rows, i, all, j, Width))];
                double[] target = [.. Enumerable.Range(0, count).Select(j => IsPositive(i, j) ? 1.0 : 0)];
                double[] soft = Softmax([.. Enumerable.Range(0, count).Select(j => Scale * Dot(teacher, i, all, j, Width))], i);
                double[] probabilities = Softmax(scores, i);
                double positives = target.Sum();
                for (int j = 0; j < count; j++)
                {
                    double hard = ((1 - LabelSmoothing) * target[j] / positives) + (LabelSmoothing / count);
                    double wanted = ((1 - Alpha) * hard) + (Alpha * soft[j]);
                    if (wanted != 0) loss -= wanted * Math.Log(probabilities[j]);
                }
            }

            return loss / Rows;
        }

        private bool IsPositive(int i, int j)
        {
            if (Ids is null) return i == j;
            return j < Rows ? Ids[i] == Ids[j] : QueueIds is not null && QueueIds[j - Rows] == Ids[i];
        }

        private double[] Softmax(double[] scores, int row)
        {
            double[] weights = [.. scores.Select((s, j) => QueueOnly && j < Rows && j != row ? 0 : Math.Exp(s - scores.Max()))];
            return [.. weights.Select(w => w / weights.Sum())];
        }

        private Tensor? Constant(Tensor like, int rows, int seed)
            => rows == 0 ? null : Tensor.FromArray([.. Values(rows, seed).Select(v => (float)v)], [rows, Width], like.Device);

        private double[] Values(int rows, int seed)
        {
            Random random = new(seed);
            return [.. Enumerable.Range(0, rows * Width).Select(_ => (double)((random.NextSingle() * 2) - 1))];
        }
    }
}
