using System.Runtime.CompilerServices;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// Attention, step 1: the formula output_i = Σ_j softmax_j(scale · query_i · key_j) value_j in three passes over a matrix of scores, one head
/// after the other.
/// <para>
/// What limits it: single floats, as in the naive matrix product; the dot products at least run along the rows of query and key. The exponentials
/// are calls of a library function, about 20 cycles each.
/// </para>
/// </summary>
internal static unsafe class StoredAttention
{
    private const int HeadSize = AttentionLadder.HeadSize;

    /// <param name="query">[tokens, heads · 64], as key, value and output.</param>
    /// <param name="key">See query.</param>
    /// <param name="value">See query.</param>
    /// <param name="scores">[tokens, tokens], for one head at a time.</param>
    /// <param name="output">See query.</param>
    /// <param name="tokens">Tokens.</param>
    /// <param name="heads">Heads.</param>
    /// <param name="scale">Factor of the dot products.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Attend(float* query, float* key, float* value, float* scores, float* output, int tokens, int heads, float scale)
    {
        int width = heads * HeadSize;
        for (int head = 0; head < heads; head++, query += HeadSize, key += HeadSize, value += HeadSize, output += HeadSize)
        {
            for (int i = 0; i < tokens; i++)
            {
                float* row = scores + ((long)i * tokens);
                for (int j = 0; j < tokens; j++)
                {
                    float sum = 0f;
                    for (int c = 0; c < HeadSize; c++) sum += query[(i * width) + c] * key[(j * width) + c];
                    row[j] = scale * sum;
                }
            }

            for (int i = 0; i < tokens; i++)
            {
                float* row = scores + ((long)i * tokens);
                float largest = float.NegativeInfinity, sum = 0f;
                for (int j = 0; j < tokens; j++) largest = MathF.Max(largest, row[j]);
                for (int j = 0; j < tokens; j++) sum += row[j] = MathF.Exp(row[j] - largest);
                for (int j = 0; j < tokens; j++) row[j] /= sum;
            }

            for (int i = 0; i < tokens; i++)
            {
                float* row = scores + ((long)i * tokens);
                for (int c = 0; c < HeadSize; c++)
                {
                    float sum = 0f;
                    for (int j = 0; j < tokens; j++) sum += row[j] * value[(j * width) + c];
                    output[(i * width) + c] = sum;
                }
            }
        }
    }
}
