namespace MiniVlp.KernelLadder;

/// <summary>The product of two square matrices in double precision.</summary>
internal static class MatMulCheck
{
    private const int SamplesChecked = 4096;

    /// <summary>The largest difference over some elements, relative to the largest of them.</summary>
    public static double ErrorOf(float[] result, float[] left, float[] right, int size)
    {
        Random random = new(3);
        double error = 0, largest = 0;
        for (int sample = 0; sample < SamplesChecked; sample++)
        {
            int row = random.Next(size), column = random.Next(size);
            double expected = 0;
            for (int k = 0; k < size; k++) expected += (double)left[(row * size) + k] * right[(k * size) + column];

            // Math.Max keeps NaN.
            error = Math.Max(error, Math.Abs(result[(row * size) + column] - expected));
            largest = Math.Max(largest, Math.Abs(expected));
        }

        return error / largest;
    }
}
