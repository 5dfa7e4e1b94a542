using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void SigmoidContrastive(int rows, int width, in SigmoidContrastiveOperands operands, DeviceBuffer losses)
    {
        RowLanes lanes = PanelLanes(rows);
        DeviceBuffer panel = RentPanel(rows, rows);
        foreach ((int first, int count) in Panels(rows))
        {
            DeviceBuffer dots = panel.Slice(0, rows * count);
            MultiplyPanel(operands.Rows, operands.Columns, width, first, count, dots);
            Launch(new SigmoidContrastiveKernel(Input(dots), Input(operands.Scale), Input(operands.Bias), Output(losses), lanes, count, first), lanes.Groups);
        }

        Return(panel);
    }

    /// <inheritdoc/>
    public void SigmoidContrastiveBackward(
        int rows, int width, in SigmoidContrastiveOperands operands, float weight, DeviceBuffer dloss,
        GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale, GradientTarget dbias)
    {
        if (!drows.IsNeeded && !dcolumns.IsNeeded && !dscale.IsNeeded && !dbias.IsNeeded) return;
        RowLanes lanes = PanelLanes(rows);
        DeviceBuffer panel = RentPanel(rows, rows);
        DeviceBuffer scaleParts = dscale.IsNeeded ? Rent(lanes.Groups) : default, biasParts = dbias.IsNeeded ? Rent(lanes.Groups) : default;
        foreach ((int first, int count) in Panels(rows))
        {
            DeviceBuffer dots = panel.Slice(0, rows * count);
            MultiplyPanel(operands.Rows, operands.Columns, width, first, count, dots);
            Launch(
                new SigmoidContrastiveGradientKernel(
                    Output(dots), Input(operands.Scale), Input(operands.Bias), Input(dloss), Output(scaleParts), Output(biasParts), lanes, weight, count, first),
                lanes.Groups);
            GatherPanel(dots, operands.Rows, operands.Columns, rows, width, first, count, drows, dcolumns);
        }

        AddParts(scaleParts, dscale);
        AddParts(biasParts, dbias);
        Return(panel);
    }

    /// <summary>Σ_j softplus(x_ij) - x_ii over one panel joins that of the panels before.</summary>
    internal readonly record struct SigmoidContrastiveKernel(
        ArrayView<float> Dots, ArrayView<float> Scale, ArrayView<float> Bias, ArrayView<float> Losses, RowLanes Lanes, int Columns, int First) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(RowLanes.GroupSize);
            int row = Lanes.Row, lane = Lanes.Lane, end = row < Lanes.Rows ? Columns : 0;
            float scale = Scale[0], bias = Bias[0], sum = 0f;
            for (int j = lane; j < end; j += Lanes.Count)
            {
                float x = MathF.FusedMultiplyAdd(scale, Dots[((long)row * Columns) + j], bias);
                sum += MathF.Max(x, 0f) + SimdMath.LogOnePlus(new SimdScalar(GpuMath.Exp(-MathF.Abs(x)))).Value;
                if (First + j == row) sum -= x;
            }

            sum = GroupReduction.Sum(shared, sum, Lanes.Count);
            if (row < Lanes.Rows && lane == 0) Losses[row] = First > 0 ? Losses[row] + sum : sum;
        }
    }

    /// <summary>Puts scale · G in the place of the dot products of a panel, and Σ dot · G and Σ G of each group to its parts.</summary>
    internal readonly record struct SigmoidContrastiveGradientKernel(
        ArrayView<float> Dots, ArrayView<float> Scale, ArrayView<float> Bias, ArrayView<float> DLoss, ArrayView<float> ScaleParts, ArrayView<float> BiasParts,
        RowLanes Lanes, float Weight, int Columns, int First) : IGpuKernel
    {
        public static int GroupSize => RowLanes.GroupSize;

        public void Execute()
        {
            ArrayView<SumPair> shared = SharedMemory.Allocate<SumPair>(RowLanes.GroupSize);
            int row = Lanes.Row, end = row < Lanes.Rows ? Columns : 0;
            float scale = Scale[0], bias = Bias[0], factor = Weight * DLoss[0], withDots = 0f, plain = 0f;
            for (int j = Lanes.Lane; j < end; j += Lanes.Count)
            {
                long i = ((long)row * Columns) + j;
                float dot = Dots[i], value = factor * SimdMath.Sigmoid(new SimdScalar(MathF.FusedMultiplyAdd(scale, dot, bias))).Value;
                if (First + j == row) value -= factor;
                withDots = MathF.FusedMultiplyAdd(dot, value, withDots);
                plain += value;
                Dots[i] = scale * value;
            }

            SumPair sums = GroupReduction.Sum(shared, new SumPair(withDots, plain), RowLanes.GroupSize);
            if (Group.IdxX != 0) return;
            if (ScaleParts.Length > 0) ScaleParts[Grid.IdxX] = First > 0 ? ScaleParts[Grid.IdxX] + sums.First : sums.First;
            if (BiasParts.Length > 0) BiasParts[Grid.IdxX] = First > 0 ? BiasParts[Grid.IdxX] + sums.Second : sums.Second;
        }
    }
}
