using System.Buffers;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Cross entropy with fused log-softmax, and the Kullback-Leibler divergence, which differs from it by a constant.</summary>
public static class CrossEntropyOps
{
    extension(Tensor logits)
    {
        /// <summary>
        /// loss_i = -Σ_c w_c t_ic log softmax(logits_i)_c with t_i = (1 - ε) onehot(label_i) + ε / classes; rows with the ignored label count
        /// for nothing. The mean divides by the sum of the class weights at the labels that count (their number without weights); when all
        /// rows are ignored it is NaN and the gradient 0, while the sum is 0.
        /// </summary>
        /// <param name="labels">The right class of each row: the logits' shape [..., classes] without its last axis.</param>
        /// <param name="ignoreIndex">The label of rows that do not count.</param>
        /// <param name="labelSmoothing">ε in [0, 1] (Szegedy et al., arXiv:1512.00567).</param>
        /// <param name="reduction">One value, or one per row.</param>
        /// <param name="classWeights">w, [classes]; null for ones. They are constants.</param>
        /// <returns>A scalar, or the shape of the labels without reduction.</returns>
        /// <exception cref="ShapeException">The operands do not fit together.</exception>
        /// <exception cref="ArgumentException">A label is no class.</exception>
        public Tensor CrossEntropy(
            IndexTensor labels, int ignoreIndex = -100, float labelSmoothing = 0f, Reduction reduction = Reduction.Mean, Tensor? classWeights = null)
        {
            int classes = CheckRows("CrossEntropy", logits, labels.Shape, nameof(labels), labelSmoothing, classWeights);
            SameDevice.Require("CrossEntropy", logits, labels);
            CheckLabels(labels, classes, ignoreIndex);
            CrossEntropyShape shape = new(labels.Shape.Length, classes, ignoreIndex, labelSmoothing, reduction, SubtractEntropy: false);
            return Tape.Add(new CrossEntropyFunction(shape, logits, labels, null, classWeights), logits);
        }

        /// <summary>
        /// loss_i = -Σ_c w_c t_ic log softmax(logits_i)_c with t_i = (1 - ε) target_i + ε / classes. The mean divides by the number of rows that count.
        /// </summary>
        /// <param name="softTargets">Probabilities, shaped as the logits; they are constants.</param>
        /// <param name="labelSmoothing">ε in [0, 1].</param>
        /// <param name="reduction">One value, or one per row.</param>
        /// <param name="classWeights">w, [classes]; null for ones. They are constants.</param>
        /// <param name="rowMask">1 for a row that counts, 0 for one that does not: the logits' shape without its last axis; null: all count.</param>
        /// <returns>A scalar, or the shape of the logits without its last axis when there is no reduction.</returns>
        /// <exception cref="ShapeException">The operands do not fit together.</exception>
        public Tensor CrossEntropy(
            Tensor softTargets, float labelSmoothing = 0f, Reduction reduction = Reduction.Mean, Tensor? classWeights = null, IndexTensor? rowMask = null)
            => SoftCrossEntropy("CrossEntropy", logits, softTargets, labelSmoothing, reduction, classWeights, rowMask, subtractEntropy: false);

        /// <summary>
        /// Kullback-Leibler divergence of the predicted from the target distribution: KL_i = Σ_c t_ic (log t_ic - log softmax(logits_i)_c);
        /// the mean is over rows, as PyTorch's "batchmean".
        /// </summary>
        /// <param name="targets">Probabilities, shaped as the logits [..., classes]; they are constants.</param>
        /// <param name="reduction">One value, or one per row.</param>
        /// <param name="rowMask">1 for a row that counts, 0 for one that does not; null: all count.</param>
        /// <returns>A scalar, or the shape of the logits without its last axis when there is no reduction.</returns>
        /// <exception cref="ShapeException">The operands do not fit together.</exception>
        public Tensor KlDivergence(Tensor targets, Reduction reduction = Reduction.Mean, IndexTensor? rowMask = null)
            => SoftCrossEntropy("KlDivergence", logits, targets, 0f, reduction, null, rowMask, subtractEntropy: true);
    }

