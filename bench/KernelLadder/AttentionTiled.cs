using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.KernelLadder;

/// <summary>
/// Attention, step 2: one kernel that never stores a score (online softmax, arXiv:1805.02867; tiles, arXiv:2205.14135). A group of 256
/// threads owns 16 queries of one head and walks over the keys, 16 at a time. Thread (i, j) computes the score of query i and key j of the
/// block; then thread (i, c) adds the block's weighted values to columns 4c to 4c + 3 of output i. When a block raises the largest score
/// m of a row, what was summed before shrinks by exp(m_old - m_new):
/// <code>
///   m' = max(m, max_j s_j)     p_j = exp(s_j - m')     l' = l · exp(m - m') + Σ_j p_j     o' = o · exp(m - m') + Σ_j p_j v_j
/// </code>
/// and at the end output = o / l.
/// <para>
/// What limits it: memory holds operands and output alone, and each key and value is read by tokens / 16 groups. But each score takes 32
/// loads of 128 bits from shared memory for 64 multiply-adds, and each weight as many bytes again: shared memory is the limit, as in the
/// second step of the matrix product. The product's kernels keep blocks of scores and outputs in registers.
/// </para>
/// </summary>
/// <param name="Query">[tokens, heads · 64].</param>
/// <param name="Key">[tokens, heads · 64].</param>
/// <param name="Value">[tokens, heads · 64].</param>
/// <param name="Output">[tokens, heads · 64].</param>
/// <param name="Tokens">A multiple of 16.</param>
/// <param name="Heads">Heads of 64 elements.</param>
/// <param name="Scale">Factor of the scores.</param>
internal readonly record struct TiledAttentionKernel(
    ArrayView<float> Query, ArrayView<float> Key, ArrayView<float> Value, ArrayView<float> Output, int Tokens, int Heads, float Scale) : IGpuKernel
{
    private const int Tile = 16, Vectors = AttentionLadder.HeadSize / 4;

    /// <summary>One vector more than a row has, so that threads that read the same column of different rows meet different memory banks.</summary>
    private const int Row = Vectors + 1;

    public static int GroupSize => Tile * Tile;

    /// <summary>Groups along x; along y there is one for each head.</summary>
    public static int Groups(int tokens) => tokens / Tile;

    public void Execute()
    {
        ArrayView<Float4> queries = SharedMemory.Allocate<Float4>(Tile * Row), keys = SharedMemory.Allocate<Float4>(Tile * Row), values = SharedMemory.Allocate<Float4>(Tile * Row);
        ArrayView<float> scores = SharedMemory.Allocate<float>(Tile * Tile), weights = SharedMemory.Allocate<float>(Tile * Tile);
        ArrayView<Float4> queryVectors = Query.Cast<Float4>(), keyVectors = Key.Cast<Float4>(), valueVectors = Value.Cast<Float4>(), outputVectors = Output.Cast<Float4>();
        int i = Group.IdxX / Tile, j = Group.IdxX % Tile, width = Heads * Vectors;
        int own = (((Grid.IdxX * Tile) + i) * width) + (Grid.IdxY * Vectors) + j;
        queries[(i * Row) + j] = queryVectors[own];

        float maximum = float.NegativeInfinity, sum = 0f;
        Float4 output = default;
        for (int block = 0; block < Tokens; block += Tile)
        {
            int loaded = ((block + i) * width) + (Grid.IdxY * Vectors) + j;
            keys[(i * Row) + j] = keyVectors[loaded];
            values[(i * Row) + j] = valueVectors[loaded];
            Group.Barrier();

            float score = 0f;
            for (int c = 0; c < Vectors; c++)
            {
                Float4 q = queries[(i * Row) + c], k = keys[(j * Row) + c];
                score += (q.X * k.X) + (q.Y * k.Y) + (q.Z * k.Z) + (q.W * k.W);
            }

            score *= Scale;
            scores[Group.IdxX] = score;
            Group.Barrier();

            float largest = maximum;
            for (int other = 0; other < Tile; other++) largest = MathF.Max(largest, scores[(i * Tile) + other]);
            weights[Group.IdxX] = MathF.Exp(score - largest);
            Group.Barrier();

            float shrink = MathF.Exp(maximum - largest);
            maximum = largest;
            sum *= shrink;
            output.Scale(shrink);
            for (int key = 0; key < Tile; key++)
            {
                float p = weights[(i * Tile) + key];
                sum += p;
                output.AddProduct(p, values[(key * Row) + j]);
            }

            Group.Barrier();
        }

        output.Scale(1f / sum);
        outputVectors[own] = output;
    }
}
