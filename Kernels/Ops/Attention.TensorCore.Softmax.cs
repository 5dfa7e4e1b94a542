using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// The softmax so far of the two rows of a thread, g and g + 8, while tiles of scores come by (online softmax, arXiv:1805.02867). Sums are those
    /// of this thread's columns and are added over the four threads of a row at the end.
    /// </summary>
    private struct SoftmaxRows
    {
        public float Largest, LargestBelow, Sum, SumBelow;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static SoftmaxRows Create()
        {
            SoftmaxRows rows = default;
            rows.Largest = float.NegativeInfinity;
            rows.LargestBelow = float.NegativeInfinity;
            return rows;
        }

        /// <summary>Sums over the four threads of a row.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void AddLanes()
        {
            Sum = QuadSum(Sum);
            SumBelow = QuadSum(SumBelow);
        }

        /// <summary>Replaces scores by exp(score - largest so far); what was summed before must shrink by the result, exp(old largest - new largest).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Float2 Exp<TRules>(ref Accumulator64 scores, float factor)
            where TRules : struct, IScoreRules
        {
            Float2 shrink = Raise(SoftmaxTile.Largest(scores), SoftmaxTile.LargestBelow(scores), factor);
            float sum = 0f, sumBelow = 0f;
            SoftmaxTile.Exp<TRules>(ref scores, factor, Reference(Largest), Reference(LargestBelow), ref sum, ref sumBelow);
            Add(shrink, sum, sumBelow);
            return shrink;
        }

        /// <summary>The same for 128 columns.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Float2 Exp<TRules>(ref Accumulator128 scores, float factor)
            where TRules : struct, IScoreRules
        {
            Float2 shrink = Raise(
                MathF.Max(SoftmaxTile.Largest(scores.Low), SoftmaxTile.Largest(scores.High)),
                MathF.Max(SoftmaxTile.LargestBelow(scores.Low), SoftmaxTile.LargestBelow(scores.High)), factor);
            float low = 0f, lowBelow = 0f, high = 0f, highBelow = 0f;
            SoftmaxTile.Exp<TRules>(ref scores.Low, factor, Reference(Largest), Reference(LargestBelow), ref low, ref lowBelow);
            SoftmaxTile.Exp<TRules>(ref scores.High, factor, Reference(Largest), Reference(LargestBelow), ref high, ref highBelow);
            Add(shrink, low + high, lowBelow + highBelow);
            return shrink;
        }

        /// <summary>1 / sum; 0 for a row that saw no key.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static float Inverse(float largest, float sum) => largest == float.NegativeInfinity ? 0f : 1f / sum;

        /// <summary>What is subtracted from scores: a row of -∞ has weights of 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Reference(float largest) => largest == float.NegativeInfinity ? 0f : largest;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private Float2 Raise(float upper, float lower, float factor)
        {
            float largest = MathF.Max(Largest, QuadMax(upper)), below = MathF.Max(LargestBelow, QuadMax(lower));
            Float2 shrink;
            shrink.X = Exp2Approximate((Largest - Reference(largest)) * factor);
            shrink.Y = Exp2Approximate((LargestBelow - Reference(below)) * factor);
            Largest = largest;
            LargestBelow = below;
            return shrink;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Add(Float2 shrink, float sum, float sumBelow)
        {
            Sum = (Sum * shrink.X) + sum;
            SumBelow = (SumBelow * shrink.Y) + sumBelow;
        }
    }

    /// <summary>What becomes of the sums of two rows of a thread.</summary>
    private static class AttentionRows
    {
        /// <summary>Writes output and statistics of the rows <paramref name="row"/> and 8 further on, as far as they exist.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store<THead, TRules>(
            ArrayView<float> output, ArrayView<float> statistics, in AttentionSizes sizes, in Accumulator128 sums, in SoftmaxRows rows, int batch, int head, int row, uint lane)
            where THead : struct, IHeadSize
            where TRules : struct, IScoreRules
        {
            float inverse = SoftmaxRows.Inverse(rows.Largest, rows.Sum), inverseBelow = SoftmaxRows.Inverse(rows.LargestBelow, rows.SumBelow);
            bool isRow = row < sizes.QueryLength, isRowBelow = row + 8 < sizes.QueryLength;
            ulong stride = 2ul * sizes.QueryStride<THead>(), target = GlobalAddress(output) + (2 * sizes.QueryOffset<THead>(batch, head)) + ((lane & 3) * 8);
            HeadTile.StoreRows<THead>(sums, target + ((uint)row * stride), target + ((uint)(row + 8) * stride), inverse, inverseBelow, isRow, isRowBelow, accumulate: 0);
            float unit = TRules.HasBias ? 1f : sizes.Scale;
            if (isRow && (lane & 3) == 0) StoreStatistics(statistics, sizes, batch, head, row, rows.Largest * unit, inverse);
            if (isRowBelow && (lane & 3) == 0) StoreStatistics(statistics, sizes, batch, head, row + 8, rows.LargestBelow * unit, inverseBelow);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void StoreStatistics(ArrayView<float> statistics, in AttentionSizes sizes, int batch, int head, int row, float largest, float inverse)
        {
            long index = sizes.StatisticsOffset(batch, head) + row;
            statistics[index] = largest == float.NegativeInfinity ? 0f : largest;
            statistics[sizes.StatisticsLength(Grid.DimZ) + index] = inverse;
        }
    }

    /// <summary>Steps of a softmax over tiles of accumulators: X and Y belong to one row, Z and W to the row 8 further down.</summary>
    private static class SoftmaxTile
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static float Largest(in Accumulator64 s) => MathF.Max(
            MathF.Max(MathF.Max(Upper(s.C0), Upper(s.C1)), MathF.Max(Upper(s.C2), Upper(s.C3))), MathF.Max(MathF.Max(Upper(s.C4), Upper(s.C5)), MathF.Max(Upper(s.C6), Upper(s.C7))));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static float LargestBelow(in Accumulator64 s) => MathF.Max(
            MathF.Max(MathF.Max(Lower(s.C0), Lower(s.C1)), MathF.Max(Lower(s.C2), Lower(s.C3))), MathF.Max(MathF.Max(Lower(s.C4), Lower(s.C5)), MathF.Max(Lower(s.C6), Lower(s.C7))));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Exp<TRules>(ref Accumulator64 s, float factor, float reference, float referenceBelow, ref float sum, ref float sumBelow)
            where TRules : struct, IScoreRules
        {
            // Scaled and shifted by one fused multiply-add; with a bias the difference is taken first, as its terms may be as large as a float goes.
            float shift = TRules.HasBias ? reference : -reference * factor, shiftBelow = TRules.HasBias ? referenceBelow : -referenceBelow * factor;
            Exp<TRules>(ref s.C0, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C1, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C2, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C3, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C4, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C5, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C6, factor, shift, shiftBelow, ref sum, ref sumBelow);
            Exp<TRules>(ref s.C7, factor, shift, shiftBelow, ref sum, ref sumBelow);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Scale<THead>(ref Accumulator128 value, float upper, float lower)
            where THead : struct, IHeadSize
        {
            Scale(ref value.Low.C0, upper, lower);
            Scale(ref value.Low.C1, upper, lower);
            Scale(ref value.Low.C2, upper, lower);
            Scale(ref value.Low.C3, upper, lower);
            if (THead.Size > 32)
            {
                Scale(ref value.Low.C4, upper, lower);
                Scale(ref value.Low.C5, upper, lower);
                Scale(ref value.Low.C6, upper, lower);
                Scale(ref value.Low.C7, upper, lower);
            }

            if (THead.Size > 64)
            {
                Scale(ref value.High.C0, upper, lower);
                Scale(ref value.High.C1, upper, lower);
            }

            if (THead.Size > 80)
            {
                Scale(ref value.High.C2, upper, lower);
                Scale(ref value.High.C3, upper, lower);
                Scale(ref value.High.C4, upper, lower);
                Scale(ref value.High.C5, upper, lower);
                Scale(ref value.High.C6, upper, lower);
                Scale(ref value.High.C7, upper, lower);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Upper(Float4 c) => MathF.Max(c.X, c.Y);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Lower(Float4 c) => MathF.Max(c.Z, c.W);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Exp<TRules>(ref Float4 c, float factor, float shift, float shiftBelow, ref float sum, ref float sumBelow)
            where TRules : struct, IScoreRules
        {
            c.X = Exp2Approximate(TRules.HasBias ? (c.X - shift) * factor : (c.X * factor) + shift);
            c.Y = Exp2Approximate(TRules.HasBias ? (c.Y - shift) * factor : (c.Y * factor) + shift);
            c.Z = Exp2Approximate(TRules.HasBias ? (c.Z - shiftBelow) * factor : (c.Z * factor) + shiftBelow);
            c.W = Exp2Approximate(TRules.HasBias ? (c.W - shiftBelow) * factor : (c.W * factor) + shiftBelow);
            sum += c.X + c.Y;
            sumBelow += c.Z + c.W;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Scale(ref Float4 c, float upper, float lower)
        {
            c.X *= upper;
            c.Y *= upper;
            c.Z *= lower;
            c.W *= lower;
        }
    }
}
