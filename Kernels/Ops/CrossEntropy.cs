using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>How the losses of many rows or elements become one value.</summary>
public enum Reduction
{
    /// <summary>Their (weighted) mean.</summary>
    Mean,

    /// <summary>Their sum.</summary>
    Sum,

    /// <summary>Each is kept.</summary>
    None,
}

/// <summary>Sizes and rules of one cross entropy.</summary>
/// <param name="Rows">Number of distributions.</param>
/// <param name="Classes">Logits per row.</param>
/// <param name="IgnoreIndex">Rows with this label count for nothing.</param>
/// <param name="LabelSmoothing">ε: the share of the target that is spread over all classes.</param>
/// <param name="Reduction">One value, or one per row.</param>
/// <param name="SubtractEntropy">With soft targets: subtract their entropy, which makes the loss a Kullback-Leibler divergence.</param>
public readonly record struct CrossEntropyShape(
    int Rows, int Classes, int IgnoreIndex, float LabelSmoothing, Reduction Reduction, bool SubtractEntropy);

/// <summary>Operands of one cross entropy; either the labels or the soft targets say what is right.</summary>
/// <param name="Logits">[rows, classes].</param>
/// <param name="Labels">int [rows]: the right class, or with soft targets anything but the ignored index for a row that counts; may be absent with soft targets.</param>
/// <param name="SoftTargets">[rows, classes] probabilities; absent when the labels decide.</param>
/// <param name="ClassWeights">[classes]; absent for ones.</param>
/// <param name="Statistics">[rows + 1]: log Σ_c exp(logit_c) of every row, then the inverse of what the mean divides by.</param>
public readonly record struct CrossEntropyOperands(
    DeviceBuffer Logits, DeviceBuffer Labels, DeviceBuffer SoftTargets, DeviceBuffer ClassWeights, DeviceBuffer Statistics);

public partial interface IBackend
{
    /// <summary>
    /// loss_i = -Σ_c w_c t_ic log p_ic with p_i = softmax(logits_i) and t_i = (1 - ε) target_i + ε / classes, where target_i is 1 at the label
    /// or the soft target; ignored rows are 0. The mean divides by the sum of w at the labels that count, or by the number of rows with
    /// soft targets; when that is 0 the mean is NaN, as 0/0 is. Probabilities are never stored. Writes loss and statistics.
    /// </summary>
    /// <param name="shape">Sizes and rules.</param>
    /// <param name="operands">What is read, and the statistics.</param>
    /// <param name="loss">[rows] without reduction, else one element.</param>
    void CrossEntropy(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer loss);

    /// <summary>
    /// dlogits_ic = g_i (p_ic Σ_k w_k t_ik - w_c t_ic), where g_i is dloss_i, or dloss times what the reduction says; 0 in ignored rows.
    /// Targets and weights are constants.
    /// </summary>
    void CrossEntropyBackward(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer dloss, GradientTarget dlogits);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void CrossEntropy(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer loss)
    {
        DeviceBuffer rowLosses = shape.Reduction == Reduction.None ? loss : Rent(shape.Rows);
        DeviceBuffer rowWeights = Rent(shape.Rows);
        CrossEntropyTargets targets = CrossEntropyTargets.From(shape, operands);
        Run(new CrossEntropyKernel(targets, Floats(operands.Statistics), Floats(rowLosses), Floats(rowWeights)), ChunkCount(shape.Rows, targets.RowsPerChunk));

        double loss0 = 0, weight = 0;
        float* losses = Floats(rowLosses), weights = Floats(rowWeights);
        for (int i = 0; i < shape.Rows; i++)
        {
            loss0 += losses[i];
            weight += weights[i];
        }

        Floats(operands.Statistics)[shape.Rows] = (float)(1 / weight);
        if (shape.Reduction != Reduction.None)
        {
            *Floats(loss) = (float)(shape.Reduction == Reduction.Mean ? loss0 / weight : loss0);
            Return(rowLosses);
        }

        Return(rowWeights);
    }

    /// <inheritdoc/>
    public void CrossEntropyBackward(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer dloss, GradientTarget dlogits)
    {
        if (!dlogits.IsNeeded) return;
        CrossEntropyTargets targets = CrossEntropyTargets.From(shape, operands);
        Run(
            new CrossEntropyBackwardKernel(targets, Floats(operands.Statistics), Floats(dloss), Floats(dlogits.Buffer), dlogits.Accumulate),
            ChunkCount(shape.Rows, targets.RowsPerChunk));
    }

