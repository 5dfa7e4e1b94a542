namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// What a device has to get right before it is trusted: random bits, a product with its epilogue (tiles, barriers, shared memory), and a softmax
/// (reductions), compared with the scalar CPU.
/// </summary>
internal static class GpuSelfTest
{
    private const int Rows = 33, Columns = 17, Depth = 65;

    /// <summary>Runs the test; null when the device passed, else a sentence that says what went wrong.</summary>
    public static string? Run(GpuBackend gpu)
    {
        using CpuBackend cpu = new(threads: 1, SimdTier.Scalar);
        try
        {
            return Compare("random numbers", gpu, cpu, Random, 0)
                ?? Compare("a matrix product", gpu, cpu, Product, 1e-4f)
                ?? Compare("a softmax", gpu, cpu, Softmax, 1e-5f);
        }
        catch (Exception exception) when (GpuFailure.Is(exception))
        {
            return $"a kernel failed: {exception.Message}";
        }
    }

    private static string? Compare(string what, GpuBackend gpu, CpuBackend cpu, Func<IBackend, float[]> run, float tolerance)
    {
        float[] actual = run(gpu), expected = run(cpu);
        for (int i = 0; i < expected.Length; i++)
        {
            // Written so that NaN fails.
            if (!(MathF.Abs(actual[i] - expected[i]) <= tolerance * (1 + MathF.Abs(expected[i])))) return $"{what} is wrong: element {i} should be {expected[i]} and is {actual[i]}";
        }

        return null;
    }

    private static float[] Random(IBackend backend)
    {
        DeviceBuffer y = backend.Rent(Rows * Columns);
        backend.RandomUniform(y, -1f, 1f, new RandomStream(7, 5));
        return Take(backend, y);
    }

    private static float[] Product(IBackend backend)
    {
        DeviceBuffer a = backend.Rent(Rows * Depth), b = backend.Rent(Columns * Depth), bias = backend.Rent(Columns), c = backend.Rent(Rows * Columns);
        backend.RandomUniform(a, -1f, 1f, new RandomStream(1, 0));
        backend.RandomUniform(b, -1f, 1f, new RandomStream(2, 0));
        backend.RandomUniform(bias, -1f, 1f, new RandomStream(3, 0));
        backend.MatMul<Gelu>(new MatMulArgs(Rows, Columns, Depth) { TransposeB = true }, a, b, c, bias, default, default);
        backend.Return(a);
        backend.Return(b);
        backend.Return(bias);
        return Take(backend, c);
    }

    private static float[] Softmax(IBackend backend)
    {
        DeviceBuffer x = backend.Rent(Rows * Columns), y = backend.Rent(Rows * Columns);
        backend.RandomUniform(x, -3f, 3f, new RandomStream(4, 0));
        backend.Softmax(x, Columns, y);
        backend.Return(x);
        return Take(backend, y);
    }

    private static float[] Take(IBackend backend, DeviceBuffer buffer)
    {
        float[] values = new float[buffer.Length];
        backend.Download(buffer, values);
        backend.Return(buffer);
        return values;
    }
}
