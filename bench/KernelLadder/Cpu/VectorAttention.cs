using System.Runtime.CompilerServices;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// Attention, step 2: the same passes with vectors. A dot product runs along the 64 elements of a head in four independent sums, an output row
/// is a sum of rows of the values, and <see cref="SimdMath.Exp{V}"/> takes the exponentials of a whole vector at once.
/// <para>
/// What limits it: the scores, 4 · tokens² bytes for each head, are written and read three times. With 512 tokens they are a megabyte and leave
/// the second-level cache; with 8,192 they are 256 MB. And every dot product ends in a sum across the lanes of a vector.
/// </para>
/// </summary>
internal static unsafe class VectorAttention
{
    private const int HeadSize = AttentionLadder.HeadSize;

    public static void Attend(SimdTier tier, float* query, float* key, float* value, float* scores, float* output, int tokens, int heads, float scale)
    {
        int width = heads * HeadSize;
        for (int head = 0; head < heads; head++, query += HeadSize, key += HeadSize, value += HeadSize, output += HeadSize)
        {
            switch (tier)
            {
                case SimdTier.Vector512: AttendHead<Simd512>(query, key, value, scores, output, tokens, width, scale); break;
                case SimdTier.Vector256: AttendHead<Simd256>(query, key, value, scores, output, tokens, width, scale); break;
                default: AttendHead<Simd128>(query, key, value, scores, output, tokens, width, scale); break;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AttendHead<V>(float* query, float* key, float* value, float* scores, float* output, int tokens, int width, float scale)
        where V : unmanaged, ISimd<V>
    {
        for (int i = 0; i < tokens; i++)
        {
            float* row = scores + ((long)i * tokens);
            for (int j = 0; j < tokens; j++) row[j] = scale * Dot<V>(query + (i * width), key + (j * width));
        }

        for (int i = 0; i < tokens; i++)
        {
            float* row = scores + ((long)i * tokens);
            V largest = V.Create(float.NegativeInfinity), sum = V.Zero;
            for (int j = 0; j < tokens; j += V.Width) largest = V.Max(largest, V.Load(row + j));
            largest = V.Create(V.MaxElement(largest));
            for (int j = 0; j < tokens; j += V.Width)
            {
                V weight = SimdMath.Exp(V.Load(row + j) - largest);
                V.Store(weight, row + j);
                sum += weight;
            }

            V factor = V.Create(1f / V.Sum(sum));
            for (int j = 0; j < tokens; j += V.Width) V.Store(factor * V.Load(row + j), row + j);
        }

        for (int i = 0; i < tokens; i++)
        {
            float* row = scores + ((long)i * tokens), to = output + (i * width);
            new Span<float>(to, HeadSize).Clear();
            for (int j = 0; j < tokens; j++)
            {
                V weight = V.Create(row[j]);
                float* from = value + (j * width);
                for (int c = 0; c < HeadSize; c += V.Width) V.Store(V.FusedMultiplyAdd(weight, V.Load(from + c), V.Load(to + c)), to + c);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Dot<V>(float* a, float* b)
        where V : unmanaged, ISimd<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
        for (int c = 0; c < HeadSize; c += 4 * V.Width)
        {
            s0 = V.FusedMultiplyAdd(V.Load(a + c), V.Load(b + c), s0);
            s1 = V.FusedMultiplyAdd(V.Load(a + c + V.Width), V.Load(b + c + V.Width), s1);
            s2 = V.FusedMultiplyAdd(V.Load(a + c + (2 * V.Width)), V.Load(b + c + (2 * V.Width)), s2);
            s3 = V.FusedMultiplyAdd(V.Load(a + c + (3 * V.Width)), V.Load(b + c + (3 * V.Width)), s3);
        }

        return V.Sum(s0 + s1 + (s2 + s3));
    }
}
