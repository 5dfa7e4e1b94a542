using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu.Cuda;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>Tests that listen to the stand-in driver, which is one for all: nothing runs beside them.</summary>
[CollectionDefinition(nameof(StandInDriver), DisableParallelization = true)]
public sealed class ListeningTests;

/// <summary>
/// Products on simulated tensor cores against sums in double precision over operands that are rounded in the same way, so that what is left is
/// the rounding of float32 sums. All edges are ragged, and matrices start anywhere.
/// </summary>
[Collection(nameof(StandInDriver))]
public sealed class TensorCoreMatMulTests
{
    /// <summary>Error of a sum of at most 700 products of numbers between -1 and 1, in float32.</summary>
    private const double Tolerance = 3e-5;

    [Theory]
    [InlineData("64x64", "NT", 100, 72, 200, 1, 1, 1)]
    [InlineData("64x64", "NN", 65, 40, 77, 2, 3, 1)]
    [InlineData("64x64", "TN", 70, 70, 500, 1, 2, 3)]
    [InlineData("64x64", "TT", 33, 97, 64, 2, 1, 1)]
    [InlineData("128x128", "NT", 200, 130, 100, 1, 1, 1)]
    [InlineData("128x128", "NN", 129, 131, 90, 1, 2, 1)]
    [InlineData("128x128", "TN", 130, 130, 130, 1, 1, 2)]
    [InlineData("128x128", "TT", 50, 77, 65, 1, 2, 1)]
    [InlineData("128x256", "NT", 200, 264, 192, 1, 1, 1)]
    [InlineData("128x256", "NN", 130, 300, 333, 1, 1, 1)]
    [InlineData("128x256", "TN", 130, 300, 333, 1, 1, 2)]
    [InlineData("128x256", "TT", 40, 260, 70, 2, 1, 1)]
    public void Bfloat16_by_mma_equals_the_reference(string tile, string layout, int rows, int columns, int depth, int outer, int inner, int parts)
        => Check(MatMulPrecision.BFloat16, Enum.Parse<TensorCoreTileSize>("Tile" + tile), layout, rows, columns, depth, outer, inner, parts);

    [Theory]
    [InlineData(256, "NT", 200, 520, 200, 1, 1, 1)]
    [InlineData(256, "NN", 130, 300, 333, 2, 1, 1)]
    [InlineData(256, "TN", 200, 260, 700, 1, 1, 3)]
    [InlineData(256, "TT", 130, 301, 72, 1, 2, 1)]
    [InlineData(256, "NT", 16, 24, 100, 1, 140, 1)]
    [InlineData(192, "NT", 200, 400, 200, 1, 1, 1)]
    [InlineData(192, "NN", 130, 200, 333, 2, 1, 1)]
    [InlineData(192, "TN", 200, 194, 700, 1, 1, 3)]
    [InlineData(192, "TT", 130, 331, 72, 1, 2, 1)]
    [InlineData(192, "NT", 16, 24, 100, 1, 140, 1)]
    public void Bfloat16_by_wgmma_equals_the_reference(int width, string layout, int rows, int columns, int depth, int outer, int inner, int parts)
        => Check(MatMulPrecision.BFloat16, Enum.Parse<TensorCoreTileSize>($"Wgmma128x{width}"), layout, rows, columns, depth, outer, inner, parts);

