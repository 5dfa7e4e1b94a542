using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void CrossEntropy(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer loss)
    {
        bool isReduced = shape.Reduction != Reduction.None;
        DeviceBuffer rowLosses = isReduced ? Rent(shape.Rows) : loss, rowWeights = Rent(shape.Rows);
        CrossEntropyRows rows = CrossEntropyRows.From(shape, operands);
        Launch(
            new CrossEntropyKernel(rows, Output(operands.Statistics), Output(rowLosses), Output(rowWeights), shape.SubtractEntropy ? 1 : 0), rows.Lanes.Groups);
        Launch(
            new CrossEntropyMeanKernel(
                Input(rowLosses), Input(rowWeights), Output(operands.Statistics), isReduced ? Output(loss) : default, shape.Rows, shape.Reduction == Reduction.Mean ? 1 : 0),
            1);
        if (isReduced) Return(rowLosses);
        Return(rowWeights);
    }

    /// <inheritdoc/>
    public void CrossEntropyBackward(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer dloss, GradientTarget dlogits)
    {
        if (!dlogits.IsNeeded) return;
        CrossEntropyRows rows = CrossEntropyRows.From(shape, operands);
        Launch(new CrossEntropyBackwardKernel(rows, Input(operands.Statistics), Input(dloss), Target(dlogits), (int)shape.Reduction), rows.Lanes.Groups);
    }

    /// <summary>What both kernels read.</summary>
    internal readonly record struct CrossEntropyRows(
        ArrayView<float> Logits, ArrayView<int> Labels, ArrayView<float> SoftTargets, ArrayView<float> ClassWeights,
        RowLanes Lanes, int Classes, int IgnoreIndex, int IsSoft, float LabelSmoothing)
    {
        /// <summary>Share of the target that every class gets.</summary>
        public float Offset => Classes == 0 ? 0f : LabelSmoothing / Classes;

        public static CrossEntropyRows From(in CrossEntropyShape shape, in CrossEntropyOperands operands) => new(
            Input(operands.Logits), IntInput(operands.Labels), Input(operands.SoftTargets), Input(operands.ClassWeights),
            RowLanes.For(shape.Rows, shape.Classes), shape.Classes, shape.IgnoreIndex, operands.SoftTargets.IsNull ? 0 : 1, shape.LabelSmoothing);

        public int Label(int row) => Labels.Length > 0 ? Labels[row] : 0;

        /// <summary>Whether there is such a row and it is not ignored.</summary>
        public bool Counts(int row) => row < Lanes.Rows && (Labels.Length == 0 || Labels[row] != IgnoreIndex);

        public float Weight(int label) => ClassWeights.Length > 0 ? ClassWeights[label] : 1f;

        /// <summary>w_c t_c without the share of the label: the soft target, if there is one, and what smoothing spreads.</summary>
        public float Target(long start, int c)
            => Weight(c) * (IsSoft != 0 ? MathF.FusedMultiplyAdd(1f - LabelSmoothing, SoftTargets[start + c], Offset) : Offset);
    }

    internal readonly record struct CrossEntropyKernel(
        CrossEntropyRows Rows, ArrayView<float> Statistics, ArrayView<float> RowLosses, ArrayView<float> RowWeights, int SubtractEntropy) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            RowLanes lanes = Rows.Lanes;
            int row = lanes.Row, lane = lanes.Lane;
            bool counts = Rows.Counts(row);
            int end = counts ? Rows.Classes : 0;
            long start = (long)row * Rows.Classes;
            float max = float.NegativeInfinity, sum = 0f, loss = 0f;
            for (int c = lane; c < end; c += lanes.Count) max = MathF.Max(max, Rows.Logits[start + c]);
            max = GroupReduction.Max(shared, max, lanes.Count);
            for (int c = lane; c < end; c += lanes.Count) sum += GpuMath.Exp(Rows.Logits[start + c] - max);
            sum = GroupReduction.Sum(shared, sum, lanes.Count);
            float logSum = max == float.NegativeInfinity ? max : max + GpuMath.Log(sum);
            if (Rows.IsSoft != 0 || Rows.LabelSmoothing != 0f)
            {
                for (int c = lane; c < end; c += lanes.Count) loss = MathF.FusedMultiplyAdd(Rows.Target(start, c), logSum - Rows.Logits[start + c], loss);
            }

            if (SubtractEntropy != 0 && Rows.IsSoft != 0)
            {
                for (int c = lane; c < end; c += lanes.Count)
                {
                    float target = Rows.SoftTargets[start + c];
                    if (target > 0f) loss = MathF.FusedMultiplyAdd(target, GpuMath.Log(target), loss);
                }
            }

            loss = GroupReduction.Sum(shared, loss, lanes.Count);
            if (row >= lanes.Rows || lane != 0) return;
            float weight = counts ? 1f : 0f;
            if (counts && Rows.IsSoft == 0)
            {
                int label = Rows.Label(row);
                weight = Rows.Weight(label);
                loss += (1f - Rows.LabelSmoothing) * weight * (logSum - Rows.Logits[start + label]);
            }

            Statistics[row] = counts ? logSum : 0f;
            RowLosses[row] = counts ? loss : 0f;
            RowWeights[row] = weight;
        }
    }

    /// <summary>One group: the sums of losses and weights, and what is made of them.</summary>
    internal readonly record struct CrossEntropyMeanKernel(
        ArrayView<float> RowLosses, ArrayView<float> RowWeights, ArrayView<float> Statistics, ArrayView<float> Loss, int Rows, int IsMean) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<double> shared = SharedMemory.Allocate<double>(GroupSize);
            double loss = 0, weight = 0;
            for (int i = Group.IdxX; i < Rows; i += GroupSize)
            {
                loss += RowLosses[i];
                weight += RowWeights[i];
            }

            loss = GroupReduction.Sum(shared, loss, GroupSize);
            weight = GroupReduction.Sum(shared, weight, GroupSize);
            if (Group.IdxX != 0) return;
            Statistics[Rows] = (float)(1 / weight);
            if (Loss.Length > 0) Loss[0] = (float)(IsMean != 0 ? loss / weight : loss);
        }
    }

    internal readonly record struct CrossEntropyBackwardKernel(
        CrossEntropyRows Rows, ArrayView<float> Statistics, ArrayView<float> DLoss, GpuTarget DLogits, int Reduction) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            RowLanes lanes = Rows.Lanes;
            int row = lanes.Row, lane = lanes.Lane, end = row < lanes.Rows ? Rows.Classes : 0;
            bool counts = Rows.Counts(row);
            long start = (long)row * Rows.Classes;
            float mass = 0f, hard = 0f, gradient = 0f, logSum = 0f;
            int label = -1;
            if (counts)
            {
                logSum = Statistics[row];
                gradient = Reduction == (int)Kernels.Reduction.None ? DLoss[row] : Reduction == (int)Kernels.Reduction.Mean ? DLoss[0] * Statistics[lanes.Rows] : DLoss[0];
                if (Rows.IsSoft == 0)
                {
                    label = Rows.Label(row);
                    hard = (1f - Rows.LabelSmoothing) * Rows.Weight(label);
                }

                if (Rows.IsSoft != 0 || Rows.LabelSmoothing != 0f)
                {
                    for (int c = lane; c < end; c += lanes.Count) mass += Rows.Target(start, c);
                }
            }

            mass = hard + GroupReduction.Sum(shared, mass, lanes.Count);
            for (int c = lane; c < end; c += lanes.Count)
            {
                float value = 0f;
                if (counts)
                {
                    float target = Rows.Target(start, c) + (c == label ? hard : 0f);
                    value = gradient * ((mass * GpuMath.Exp(Rows.Logits[start + c] - logSum)) - target);
                }

                DLogits.Put(start + c, value);
            }
        }
    }
}