    private static Tensor SoftCrossEntropy(
        string operation, Tensor logits, Tensor softTargets, float labelSmoothing, Reduction reduction, Tensor? classWeights, IndexTensor? rowMask, bool subtractEntropy)
    {
        Tensor.RequireSameShape(operation, logits, softTargets);
        Shape rows = logits.Shape.Rank == 0 ? [] : logits.Shape.Without(-1);
        int classes = CheckRows(operation, logits, rowMask?.Shape ?? rows, nameof(rowMask), labelSmoothing, classWeights);
        if (softTargets.NeedsGradient)
            throw new ArgumentException($"{operation}: the soft targets are constants, but they need a gradient; pass targets.Detach() or compute them under Tape.NoGradient().", nameof(softTargets));
        SameDevice.Require(operation, logits, softTargets);
        SameDevice.Require(operation, logits, rowMask);
        CrossEntropyShape shape = new(rows.Length, classes, IgnoreIndex: 0, labelSmoothing, reduction, subtractEntropy);
        return Tape.Add(new CrossEntropyFunction(shape, logits, rowMask, softTargets, classWeights), logits);
    }

    private static int CheckRows(string operation, Tensor logits, Shape rows, string rowsName, float labelSmoothing, Tensor? classWeights)
    {
        if (logits.Shape.Rank == 0 || logits.Shape.Without(-1) != rows)
            throw new ShapeException($"{operation}: {rowsName} must have the shape of the logits without the last axis (the classes), but logits is {logits.Shape} and {rowsName} is {rows}.");
        if (!(labelSmoothing is >= 0f and <= 1f)) throw new ArgumentOutOfRangeException(nameof(labelSmoothing), labelSmoothing, $"{operation}: the label smoothing must lie in [0, 1].");
        int classes = logits.Shape[-1];
        if (classWeights is not null && classWeights.Shape != [classes])
            throw new ShapeException($"{operation}: classWeights must be [classes] = [{classes}], but it is {classWeights.Shape}.");
        if (classWeights is { NeedsGradient: true })
            throw new ArgumentException($"{operation}: the class weights are constants, but they need a gradient; pass classWeights.Detach().", nameof(classWeights));
        SameDevice.Require(operation, logits, classWeights);
        return classes;
    }

    /// <summary>Labels that came from the host are known to be right without asking the device; others are downloaded, and so are wrong ones, to be named.</summary>
    private static void CheckLabels(IndexTensor labels, int classes, int ignoreIndex)
    {
        if (labels.KnownRange is { } range && range.Largest < classes && (range.Smallest >= 0 || (range.Smallest == ignoreIndex && range.LargestNegative == ignoreIndex))) return;
        int[] values = ArrayPool<int>.Shared.Rent(labels.Shape.Length);
        try
        {
            Span<int> span = values.AsSpan(0, labels.Shape.Length);
            labels.Device.Backend.Download(labels.Buffer, span);
            for (int i = 0; i < span.Length; i++)
            {
                if ((uint)span[i] < (uint)classes || span[i] == ignoreIndex) continue;
                throw new ArgumentException($"CrossEntropy: label {i} is {span[i]}; it must be a class in 0 .. {classes - 1} or the ignored index {ignoreIndex}.", nameof(labels));
            }
        }
        finally
        {
            ArrayPool<int>.Shared.Return(values);
        }
    }

    private sealed class CrossEntropyFunction : Function
    {
        private readonly CrossEntropyShape _shape;
        private readonly Tensor _logits, _statistics;
        private readonly IndexTensor? _labels;
        private readonly Tensor? _softTargets, _classWeights;

        public CrossEntropyFunction(CrossEntropyShape shape, Tensor logits, IndexTensor? labels, Tensor? softTargets, Tensor? classWeights)
        {
            (_shape, _logits, _labels, _softTargets, _classWeights) = (shape, logits, labels, softTargets, classWeights);
            Output = Allocate(shape.Reduction == Reduction.None ? logits.Shape.Without(-1) : [], logits.Device);
            _statistics = Save(Allocate([shape.Rows + 1], logits.Device));
            logits.Device.Backend.CrossEntropy(shape, Operands(), Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _logits.Device.Backend.CrossEntropyBackward(_shape, Operands(), outputGradient, _logits.GradientTarget());

        private CrossEntropyOperands Operands() => new(
            _logits.Buffer, _labels?.Buffer ?? default, _softTargets?.Buffer ?? default, _classWeights?.Buffer ?? default, _statistics.Buffer);
    }
}