    /// <summary>Rows and offsets that are multiples of 4 are read where they lie; of others there are padded copies.</summary>
    [Theory]
    [InlineData("64x64", "NN", 68, 36, 100, 2, 1, 1, 4)]
    [InlineData("64x64", "TT", 68, 68, 68, 1, 2, 1, 4)]
    [InlineData("64x64", "NT", 64, 64, 62, 1, 1, 1, 0)]
    [InlineData("64x64", "NN", 64, 30, 64, 2, 2, 1, 0)]
    [InlineData("64x64", "TN", 65, 43, 101, 2, 1, 1, 3)]
    [InlineData("64x64", "TT", 67, 69, 70, 1, 2, 1, 1)]
    [InlineData("128x128", "NT", 132, 132, 68, 1, 1, 1, 4)]
    [InlineData("128x128", "TN", 132, 132, 200, 1, 1, 3, 4)]
    [InlineData("128x128", "NT", 129, 131, 90, 1, 2, 1, 2)]
    [InlineData("128x128", "TT", 132, 132, 68, 1, 1, 1, 3)]
    [InlineData("128x256", "NT", 130, 260, 100, 1, 1, 1, 4)]
    [InlineData("128x256", "NN", 132, 260, 100, 1, 1, 1, 4)]
    [InlineData("128x256", "TN", 132, 260, 100, 1, 1, 1, 4)]
    [InlineData("128x256", "NN", 130, 299, 66, 1, 1, 1, 3)]
    [InlineData("128x256", "TN", 133, 262, 133, 1, 1, 2, 1)]
    public void Tf32_equals_the_reference(string tile, string layout, int rows, int columns, int depth, int outer, int inner, int parts, int offset)
        => Check(MatMulPrecision.TensorFloat32, Enum.Parse<TensorCoreTileSize>("Tile" + tile), layout, rows, columns, depth, outer, inner, parts, offset);

    /// <summary>wgmma takes float32 with contiguous depth alone; the copies by TMA round it.</summary>
    [Theory]
    [InlineData(256, 200, 520, 200, 1, 1, 1, 4)]
    [InlineData(256, 130, 300, 36, 2, 1, 1, 4)]
    [InlineData(256, 200, 260, 332, 1, 1, 3, 4)]
    [InlineData(256, 16, 24, 100, 1, 140, 1, 4)]
    [InlineData(256, 130, 270, 61, 2, 1, 1, 3)]
    [InlineData(256, 40, 260, 64, 1, 1, 1, 1)]
    [InlineData(192, 200, 400, 200, 1, 1, 1, 4)]
    [InlineData(192, 130, 200, 332, 2, 1, 3, 4)]
    [InlineData(192, 130, 200, 199, 1, 2, 3, 2)]
    public void Tf32_by_wgmma_equals_the_reference(int width, int rows, int columns, int depth, int outer, int inner, int parts, int offset)
        => Check(MatMulPrecision.TensorFloat32, Enum.Parse<TensorCoreTileSize>($"Wgmma128x{width}"), "NT", rows, columns, depth, outer, inner, parts, offset);

    /// <summary>Sizes and offsets by chance: what is worth tensor cores is multiplied by them, whatever they need for it.</summary>
    [Theory]
    [InlineData(MatMulPrecision.BFloat16)]
    [InlineData(MatMulPrecision.TensorFloat32)]
    public void Every_shape_that_is_worth_it_is_multiplied_by_tensor_cores(MatMulPrecision precision)
    {
        using GpuBackend backend = CreateBackend();
        backend.Precision = precision;
        Random random = new(5);
        for (int i = 0; i < 24; i++)
        {
            MatMulArgs args = new(random.Next(32, 80), random.Next(32, 80), random.Next(32, 80)) { TransposeA = (i & 1) != 0, TransposeB = (i & 2) != 0 };
            float[] valuesA = Numbers(args.Rows * args.Depth, i), valuesB = Numbers(args.Depth * args.Columns, i + 100), result = new float[args.Rows * args.Columns];
            DeviceBuffer a = Upload(backend, valuesA, random.Next(8)), b = Upload(backend, valuesB, random.Next(8)), c = backend.Rent(result.Length);
            AssertOnTensorCores(Launched(() => backend.MatMul(args, a, b, c)));
            backend.Download(c, result);
            AssertNear(Reference(args, Rounded(valuesA, precision), Rounded(valuesB, precision)), result);
            foreach (DeviceBuffer buffer in (DeviceBuffer[])[a, b, c]) backend.Return(buffer);
            Assert.Equal(0, backend.RentedCount);
        }
    }

