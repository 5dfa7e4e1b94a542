using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>
/// Copies in bfloat16 that are kept with memory are never out of date: random sequences of operations on few blocks of memory, beside the same
/// sequences on a device that forgets its copies before each operation. All memory has the same bits after each.
/// </summary>
[Collection(nameof(StandInDriver))]
public sealed class CopyCacheTests
{
    /// <summary>A region has Rows x Width elements, enough for two groups of a product, and a block of memory has two regions.</summary>
    private const int Rows = 72, Width = 64, RegionLength = Rows * Width, Blocks = 4;

    private const int Seeds = 20, StepsOfCycle = 12, Cycles = 3;

    private static readonly AttentionShape Shape = new(1, 1, 1, Rows, Rows, Width, Width, 0.125f, Causal: false, 0, 0);

    private readonly List<Operation> _program = [];
    private int _written;

    [Fact]
    public void Kept_copies_change_no_bit()
    {
        using GpuBackend backend = TensorCoreDevice.Create(), forgetful = TensorCoreDevice.Create();
        int[] conversions = new int[2];
        int running = 0;
        StandInDriver.OnLaunch = (kernel, _) =>
        {
            if (kernel.Name.StartsWith("ToBFloat16Kernel", StringComparison.Ordinal)) conversions[running]++;
        };
        try
        {
            for (int seed = 0; seed < Seeds; seed++)
            {
                Random random = new(seed);
                Side side = new(backend, seed), reference = new(forgetful, seed);
                for (int step = 0; step < Cycles * StepsOfCycle; step++) Compare(side, reference, Next(random, step), $"seed {seed}, step {step}", step);
                side.Return();
                reference.Return();
            }
        }
        finally
        {
            StandInDriver.OnLaunch = null;
        }

        Assert.Equal(0, backend.RentedBytes);
        Assert.Equal(0, forgetful.RentedBytes);
        if (!StandInDriver.UsesRealDriver) Assert.InRange(conversions[0], 1, conversions[1] * 9 / 10);

        void Compare(Side side, Side reference, Operation operation, string where, int step)
        {
            running = 0;
            operation.Run(side);
            running = 1;
            reference.ForgetCopies();
            operation.Run(reference);
            for (int block = 0; block < Blocks; block++)
            {
                float[] expected = reference.Values(block), actual = side.Values(block);
                for (int i = 0; i < expected.Length; i++)
                {
                    if (BitConverter.SingleToUInt32Bits(expected[i]) != BitConverter.SingleToUInt32Bits(actual[i]))
                        Assert.Fail($"{where}, {operation.Name}: element {i} of block {block} is {actual[i]}, not {expected[i]}.");
                }

                // Sums that grow from step to step would end as NaN, which is equal to any other.
                if (actual.Max(MathF.Abs) <= 20f) continue;
                float[] others = Values((step * Blocks) + block, actual.Length);
                side.Upload(block, others);
                reference.Upload(block, others);
            }
        }
    }

    /// <summary>A program of four operations twice and, without the last of them, once more, as training repeats itself; then one that comes once.</summary>
    private Operation Next(Random random, int step)
    {
        int place = step % StepsOfCycle;
        if (place == 0)
        {
            _program.Clear();
            for (int i = 0; i < 4; i++) _program.Add(Draw(random));
        }

        return place switch
        {
            < 8 => _program[place % 4],
            < 11 => _program[place - 8],
            _ => Draw(random),
        };
    }

