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
            LargestOfRows largest = new(float.NegativeInfinity, float.NegativeInfinity);
            Accumulator64.ForEach(ref scores, ref largest);
            Float2 shrink = Raise(largest, factor);
            ExpAndSum<TRules> exp = new(factor, Reference(Largest), Reference(LargestBelow));
            Accumulator64.ForEach(ref scores, ref exp);
            Add(shrink, exp.Sum, exp.SumBelow);
            return shrink;
        }

        /// <summary>The same for 128 columns.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Float2 Exp<TRules>(ref Accumulator128 scores, float factor)
            where TRules : struct, IScoreRules
        {
            LargestOfRows largest = new(float.NegativeInfinity, float.NegativeInfinity);
            Accumulator64.ForEach(ref scores.Low, ref largest);
            Accumulator64.ForEach(ref scores.High, ref largest);
            Float2 shrink = Raise(largest, factor);
            ExpAndSum<TRules> low = new(factor, Reference(Largest), Reference(LargestBelow)), high = low;
            Accumulator64.ForEach(ref scores.Low, ref low);
            Accumulator64.ForEach(ref scores.High, ref high);
            Add(shrink, low.Sum + high.Sum, low.SumBelow + high.SumBelow);
            return shrink;
        }

        /// <summary>Multiplies sums of the two rows by the two factors.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Scale<THead>(ref Accumulator128 sums, Float2 factors)
            where THead : struct, IHeadSize
        {
            ScaleRows scale = new(factors.X, factors.Y);
            Accumulator128.ForEach<THead, ScaleRows>(ref sums, ref scale);
        }

        /// <summary>1 / sum; 0 for a row that saw no key.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static float Inverse(float largest, float sum) => largest == float.NegativeInfinity ? 0f : 1f / sum;

        /// <summary>What is subtracted from scores: a row of -∞ has weights of 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static float Reference(float largest) => largest == float.NegativeInfinity ? 0f : largest;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private Float2 Raise(LargestOfRows tile, float factor)
        {
            float largest = MathF.Max(Largest, QuadMax(tile.Upper)), below = MathF.Max(LargestBelow, QuadMax(tile.Lower));
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
            ArrayView<float> output, ArrayView<float> copy, ArrayView<float> statistics, in AttentionSizes sizes, int batches, ref Accumulator128 sums,
            in SoftmaxRows rows, int batch, int head, int row, uint lane)
            where THead : struct, IHeadSize
            where TRules : struct, IScoreRules
        {
            float inverse = SoftmaxRows.Inverse(rows.Largest, rows.Sum), inverseBelow = SoftmaxRows.Inverse(rows.LargestBelow, rows.SumBelow);
            bool isRow = row < sizes.QueryLength, isRowBelow = row + 8 < sizes.QueryLength;
            ulong stride = 2ul * sizes.QueryStride<THead>(), target = GlobalAddress(output) + (2 * sizes.QueryOffset<THead>(batch, head)) + ((lane & 3) * 8);
            HeadTile.StoreRows<THead>(ref sums, target + ((uint)row * stride), target + ((uint)(row + 8) * stride), inverse, inverseBelow, isRow, isRowBelow, accumulate: 0);
            if (copy.Length > 0)
            {
                ulong copied = GlobalAddress(copy) + ((target - GlobalAddress(output)) >> 1);
                HeadTile.StoreCopies<THead>(
                    ref sums, copied + ((uint)row * (stride >> 1)), copied + ((uint)(row + 8) * (stride >> 1)), inverse, inverseBelow, isRow, isRowBelow);
            }

            float unit = TRules.HasBias ? 1f : sizes.Scale;
            if (isRow && (lane & 3) == 0) StoreStatistics(statistics, sizes, batches, batch, head, row, rows.Largest * unit, inverse);
            if (isRowBelow && (lane & 3) == 0) StoreStatistics(statistics, sizes, batches, batch, head, row + 8, rows.LargestBelow * unit, inverseBelow);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void StoreStatistics(ArrayView<float> statistics, in AttentionSizes sizes, int batches, int batch, int head, int row, float largest, float inverse)
        {
            long index = sizes.StatisticsOffset(batch, head) + row;
            statistics[index] = largest == float.NegativeInfinity ? 0f : largest;
            statistics[sizes.StatisticsLength(batches) + index] = inverse;
        }
    }

    /// <summary>The largest score of each of the two rows of a thread: X and Y belong to the upper one, Z and W to the one 8 further down.</summary>
    private struct LargestOfRows(float upper, float lower) : IColumnsStep
    {
        public float Upper = upper, Lower = lower;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column)
        {
            Upper = MathF.Max(Upper, MathF.Max(sums.X, sums.Y));
            Lower = MathF.Max(Lower, MathF.Max(sums.Z, sums.W));
        }
    }

    /// <summary>Replaces scores by exp((score - reference) · ln 2 · factor) and gathers their sums.</summary>
    private struct ExpAndSum<TRules>(float factor, float reference, float referenceBelow) : IColumnsStep
        where TRules : struct, IScoreRules
    {
        public float Sum = 0f, SumBelow = 0f;

        // Scaled and shifted by one fused multiply-add; with a bias the difference is taken first, as its terms may be as large as a float goes.
        private readonly float _factor = factor;
        private readonly float _shift = TRules.HasBias ? reference : -reference * factor;
        private readonly float _shiftBelow = TRules.HasBias ? referenceBelow : -referenceBelow * factor;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column)
        {
            sums.X = Exp2Approximate(TRules.HasBias ? (sums.X - _shift) * _factor : (sums.X * _factor) + _shift);
            sums.Y = Exp2Approximate(TRules.HasBias ? (sums.Y - _shift) * _factor : (sums.Y * _factor) + _shift);
            sums.Z = Exp2Approximate(TRules.HasBias ? (sums.Z - _shiftBelow) * _factor : (sums.Z * _factor) + _shiftBelow);
            sums.W = Exp2Approximate(TRules.HasBias ? (sums.W - _shiftBelow) * _factor : (sums.W * _factor) + _shiftBelow);
            Sum += sums.X + sums.Y;
            SumBelow += sums.Z + sums.W;
        }
    }

    /// <summary>Multiplies the two rows of a thread by a factor each.</summary>
    private readonly struct ScaleRows(float upper, float lower) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column)
        {
            sums.X *= upper;
            sums.Y *= upper;
            sums.Z *= lower;
            sums.W *= lower;
        }
    }
}
