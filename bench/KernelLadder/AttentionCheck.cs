namespace MiniVlp.KernelLadder;

/// <summary>Attention in double precision.</summary>
internal static class AttentionCheck
{
    private const int RowsChecked = 64;

    /// <summary>The largest difference over some rows of random heads, relative to the largest value; operands are [tokens, heads · 64].</summary>
    public static double ErrorOf(float[] result, float[] query, float[] key, float[] value, int tokens, int heads, float scale)
    {
        const int HeadSize = AttentionLadder.HeadSize;
        Random random = new(4);
        double error = 0, largest = 0;
        double[] weights = new double[tokens];
        int width = heads * HeadSize;
        for (int sample = 0; sample < RowsChecked; sample++)
        {
            int head = random.Next(heads) * HeadSize, row = random.Next(tokens);
            double sum = 0;
            for (int j = 0; j < tokens; j++)
            {
                // Scores are at most 8 here, so that nothing overflows without taking the largest off.
                double score = 0;
                for (int c = head; c < head + HeadSize; c++) score += (double)query[(row * width) + c] * key[(j * width) + c];
                sum += weights[j] = Math.Exp(scale * score);
            }

            for (int c = head; c < head + HeadSize; c++)
            {
                double expected = 0;
                for (int j = 0; j < tokens; j++) expected += weights[j] / sum * value[(j * width) + c];
                error = Math.Max(error, Math.Abs(result[(row * width) + c] - expected));
                largest = Math.Max(largest, Math.Abs(expected));
            }
        }

        return error / largest;
    }
}
