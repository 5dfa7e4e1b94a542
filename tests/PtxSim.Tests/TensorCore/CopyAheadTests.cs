using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>Copies in bfloat16 that kernels write beside their results, where the last results in the same memory were converted.</summary>
public sealed class CopyAheadTests
{
    private const int Rows = 72, Width = 128, Heads = 2;

    private static readonly AttentionShape Shape = new(1, Heads, Heads, Rows, Rows, Width / Heads, Width / Heads, 0.125f, Causal: false, 0, 0);

    /// <summary>norm → product with activation → attention → product, and gradients of attention, activation and norm, each multiplied: all are converted in the first run alone.</summary>
    [Fact]
    public void Results_that_are_multiplied_are_converted_as_they_are_written()
    {
        using GpuBackend backend = TensorCoreDevice.Create();
        List<DeviceBuffer> buffers = [];
        DeviceBuffer x = Make(1, Rows * Width), weight = Make(2, Width), bias = Make(3, Width), product = Make(4, Width * Width), dy = Make(5, Rows * Width);
        DeviceBuffer normed = Room(), hidden = Room(), attended = Room(), result = Room(), statistics = Room(2 * Rows), scores = Room(2 * Heads * Rows), activationGradient = Room(), normGradient = Room();
        DeviceBuffer queryGradient = Room(), keyGradient = Room(), valueGradient = Room(), dweight = Room(Width), dbias = Room(Width), sumOfGradients = Room();

        (float[][] first, int conversions) = Run(bias);
        (float[][] second, int conversionsAgain) = Run(bias);
        Assert.Equal(first, second);
        if (!StandInDriver.UsesRealDriver)
        {
            Assert.Equal(10, conversions);         // two inputs, and what the kernels wrote: norm, product, attention, its three gradients, those of activation and norm
            Assert.Equal(0, conversionsAgain);
        }

        // Other values: the copies are of what is there now.
        backend.Upload(Values(7, Rows * Width), x);
        (float[][] third, _) = Run(bias);
        backend.Precision = MatMulPrecision.Float32;
        (float[][] expected, _) = Run(bias);
        for (int i = 0; i < third.Length; i++)
        {
            float limit = 0.03f * expected[i].Max(MathF.Abs);
            Assert.All(expected[i].Zip(third[i]), pair => Assert.InRange(pair.Second, pair.First - limit, pair.First + limit));
            Assert.NotEqual(first[i], third[i]);
        }

        foreach (DeviceBuffer buffer in buffers) backend.Return(buffer);
        Assert.Equal(0, backend.RentedBytes);

        (float[][] Results, int Conversions) Run(DeviceBuffer addend)
        {
            List<(string Kernel, Statistics Statistics)> launches = TensorCoreDevice.Launched(() =>
            {
                MatMulArgs args = new(Rows, Width, Width);
                backend.LayerNorm(x, weight, addend, 1e-5f, Width, normed, statistics);
                backend.MatMul<QuickGelu>(args, normed, product, hidden, default, default, default);
                backend.Attention(Shape, hidden, hidden, hidden, default, default, attended, scores);
                backend.MatMul(args, attended, product, result);
                backend.AttentionBackward(
                    Shape, hidden, hidden, hidden, default, default, attended, scores, dy,
                    new AttentionGradients(new GradientTarget(queryGradient, Accumulate: false), new GradientTarget(keyGradient, Accumulate: false), new GradientTarget(valueGradient, Accumulate: false), default));
                backend.MatMul(args, queryGradient, product, sumOfGradients);
                backend.MatMul(args with { Beta = 1f }, keyGradient, product, sumOfGradients);
                backend.MatMul(args with { Beta = 1f }, valueGradient, product, sumOfGradients);
                backend.UnaryBackward<QuickGelu>(x, normed, dy, new GradientTarget(activationGradient, Accumulate: false));
                backend.MatMul(args with { Beta = 1f }, activationGradient, product, sumOfGradients);
                backend.Copy(dy, normGradient);
                backend.LayerNormBackward(
                    x, weight, statistics, dy, Width, new GradientTarget(normGradient, Accumulate: true), new GradientTarget(dweight, Accumulate: false), new GradientTarget(dbias, Accumulate: false));
                backend.MatMul(args with { Beta = 1f }, normGradient, product, sumOfGradients);
            });
            float[][] results = [.. new[] { result, sumOfGradients }.Select(buffer =>
            {
                float[] values = new float[buffer.Length];
                backend.Download(buffer, values);
                return values;
            })];
            return (results, launches.Count(launch => launch.Kernel.StartsWith("ToBFloat16", StringComparison.Ordinal)));
        }

        DeviceBuffer Make(int seed, int length)
        {
            DeviceBuffer buffer = Room(length);
            backend.Upload(Values(seed, length), buffer);
            return buffer;
        }

        DeviceBuffer Room(int length = Rows * Width)
        {
            buffers.Add(backend.Rent(length));
            return buffers[^1];
        }
    }

