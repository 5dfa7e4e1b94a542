using System.Runtime.CompilerServices;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// Attention, step 3: as many queries as a vector has lanes go through the keys together, 16 keys at a time, and the softmax is corrected on the
/// way. A score of each query is one vector, so that maximum, exponential and sum of all of them are single instructions, without a sum across
/// lanes; and the scores are 16 vectors on the stack, whatever the number of tokens.
/// <code>
///     m' = max(m, max_j s_j)     p_j = exp(s_j - m')
///     l' = l · exp(m - m') + Σ_j p_j
///     o' = o · exp(m - m') + Σ_j p_j · v_j          at the end: output = o / l
/// </code>
/// <para>
/// What limits it: each multiply-add of a score or of an output loads its operands, as in step 3 of the matrix product. The product's own kernel
/// takes 96 queries and 64 keys at a time and multiplies them in register tiles.
/// </para>
/// </summary>
internal static unsafe class TiledAttention
{
    private const int HeadSize = AttentionLadder.HeadSize, Keys = 16, MostLanes = 16;

    public static void Attend(SimdTier tier, float* query, float* key, float* value, float* output, int tokens, int heads, float scale)
    {
        int width = heads * HeadSize;
        for (int head = 0; head < heads; head++, query += HeadSize, key += HeadSize, value += HeadSize, output += HeadSize)
        {
            switch (tier)
            {
                case SimdTier.Vector512: AttendHead<Simd512>(query, key, value, output, tokens, width, scale); break;
                case SimdTier.Vector256: AttendHead<Simd256>(query, key, value, output, tokens, width, scale); break;
                default: AttendHead<Simd128>(query, key, value, output, tokens, width, scale); break;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AttendHead<V>(float* query, float* key, float* value, float* output, int tokens, int width, float scale)
        where V : unmanaged, ISimd<V>
    {
        // Element c of every query of the block, then of every output.
        float* queries = stackalloc float[HeadSize * MostLanes], outputs = stackalloc float[HeadSize * MostLanes], scores = stackalloc float[Keys * MostLanes], factors = stackalloc float[MostLanes];
        for (int i = 0; i < tokens; i += V.Width)
        {
            for (int c = 0; c < HeadSize; c++)
            {
                for (int lane = 0; lane < V.Width; lane++) queries[(c * V.Width) + lane] = scale * query[((i + lane) * width) + c];
                V.Store(V.Zero, outputs + (c * V.Width));
            }

            V largest = V.Create(float.NegativeInfinity), sum = V.Zero;
            for (int j0 = 0; j0 < tokens; j0 += Keys)
            {
                V before = largest;
                for (int j = 0; j < Keys; j++)
                {
                    float* row = key + ((j0 + j) * width);
                    V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
                    for (int c = 0; c < HeadSize; c += 4)
                    {
                        s0 = V.FusedMultiplyAdd(V.Create(row[c]), V.Load(queries + (c * V.Width)), s0);
                        s1 = V.FusedMultiplyAdd(V.Create(row[c + 1]), V.Load(queries + ((c + 1) * V.Width)), s1);
                        s2 = V.FusedMultiplyAdd(V.Create(row[c + 2]), V.Load(queries + ((c + 2) * V.Width)), s2);
                        s3 = V.FusedMultiplyAdd(V.Create(row[c + 3]), V.Load(queries + ((c + 3) * V.Width)), s3);
                    }

                    V score = s0 + s1 + (s2 + s3);
                    largest = V.Max(largest, score);
                    V.Store(score, scores + (j * V.Width));
                }

                V correction = SimdMath.Exp(before - largest);
                sum *= correction;
                for (int j = 0; j < Keys; j++)
                {
                    V weight = SimdMath.Exp(V.Load(scores + (j * V.Width)) - largest);
                    V.Store(weight, scores + (j * V.Width));
                    sum += weight;
                }

                for (int c = 0; c < HeadSize; c++)
                {
                    float* column = value + (j0 * width) + c;
                    V o0 = correction * V.Load(outputs + (c * V.Width)), o1 = V.Zero;
                    for (int j = 0; j < Keys; j += 2)
                    {
                        o0 = V.FusedMultiplyAdd(V.Create(column[j * width]), V.Load(scores + (j * V.Width)), o0);
                        o1 = V.FusedMultiplyAdd(V.Create(column[(j + 1) * width]), V.Load(scores + ((j + 1) * V.Width)), o1);
                    }

                    V.Store(o0 + o1, outputs + (c * V.Width));
                }
            }

            V.Store(V.Create(1f) / sum, factors);
            for (int lane = 0; lane < V.Width; lane++)
                for (int c = 0; c < HeadSize; c++) output[((i + lane) * width) + c] = factors[lane] * outputs[(c * V.Width) + lane];
        }
    }
}
