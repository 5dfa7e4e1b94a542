using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.KernelLadder;

// Attention, step 1: three kernels, as in a textbook, with all scores in memory between them.
//
// What limits it: the scores. [heads, tokens, tokens] floats are written once, read and written by the softmax, and read again by the last
// product: 16 bytes for each score against 4 · 64 flops of useful work, 16 flops a byte, and memory that grows with the square of the
// tokens: 12 heads and 16,384 tokens need 12.9 GB. The products themselves are as naive as the first step of the matrix product.

/// <summary>scores_hij = scale · query_hi · key_hj: one thread for each score.</summary>
/// <param name="Query">[tokens, heads · 64].</param>
/// <param name="Key">[tokens, heads · 64].</param>
/// <param name="Scores">[heads, tokens, tokens].</param>
/// <param name="Tokens">A multiple of 16.</param>
/// <param name="Heads">Heads of 64 elements.</param>
/// <param name="Scale">Factor of the scores.</param>
internal readonly record struct ScoresKernel(ArrayView<float> Query, ArrayView<float> Key, ArrayView<float> Scores, int Tokens, int Heads, float Scale) : IGpuKernel
{
    public static int GroupSize => 256;

    public void Execute()
    {
        long element = ((long)Grid.IdxX * GroupSize) + Group.IdxX;
        if (element >= Scores.Length) return;
        int key = (int)(element % Tokens), query = (int)(element / Tokens % Tokens), head = (int)(element / Tokens / Tokens);
        int width = Heads * AttentionLadder.HeadSize, q = (query * width) + (head * AttentionLadder.HeadSize), k = (key * width) + (head * AttentionLadder.HeadSize);
        float sum = 0f;
        for (int c = 0; c < AttentionLadder.HeadSize; c++) sum += Query[q + c] * Key[k + c];
        Scores[element] = Scale * sum;
    }
}

/// <summary>Each row of scores becomes its softmax, in place: one group for each row, with reductions over its threads.</summary>
/// <param name="Scores">[heads, tokens, tokens].</param>
/// <param name="Tokens">Length of a row.</param>
internal readonly record struct SoftmaxRowsKernel(ArrayView<float> Scores, int Tokens) : IGpuKernel
{
    public static int GroupSize => 256;

    public void Execute()
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(256);
        long row = (long)Grid.IdxX * Tokens;
        float maximum = float.NegativeInfinity;
        for (int j = Group.IdxX; j < Tokens; j += GroupSize) maximum = MathF.Max(maximum, Scores[row + j]);
        maximum = GroupReduction.Reduce<float, MaxReduction>(shared, maximum, GroupSize);
        float sum = 0f;
        for (int j = Group.IdxX; j < Tokens; j += GroupSize)
        {
            float p = MathF.Exp(Scores[row + j] - maximum);
            Scores[row + j] = p;
            sum += p;
        }

        float factor = 1f / GroupReduction.Sum(shared, sum, GroupSize);
        for (int j = Group.IdxX; j < Tokens; j += GroupSize) Scores[row + j] *= factor;
    }
}

/// <summary>output_hi = Σ_j p_hij value_hj: one thread for each element of the output.</summary>
/// <param name="Probabilities">[heads, tokens, tokens].</param>
/// <param name="Value">[tokens, heads · 64].</param>
/// <param name="Output">[tokens, heads · 64].</param>
/// <param name="Tokens">A multiple of 16.</param>
/// <param name="Heads">Heads of 64 elements.</param>
internal readonly record struct WeightedValuesKernel(ArrayView<float> Probabilities, ArrayView<float> Value, ArrayView<float> Output, int Tokens, int Heads) : IGpuKernel
{
    public static int GroupSize => 256;

    public void Execute()
    {
        int element = (Grid.IdxX * GroupSize) + Group.IdxX, width = Heads * AttentionLadder.HeadSize;
        if (element >= Output.Length) return;
        int query = element / width, column = element % width, head = column / AttentionLadder.HeadSize;
        long row = (((long)head * Tokens) + query) * Tokens;
        float sum = 0f;
        for (int j = 0; j < Tokens; j++) sum += Probabilities[row + j] * Value[(j * width) + column];
        Output[element] = sum;
    }
}