    /// <summary>Batch strides of 0: one matrix for all products, or (which no tensor map can say) for those along one axis of the batch.</summary>
    [Theory]
    [InlineData(MatMulPrecision.BFloat16, "Wgmma128x256", "NT", "one", "many", 1)]
    [InlineData(MatMulPrecision.BFloat16, "Wgmma128x256", "TN", "many", "one", 1)]
    [InlineData(MatMulPrecision.BFloat16, "Wgmma128x192", "NN", "one", "one", 1)]
    [InlineData(MatMulPrecision.BFloat16, "Wgmma128x192", "TT", "many", "one", 2)]
    [InlineData(MatMulPrecision.TensorFloat32, "Wgmma128x256", "NT", "many", "one", 1)]
    [InlineData(MatMulPrecision.TensorFloat32, "Wgmma128x192", "NT", "one", "many", 2)]
    [InlineData(MatMulPrecision.BFloat16, "Tile128x256", "NT", "one", "many", 1)]
    [InlineData(MatMulPrecision.BFloat16, "Tile128x128", "TN", "many", "one", 2)]
    [InlineData(MatMulPrecision.BFloat16, "Tile64x64", "NN", "inner", "outer", 1)]
    [InlineData(MatMulPrecision.TensorFloat32, "Tile64x64", "NN", "outer", "one", 1)]
    [InlineData(MatMulPrecision.TensorFloat32, "Tile128x128", "TT", "one", "inner", 1)]
    public void Products_may_share_an_operand(MatMulPrecision precision, string tile, string layout, string left, string right, int parts)
    {
        const int Rows = 37, Columns = 50, Depth = 70, Outer = 2, Inner = 3;
        using GpuBackend backend = CreateBackend();
        backend.Precision = precision;
        backend.FixedTile = (Enum.Parse<TensorCoreTileSize>(tile), parts);
        (int matricesA, int outerA, int innerA) = Strides(left, Rows * Depth);
        (int matricesB, int outerB, int innerB) = Strides(right, Depth * Columns);
        MatMulArgs args = new(Rows, Columns, Depth)
        {
            TransposeA = layout[0] == 'T',
            TransposeB = layout[1] == 'T',
            OuterBatch = Outer,
            InnerBatch = Inner,
            OuterStrideA = outerA,
            InnerStrideA = innerA,
            OuterStrideB = outerB,
            InnerStrideB = innerB,
        };
        float[] valuesA = Numbers(matricesA * Rows * Depth, 1), valuesB = Numbers(matricesB * Depth * Columns, 2), result = new float[Outer * Inner * Rows * Columns];
        DeviceBuffer a = Upload(backend, valuesA), b = Upload(backend, valuesB), c = backend.Rent(result.Length);
        AssertLaunched(tile, Launched(() => backend.MatMul(args, a, b, c)));
        backend.Download(c, result);
        AssertNear(Reference(args, Rounded(valuesA, precision), Rounded(valuesB, precision)), result);
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[a, b, c]) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);

        static (int Matrices, int Outer, int Inner) Strides(string matrices, int size) => matrices switch
        {
            "one" => (1, 0, 0),
            "outer" => (Outer, size, 0),
            "inner" => (Inner, 0, size),
            _ => (Outer * Inner, Inner * size, size),
        };
    }

    /// <summary>A tile by wgmma cannot be forced on operands that wgmma does not take: TF32 with contiguous steps, and matrices that are not evenly spaced.</summary>
    [Fact]
    public void Wgmma_is_refused_where_it_would_be_wrong()
    {
        using GpuBackend backend = CreateBackend();
        backend.FixedTile = (TensorCoreTileSize.Wgmma128x192, 1);
        DeviceBuffer a = Upload(backend, Numbers(2 * 32 * 32, 1)), b = Upload(backend, Numbers(32 * 32, 2)), c = backend.Rent(4 * 32 * 32);
        backend.Precision = MatMulPrecision.TensorFloat32;
        Assert.Throws<InvalidOperationException>(() => backend.MatMul(new MatMulArgs(32, 32, 32), a.Slice(0, 32 * 32), b, c.Slice(0, 32 * 32)));
        backend.Precision = MatMulPrecision.BFloat16;
        Assert.Throws<InvalidOperationException>(() => backend.MatMul(new MatMulArgs(32, 32, 32) { OuterBatch = 2, InnerBatch = 2, OuterStrideA = 32 * 32 }, a, b, c));
    }

    /// <summary>
    /// C = GELU(z) + residual with z = α · sums + β · C + bias, which is stored: 128 bits at a time. C was an operand before, so that its copy is written
    /// beside it; the product of it says whether both agree.
    /// </summary>
    [Theory]
    [InlineData(MatMulPrecision.BFloat16, "Wgmma128x256", 140, 264)]
    [InlineData(MatMulPrecision.BFloat16, "Wgmma128x192", 140, 264)]
    [InlineData(MatMulPrecision.TensorFloat32, "Wgmma128x256", 140, 264)]
    [InlineData(MatMulPrecision.BFloat16, "Tile128x256", 140, 264)]
    [InlineData(MatMulPrecision.TensorFloat32, "Tile128x256", 140, 264)]
    [InlineData(MatMulPrecision.BFloat16, "Tile128x128", 140, 136)]
    [InlineData(MatMulPrecision.BFloat16, "Tile64x64", 70, 72)]
    public void The_epilogue_applies_an_activation(MatMulPrecision precision, string tile, int rows, int columns)
    {
        const int Depth = 40, NextColumns = 32;
        using GpuBackend backend = CreateBackend();
        backend.Precision = precision;
        backend.FixedTile = (Enum.Parse<TensorCoreTileSize>(tile), 1);
        MatMulArgs args = new(rows, columns, Depth) { TransposeB = true, Alpha = 0.3f, Beta = 0.5f }, next = new(rows, NextColumns, columns) { TransposeB = true };
        float[] valuesA = Numbers(rows * Depth, 1), valuesB = Numbers(columns * Depth, 2), valuesBias = Numbers(columns, 3), valuesResidual = Numbers(rows * columns, 4);
        float[] valuesC = Numbers(rows * columns, 5), valuesWeight = Numbers(NextColumns * columns, 6), z = new float[rows * columns], result = new float[rows * columns], product = new float[rows * NextColumns];
        DeviceBuffer a = Upload(backend, valuesA), b = Upload(backend, valuesB), bias = Upload(backend, valuesBias), residual = Upload(backend, valuesResidual);
        DeviceBuffer c = Upload(backend, valuesC), preActivation = backend.Rent(rows * columns), weight = Upload(backend, valuesWeight), after = backend.Rent(product.Length);
        backend.MatMul(next, c, weight, after);
        AssertLaunched(tile, Launched(() => backend.MatMul<Gelu>(args, a, b, c, bias, residual, preActivation)));
        backend.Download(c, result);
        backend.Download(preActivation, z);
        double[] expected = [.. Reference(args, Rounded(valuesA, precision), Rounded(valuesB, precision)).Select((sum, i) => (0.3 * sum) + (0.5 * valuesC[i]) + valuesBias[i % columns])];
        AssertNear(expected, z);
        AssertNear([.. expected.Select((value, i) => Gelu.Forward((float)value) + (double)valuesResidual[i])], result);

        List<string> launched = Launched(() => backend.MatMul(next, c, weight, after));
        Assert.DoesNotContain(launched, name => name.StartsWith("ToBFloat16Kernel", StringComparison.Ordinal));
        backend.Download(after, product);
        AssertNear(Reference(next, Rounded(result, precision), Rounded(valuesWeight, precision)), product);
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[a, b, c, bias, residual, preActivation, weight, after]) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>A parameter is converted once for each change of it, and its copy goes back to the pool with it.</summary>
    [Fact]
    public void Operands_are_converted_once()
    {
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver tells what is launched.");
        using GpuBackend backend = CreateBackend();
        backend.Precision = MatMulPrecision.BFloat16;
        MatMulArgs args = new(64, 64, 64) { TransposeB = true };
        DeviceBuffer a = Upload(backend, Numbers(64 * 64, 1)), b = Upload(backend, Numbers(64 * 64, 2)), c = backend.Rent(64 * 64);
        Assert.Equal(2, Conversions());
        Assert.Equal(0, Conversions());
        backend.Upload(Numbers(64 * 64, 3), a);
        Assert.Equal(1, Conversions());
        Assert.Equal(5, backend.RentedCount);
        float[] result = new float[64 * 64];
        backend.Download(c, result);
        AssertNear(Reference(args, Rounded(Numbers(64 * 64, 3), MatMulPrecision.BFloat16), Rounded(Numbers(64 * 64, 2), MatMulPrecision.BFloat16)), result);
        backend.Return(a);
        backend.Return(b);
        backend.Return(c);
        Assert.Equal(0, backend.RentedCount);

        int Conversions() => Launched(() => backend.MatMul(args, a, b, c)).Count(name => name.StartsWith("ToBFloat16Kernel", StringComparison.Ordinal));
    }

    /// <summary>Two parts of one memory as the two operands of a product: each has a copy of its own.</summary>
    [Fact]
    public void Both_operands_may_lie_in_one_memory()
    {
        using GpuBackend backend = CreateBackend();
        backend.Precision = MatMulPrecision.BFloat16;
        MatMulArgs args = new(32, 40, 64) { TransposeB = true };
        float[] values = Numbers(72 * 64, 4), result = new float[32 * 40];
        DeviceBuffer both = Upload(backend, values), c = backend.Rent(32 * 40);
        backend.MatMul(args, both.Slice(0, 32 * 64), both.Slice(32 * 64, 40 * 64), c);
        backend.Download(c, result);
        float[] rounded = Rounded(values, MatMulPrecision.BFloat16);
        AssertNear(Reference(args, rounded[..(32 * 64)], rounded[(32 * 64)..]), result);
        backend.Return(both);
        backend.Return(c);
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>The places of tensor maps are used again while a launch has one of its maps already.</summary>
    [Fact]
    public void Tensor_maps_of_a_launch_stay_when_their_places_are_used_again()
    {
        using GpuBackend backend = CreateBackend();
        backend.Precision = MatMulPrecision.BFloat16;
        backend.FixedTile = (TensorCoreTileSize.Wgmma128x192, 1);
        backend.TensorMapCapacity = TensorMaps.MapsOfLaunch + 3;
        MatMulArgs args = new(32, 40, 64) { TransposeB = true };
        float[] a = Numbers(32 * 64, 1), result = new float[32 * 40], roundedA = Rounded(a, MatMulPrecision.BFloat16);
        DeviceBuffer left = Upload(backend, a), c = backend.Rent(32 * 40);
        List<DeviceBuffer> rights = [];
        for (int i = 0; i < 40; i++)
        {
            // Now and then an old one again.
            bool isNew = i % 5 != 4;
            int seed = isNew ? i + 2 : 2;
            if (isNew) rights.Add(Upload(backend, Numbers(40 * 64, seed)));
            backend.MatMul(args, left, isNew ? rights[^1] : rights[0], c);
            backend.Download(c, result);
            AssertNear(Reference(args, roundedA, Rounded(Numbers(40 * 64, seed), MatMulPrecision.BFloat16)), result);
        }

        foreach (DeviceBuffer buffer in (DeviceBuffer[])[left, c, .. rights]) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>The table: large products take the largest tile, deep ones with a small result are divided, small ones take small tiles.</summary>
    [Fact]
    public void The_plan_follows_the_sizes()
    {
        const int Multiprocessors = 132, Shared = 227 * 1024;
        TensorCorePlan large = TensorCorePlan.For(new MatMulArgs(8192, 8192, 8192), 64, Multiprocessors, Shared, hasWgmma: true);
        Assert.Equal(new TensorCorePlan(TensorCoreTileSize.Wgmma128x256, 1, 8192), large);
        foreach ((int rows, int columns, int depth, TensorCoreTileSize tile) in ((int, int, int, TensorCoreTileSize)[])
        [
            (2048, 2048, 2048, TensorCoreTileSize.Wgmma128x256),       // 128 blocks: one wave either way
            (4096, 3072, 768, TensorCoreTileSize.Wgmma128x256),        // 384: three waves, nearly full
            (4096, 2304, 768, TensorCoreTileSize.Wgmma128x192),        // 288: a third wave that is nearly empty; 384 of 192 columns fill it
            (12608, 768, 3072, TensorCoreTileSize.Wgmma128x192),       // 297; 396
            (4096, 768, 3072, TensorCoreTileSize.Wgmma128x192),        // 96 of 132 multiprocessors; 128
        ])
            Assert.Equal(new TensorCorePlan(tile, 1, depth), TensorCorePlan.For(new MatMulArgs(rows, columns, depth), 64, Multiprocessors, Shared, hasWgmma: true));
        TensorCorePlan ampere = TensorCorePlan.For(new MatMulArgs(8192, 8192, 8192), 64, Multiprocessors, 99 * 1024, hasWgmma: false);
        Assert.Equal(TensorCoreTileSize.Tile128x128, ampere.Tile);
        TensorCorePlan deep = TensorCorePlan.For(new MatMulArgs(768, 768, 16384), 64, Multiprocessors, Shared, hasWgmma: true);
        Assert.InRange(deep.Parts, 2, 16);
        Assert.Equal(0, deep.PartDepth % 64);
        TensorCorePlan small = TensorCorePlan.For(new MatMulArgs(512, 512, 256), 64, Multiprocessors, Shared, hasWgmma: true);
        Assert.Equal(new TensorCorePlan(TensorCoreTileSize.Tile64x64, 1, 256), small);
    }

    /// <summary>Without anything else, then as C = α · sums + β · C + bias + residual, from the middle of larger memories.</summary>
    private static void Check(MatMulPrecision precision, TensorCoreTileSize tile, string layout, int rows, int columns, int depth, int outer, int inner, int parts, int offset = 3)
    {
        using GpuBackend backend = CreateBackend();
        backend.Precision = precision;
        backend.FixedTile = (tile, parts);
        int products = outer * inner;
        MatMulArgs args = new(rows, columns, depth)
        {
            TransposeA = layout[0] == 'T',
            TransposeB = layout[1] == 'T',
            OuterBatch = outer,
            InnerBatch = inner,
            OuterStrideA = inner * rows * depth,
            InnerStrideA = rows * depth,
            OuterStrideB = inner * depth * columns,
            InnerStrideB = depth * columns,
        };

        float[] valuesA = Numbers(products * rows * depth, 1), valuesB = Numbers(products * depth * columns, 2), valuesC = Numbers(products * rows * columns, 3);
        DeviceBuffer a = Upload(backend, valuesA, offset), b = Upload(backend, valuesB, offset), c = Upload(backend, valuesC);
        float[] result = new float[valuesC.Length], roundedA = Rounded(valuesA, precision), roundedB = Rounded(valuesB, precision);
        double[] sums = Reference(args, roundedA, roundedB);
        AssertLaunched(tile.ToString(), Launched(() => backend.MatMul(args, a, b, c)));
        backend.Download(c, result);
        AssertNear(sums, result);

        // An unaligned C takes the way of single elements.
        float[] bias = Numbers(columns, 4), residual = Numbers(valuesC.Length, 5);
        DeviceBuffer biasBuffer = Upload(backend, bias, 1), residualBuffer = Upload(backend, residual, 2), unaligned = Upload(backend, valuesC, 1);
        backend.MatMul(args with { Alpha = 0.7f, Beta = 0.5f }, a, b, unaligned, biasBuffer, residualBuffer);
        backend.Download(unaligned, result);
        AssertNear([.. sums.Select((sum, i) => (0.7 * sum) + (0.5 * valuesC[i]) + bias[i % columns] + residual[i])], result);
        foreach (DeviceBuffer buffer in new[] { a, b, c, biasBuffer, residualBuffer, unaligned }) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);
    }

    private static GpuBackend CreateBackend()
    {
        SimulatedDevice.RequireDriver();

        return GpuBackend.CreateCuda(checkGuards: true);
    }

    /// <summary>Names of the kernels that an action launches.</summary>
    private static List<string> Launched(Action action)
    {
        List<string> names = [];
        StandInDriver.OnLaunch = (kernel, _) => names.Add(kernel.Name);
        try
        {
            action();
        }
        finally
        {
            StandInDriver.OnLaunch = null;
        }

        return names;
    }

    /// <summary>The kernel of a tile is among the launches; only the stand-in driver tells.</summary>
    private static void AssertLaunched(string tile, List<string> launched)
    {
        string kernel = tile.StartsWith("Wgmma", StringComparison.Ordinal) ? "WgmmaMatMulKernel" : "MmaMatMulKernel";
        if (!StandInDriver.UsesRealDriver) Assert.Contains(launched, name => name.StartsWith(kernel, StringComparison.Ordinal));
    }

    /// <summary>A kernel of the tensor cores is among the launches; only the stand-in driver tells.</summary>
    private static void AssertOnTensorCores(List<string> launched)
    {
        if (StandInDriver.UsesRealDriver) return;
        Assert.Contains(launched, name => name.StartsWith("MmaMatMulKernel", StringComparison.Ordinal) || name.StartsWith("WgmmaMatMulKernel", StringComparison.Ordinal));
    }

    private static DeviceBuffer Upload(GpuBackend backend, float[] values, int offset = 0)
    {
        DeviceBuffer buffer = backend.Rent(values.Length + offset).Slice(offset, values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    /// <summary>None lies halfway between two numbers of TF32: which way those go is nobody's promise.</summary>
    private static float[] Numbers(int count, int seed)
    {
        Random random = new(seed);
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits((random.NextSingle() * 2f) - 1f);
            numbers[i] = BitConverter.UInt32BitsToSingle((bits & 0x1FFF) == 0x1000 ? bits + 1 : bits);
        }

        return numbers;
    }

    /// <summary>bfloat16: to nearest even; TF32: to nearest, ties away from zero.</summary>
    private static float[] Rounded(float[] values, MatMulPrecision precision) => [.. values.Select(x =>
    {
        uint bits = BitConverter.SingleToUInt32Bits(x);
        bits = precision == MatMulPrecision.BFloat16 ? (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000 : (bits + 0x1000) & 0xFFFFE000;
        return BitConverter.UInt32BitsToSingle(bits);
    })];

    private static double[] Reference(in MatMulArgs args, float[] a, float[] b)
    {
        int products = args.OuterBatch * args.InnerBatch;
        double[] c = new double[products * args.Rows * args.Columns];
        for (int product = 0; product < products; product++)
        {
            int startA = (product / args.InnerBatch * args.OuterStrideA) + (product % args.InnerBatch * args.InnerStrideA);
            int startB = (product / args.InnerBatch * args.OuterStrideB) + (product % args.InnerBatch * args.InnerStrideB);
            for (int i = 0; i < args.Rows; i++)
            {
                for (int j = 0; j < args.Columns; j++)
                {
                    double sum = 0;
                    for (int k = 0; k < args.Depth; k++)
                    {
                        sum += (double)a[startA + (args.TransposeA ? (k * args.Rows) + i : (i * args.Depth) + k)]
                            * b[startB + (args.TransposeB ? (j * args.Depth) + k : (k * args.Columns) + j)];
                    }

                    c[(((product * args.Rows) + i) * args.Columns) + j] = sum;
                }
            }
        }

        return c;
    }

    private static void AssertNear(double[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
            if (!(Math.Abs(expected[i] - actual[i]) <= Tolerance)) Assert.Fail($"Element {i} is {actual[i]}, not {expected[i]}.");
    }
}