    /// <summary>Keys that are their own values: one gradient takes both parts, and what is multiplied is their sum.</summary>
    [Fact]
    public void The_gradient_of_keys_that_are_values_is_copied_whole()
    {
        using GpuBackend backend = TensorCoreDevice.Create();
        DeviceBuffer query = Made(1, Rows * Width), keys = Made(2, Rows * Width), weight = Made(3, Width * Width), dy = Made(4, Rows * Width);
        DeviceBuffer output = backend.Rent(Rows * Width), statistics = backend.Rent(2 * Heads * Rows), gradient = backend.Rent(Rows * Width), product = backend.Rent(Rows * Width);
        backend.Attention(Shape, query, keys, keys, default, default, output, statistics);
        float[] first = new float[Rows * Width], again = new float[Rows * Width];
        for (int pass = 0; pass < 3; pass++)
        {
            backend.AttentionBackward(
                Shape, query, keys, keys, default, default, output, statistics, dy,
                new AttentionGradients(default, new GradientTarget(gradient, Accumulate: false), new GradientTarget(gradient, Accumulate: true), default));
            backend.MatMul(new MatMulArgs(Rows, Width, Width), gradient, weight, product);
            backend.Download(product, pass == 0 ? first : again);
            if (pass > 0) Assert.Equal(first, again);
        }

        backend.Precision = MatMulPrecision.Float32;
        backend.MatMul(new MatMulArgs(Rows, Width, Width), gradient, weight, product);
        backend.Download(product, again);
        TensorCoreDevice.AssertNear([.. again.Select(x => (double)x)], first, 0.01, "product of the gradient");
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[query, keys, weight, dy, output, statistics, gradient, product]) backend.Return(buffer);
        Assert.Equal(0, backend.RentedBytes);

        DeviceBuffer Made(int seed, int length) => TensorCoreDevice.Upload(backend, Values(seed, length));
    }

    /// <summary>A weight that was packed is never written: a graph, and what comes after it, use the copy that is there.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_packed_weight_is_converted_once_for_all_graphs(bool isWarm)
    {
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver tells what is launched.");
        SimulatedDevice.RequireDriver();
        using GpuBackend backend = GpuBackend.CreateCuda();
        backend.Precision = MatMulPrecision.BFloat16;
        DeviceBuffer source = TensorCoreDevice.Upload(backend, Values(1, Width * Width)), x = TensorCoreDevice.Upload(backend, Values(2, Rows * Width)), y = backend.Rent(Rows * Width);
        PackedWeight weight = backend.PackWeight(source, Width, Width, WeightFormat.Float32);
        if (isWarm) Product();
        GpuGraph graph = backend.Capture(Product);
        Product();
        float[] eager = TensorCoreDevice.Download(backend, y);
        backend.Fill(y, 0f);
        Assert.Equal(isWarm ? 1 : 2, Conversions(graph.Launch));
        Assert.Equal(eager, TensorCoreDevice.Download(backend, y));
        Assert.Equal(1, Conversions(Product));
        Assert.Equal(eager, TensorCoreDevice.Download(backend, y));

        // Its memory is not constant in other hands.
        graph.Dispose();
        weight.Dispose();
        DeviceBuffer again = backend.Rent(Width * Width);
        backend.Upload(Values(3, Width * Width), again);
        GpuGraph another = backend.Capture(() => backend.MatMul(new MatMulArgs(Rows, Width, Width) { TransposeB = true }, x, again, y));
        Assert.Equal(2, Conversions(another.Launch));
        another.Dispose();
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[source, x, y, again]) backend.Return(buffer);
        Assert.Equal(0, backend.RentedBytes);

        void Product() => backend.MatMulPacked(weight, Rows, x, y, default, default);

        static int Conversions(Action action) => TensorCoreDevice.Launched(action).Count(launch => launch.Kernel.StartsWith("ToBFloat16", StringComparison.Ordinal));
    }

    /// <summary>A memory keeps one copy: while that of an operand is read, none of the result is written in its place.</summary>
    [Fact]
    public void A_result_beside_its_operand_leaves_the_copy_of_the_operand()
    {
        using GpuBackend backend = TensorCoreDevice.Create();
        DeviceBuffer both = TensorCoreDevice.Upload(backend, Values(1, 2 * Rows * Width)), weight = TensorCoreDevice.Upload(backend, Values(2, Width * Width));
        DeviceBuffer operand = both.Slice(0, Rows * Width), result = both.Slice(Rows * Width, Rows * Width), elsewhere = backend.Rent(Rows * Width), square = backend.Rent(Width * Width);

        // Keeps the copy of the one part, and remembers that the other was converted last.
        backend.MatMul(new MatMulArgs(Width, Width, Rows) { TransposeA = true }, operand, result, square);
        backend.MatMul(new MatMulArgs(Rows, Width, Width), operand, weight, result);
        backend.MatMul(new MatMulArgs(Rows, Width, Width), operand, weight, elsewhere);
        Assert.Equal(TensorCoreDevice.Download(backend, elsewhere), TensorCoreDevice.Download(backend, result));
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[both, weight, elsewhere, square]) backend.Return(buffer);
        Assert.Equal(0, backend.RentedBytes);
    }

    private static float[] Values(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (random.NextSingle() - 0.4f) * 0.5f)];
    }
}