    /// <summary>An operation on regions by chance, the first operand mostly the last result; what it writes is none of what it reads.</summary>
    private Operation Draw(Random random)
    {
        int[] regions = [.. Enumerable.Range(0, 2 * Blocks)];
        random.Shuffle(regions);
        int last = Array.IndexOf(regions, _written), seed = random.Next(), block = regions[0] / 2, otherBlock = (block + random.Next(1, Blocks)) % Blocks;
        if (last > 1 && random.Next(4) != 0) (regions[1], regions[last]) = (regions[last], regions[1]);
        _written = regions[0];
        bool adds = random.Next(3) == 0;
        float beta = adds ? 0.5f : 0f;
        DeviceBuffer Of(Side side, int index) => side.Region(regions[index]);
        DeviceBuffer Square(Side side, int index) => Of(side, index).Slice(0, Width * Width);
        GradientTarget Gradient(Side side, int index) => new(Of(side, index), adds);
        switch (random.Next(20))
        {
            case 0 or 1 or 2 or 3 or 4 or 5:
                return new("product", side => side.Backend.MatMul(new MatMulArgs(Rows, Width, Width) { Alpha = 0.12f, Beta = beta }, Of(side, 1), Square(side, 2), Of(side, 0)));
            case 6:
                return new("product over the rows", side => side.Backend.MatMul<QuickGelu>(
                    new MatMulArgs(Width, Width, Rows) { TransposeA = true, Alpha = 0.15f }, Of(side, 1), Of(side, 2), Square(side, 0), default, default, default));
            case 7:
                // Rows of 60 are padded to 64, and start anywhere.
                int shift = random.Next(RegionLength - (Rows * 60));
                return new("product of ragged rows", side => side.Backend.MatMul(
                    new MatMulArgs(Rows, Width, 60) { Alpha = 0.15f, Beta = beta }, Of(side, 1).Slice(shift, Rows * 60), Of(side, 2).Slice(shift, 60 * Width), Of(side, 0)));
            case 8:
                return new("product of a part of a region", side => side.Backend.MatMul(
                    new MatMulArgs(Width, Width, Width) { Alpha = 0.15f, Beta = beta }, Square(side, 1), Square(side, 2), Square(side, 0)));
            case 9:
                return new("norm", side => side.Backend.LayerNorm(Of(side, 1), side.Weight, default, 1e-5f, Width, Of(side, 0), side.Statistics));
            case 10:
                return new("gradient of a norm", side =>
                {
                    side.Backend.LayerNorm(Of(side, 1), side.Weight, default, 1e-5f, Width, Of(side, 2), side.Statistics);
                    side.Backend.LayerNormBackward(Of(side, 1), side.Weight, side.Statistics, Of(side, 3), Width, Gradient(side, 0), new GradientTarget(side.WeightGradient, Accumulate: false), default);
                });
            case 11:
                return new("gradient of an activation", side => side.Backend.UnaryBackward<QuickGelu>(Of(side, 1), Of(side, 2), Of(side, 3), Gradient(side, 0)));
            case 12:
                return new("attention", side => side.Backend.Attention(Shape with { Causal = adds }, Of(side, 1), Of(side, 2), Of(side, 3), default, default, Of(side, 0), side.Statistics));
            case 13 or 14:
                // Keys may be their own values; one gradient then takes both parts.
                bool areOne = random.Next(2) == 0;
                return new("gradients of attention", side =>
                {
                    DeviceBuffer values = Of(side, areOne ? 2 : 3);
                    side.Backend.Attention(Shape, Of(side, 1), Of(side, 2), values, default, default, Of(side, 4), side.Statistics);
                    side.Backend.AttentionBackward(
                        Shape, Of(side, 1), Of(side, 2), values, default, default, Of(side, 4), side.Statistics, Of(side, 5),
                        new AttentionGradients(Gradient(side, 6), Gradient(side, 0), areOne ? new GradientTarget(Of(side, 0), Accumulate: true) : Gradient(side, 7), default));
                });
            case 15:
                return new("copy", side => side.Backend.Copy(Of(side, 1), Of(side, 0)));
            case 16:
                return new("fill", side => side.Backend.Fill(Of(side, 0), 0.3f));
            case 17:
                return new("upload", side => side.Backend.Upload(Values(seed, RegionLength), Of(side, 0)));
            case 18:
                return new("upload of a part", side => side.Backend.Upload(Values(seed, 100), Of(side, 0).Slice(7, 100)));
            default:
                return new("other memory", side => side.Exchange(block, otherBlock, seed));
        }
    }

    private static float[] Values(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (random.NextSingle() * 2f) - 1f)];
    }

    private sealed record Operation(string Name, Action<Side> Run);

    /// <summary>A device and the memory on it.</summary>
    private sealed class Side
    {
        private readonly DeviceBuffer[] _blocks;

        public Side(GpuBackend backend, int seed)
        {
            Backend = backend;
            _blocks = [.. Enumerable.Range(0, Blocks).Select(i => TensorCoreDevice.Upload(backend, CopyCacheTests.Values((seed * 100) + i, 2 * RegionLength)))];
            Weight = TensorCoreDevice.Upload(backend, CopyCacheTests.Values(9, Width));
            WeightGradient = backend.Rent(Width);
            Statistics = backend.Rent(2 * Rows);
        }

        public GpuBackend Backend { get; }

        public DeviceBuffer Weight { get; }

        public DeviceBuffer WeightGradient { get; }

        public DeviceBuffer Statistics { get; }

        public DeviceBuffer Region(int region) => _blocks[region / 2].Slice(region % 2 * RegionLength, RegionLength);

        public float[] Values(int block) => TensorCoreDevice.Download(Backend, _blocks[block]);

        public void Upload(int block, float[] values) => Backend.Upload(values, _blocks[block]);

        /// <summary>Takes the copies from all memory, and what it remembers of earlier ones.</summary>
        public void ForgetCopies()
        {
            foreach (DeviceBuffer block in _blocks)
            {
                GpuMemory memory = (GpuMemory)block.Memory!;
                memory.LastConverted = default;
                if (memory.Copy is not { } copy) continue;
                memory.Copy = null;
                Backend.Return(copy.Buffer);
            }
        }

        /// <summary>Returns two blocks and rents them anew: the pool hands out the memory of the one for the other.</summary>
        public void Exchange(int one, int other, int seed)
        {
            Backend.Return(_blocks[one]);
            Backend.Return(_blocks[other]);
            foreach (int block in (int[])[one, other])
            {
                _blocks[block] = Backend.Rent(2 * RegionLength);
                Upload(block, CopyCacheTests.Values(seed + block, 2 * RegionLength));
            }
        }

        public void Return()
        {
            foreach (DeviceBuffer buffer in (DeviceBuffer[])[.. _blocks, Weight, WeightGradient, Statistics]) Backend.Return(buffer);
        }
    }
}