    /// <summary>What both kernels read.</summary>
    private readonly record struct CrossEntropyTargets(CrossEntropyShape Shape, Pointer Logits, Pointer Labels, Pointer SoftTargets, Pointer ClassWeights)
    {
        public int RowsPerChunk => Math.Max(1, ElementwiseGrain / Math.Max(1, Shape.Classes));

        public bool IsSoft => (float*)SoftTargets != null;

        public float* Weights => ClassWeights;

        public static CrossEntropyTargets From(in CrossEntropyShape shape, in CrossEntropyOperands operands)
            => new(shape, Floats(operands.Logits), Floats(operands.Labels), Floats(operands.SoftTargets), Floats(operands.ClassWeights));

        public float* Row(int row) => (float*)Logits + ((nint)row * Shape.Classes);

        public float* SoftRow(int row) => IsSoft ? (float*)SoftTargets + ((nint)row * Shape.Classes) : null;

        public int Label(int row) => (float*)Labels == null ? 0 : ((int*)(float*)Labels)[row];

        public bool Counts(int row) => (float*)Labels == null || Label(row) != Shape.IgnoreIndex;

        public float Weight(int label) => Weights == null ? 1f : Weights[label];
    }

    private readonly record struct CrossEntropyKernel(CrossEntropyTargets Targets, Pointer Statistics, Pointer RowLosses, Pointer RowWeights) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            CrossEntropyShape shape = Targets.Shape;
            int first = chunk * Targets.RowsPerChunk, end = Math.Min(shape.Rows, first + Targets.RowsPerChunk);
            for (int i = first; i < end; i++)
            {
                float* x = Targets.Row(i), losses = RowLosses, weights = RowWeights, statistics = Statistics;
                if (!Targets.Counts(i))
                {
                    losses[i] = weights[i] = statistics[i] = 0f;
                    continue;
                }

                float logSum = RowMath.LogSumExp<V>(x, shape.Classes);
                statistics[i] = logSum;
                weights[i] = Targets.IsSoft ? 1f : Targets.Weight(Targets.Label(i));
                losses[i] = Targets.IsSoft
                    ? SoftLoss<V>(x, Targets.SoftRow(i), logSum)
                    : HardLoss<V>(x, Targets.Label(i), logSum);
            }
        }

        private float HardLoss<V>(float* x, int label, float logSum)
            where V : unmanaged, ISimd<V>
        {
            CrossEntropyShape shape = Targets.Shape;
            float loss = Targets.Weight(label) * (logSum - x[label]);
            if (shape.LabelSmoothing == 0f) return loss;
            float spread = RowMath.WeightedDifference<V>(Targets.Weights, null, 0f, 1f, x, logSum, shape.Classes);
            return ((1f - shape.LabelSmoothing) * loss) + (shape.LabelSmoothing / shape.Classes * spread);
        }

        private float SoftLoss<V>(float* x, float* target, float logSum)
            where V : unmanaged, ISimd<V>
        {
            CrossEntropyShape shape = Targets.Shape;
            float loss = RowMath.WeightedDifference<V>(
                Targets.Weights, target, 1f - shape.LabelSmoothing, shape.LabelSmoothing / shape.Classes, x, logSum, shape.Classes);
            if (!shape.SubtractEntropy) return loss;
            double entropy = 0;
            for (int c = 0; c < shape.Classes; c++)
                if (target[c] > 0f) entropy -= target[c] * Math.Log(target[c]);
            return (float)(loss - entropy);
        }
    }

    private readonly record struct CrossEntropyBackwardKernel(
        CrossEntropyTargets Targets, Pointer Statistics, Pointer DLoss, Pointer DLogits, bool Accumulate) : ICpuKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            CrossEntropyShape shape = Targets.Shape;
            int first = chunk * Targets.RowsPerChunk, end = Math.Min(shape.Rows, first + Targets.RowsPerChunk);
            float* dloss = DLoss, statistics = Statistics;
            float perElement = shape.Classes == 0 ? 0f : shape.LabelSmoothing / shape.Classes;
            for (int i = first; i < end; i++)
            {
                float* dx = (float*)DLogits + ((nint)i * shape.Classes);
                if (!Targets.Counts(i))
                {
                    if (!Accumulate) new Span<float>(dx, shape.Classes).Clear();
                    continue;
                }

                float gradient = shape.Reduction switch
                {
                    Reduction.None => dloss[i],
                    Reduction.Mean => dloss[0] * statistics[shape.Rows],
                    _ => dloss[0],
                };
                float* soft = Targets.SoftRow(i);
                float hard = Targets.IsSoft ? 0f : (1f - shape.LabelSmoothing) * Targets.Weight(Targets.Label(i));
                float mass = hard + RowMath.WeightedSum<V>(Targets.Weights, soft, 1f - shape.LabelSmoothing, perElement, shape.Classes);
                Row<V>(Targets.Row(i), soft, 1f - shape.LabelSmoothing, perElement, statistics[i], mass, gradient, dx);
                if (!Targets.IsSoft) dx[Targets.Label(i)] -= gradient * hard;
            }
        }

        /// <summary>dx_c (+)= gradient · (mass · exp(x_c - logSum) - w_c (softScale · soft_c + offset)).</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Row<V>(float* x, float* soft, float softScale, float offset, float logSum, float mass, float gradient, float* dx)
            where V : unmanaged, ISimd<V>
        {
            int classes = Targets.Shape.Classes;
            float* weights = Targets.Weights;
            for (int c = 0; c < classes; c += V.Width)
            {
                int left = classes - c;
                V target = V.Create(offset);
                if (soft != null) target = V.FusedMultiplyAdd(V.Create(softScale), RowMath.Load<V>(soft + c, left), target);
                if (weights != null) target *= RowMath.Load<V>(weights + c, left);
                V probability = SimdMath.ExpNonPositive(RowMath.Load<V>(x + c, left) - V.Create(logSum));
                V value = V.Create(gradient) * ((V.Create(mass) * probability) - target);
                if (Accumulate) value += RowMath.Load<V>(dx + c, left);
                if (left >= V.Width) V.Store(value, dx + c);
                else V.StorePartial(value, dx + c, left);
            }
        }
    }

    /// <summary>Sums over one row of any length, in an order fixed by the vector width.</summary>
    private static class RowMath
    {
        /// <summary>A whole vector, or the last elements with zeros behind.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Load<V>(float* source, int left)
            where V : unmanaged, ISimd<V>
            => left >= V.Width ? V.Load(source) : V.LoadPartial(source, left);

        /// <summary>log Σ exp(x_c) = m + log Σ exp(x_c - m) with m the largest; -∞ for an empty row or one of -∞ alone.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static float LogSumExp<V>(float* x, int length)
            where V : unmanaged, ISimd<V>
        {
            float largest = RowSums.Max<V>(x, length);
            return float.IsNegativeInfinity(largest) ? largest : largest + MathF.Log(RowSums.SumOfExponentials<V>(x, largest, length));
        }

        /// <summary>Σ_c w_c (scale · t_c + offset) (logSum - x_c); absent weights are 1, absent targets 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static float WeightedDifference<V>(float* weights, float* targets, float scale, float offset, float* x, float logSum, int length)
            where V : unmanaged, ISimd<V>
        {
            V sum = V.Zero;
            int c = 0;
            for (; c <= length - V.Width; c += V.Width)
            {
                V target = V.Create(offset);
                if (targets != null) target = V.FusedMultiplyAdd(V.Create(scale), V.Load(targets + c), target);
                if (weights != null) target *= V.Load(weights + c);
                sum = V.FusedMultiplyAdd(target, V.Create(logSum) - V.Load(x + c), sum);
            }

            float total = V.Sum(sum);
            for (; c < length; c++) total += (weights == null ? 1f : weights[c]) * (((targets == null ? 0f : targets[c]) * scale) + offset) * (logSum - x[c]);
            return total;
        }

        /// <summary>Σ_c w_c (scale · t_c + offset); absent weights are 1, absent targets 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static float WeightedSum<V>(float* weights, float* targets, float scale, float offset, int length)
            where V : unmanaged, ISimd<V>
        {
            if (targets == null && offset == 0f) return 0f;
            V sum = V.Zero;
            int c = 0;
            for (; c <= length - V.Width; c += V.Width)
            {
                V target = V.Create(offset);
                if (targets != null) target = V.FusedMultiplyAdd(V.Create(scale), V.Load(targets + c), target);
                if (weights != null) target *= V.Load(weights + c);
                sum += target;
            }

            float total = V.Sum(sum);
            for (; c < length; c++) total += (weights == null ? 1f : weights[c]) * (((targets == null ? 0f : targets[c]) * scale) + offset);
            return total;
        }
    }
}
