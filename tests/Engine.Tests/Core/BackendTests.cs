using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Memory and threads of the CPU backend.</summary>
public sealed class BackendTests
{
    /// <summary>An operation that fails on one number, to see what becomes of an exception on a worker thread.</summary>
    private readonly struct FailsOnSeven : IUnaryOp
    {
        public static float Forward(float x) => x == 7f ? throw new InvalidOperationException("seven") : x;

        public static float Derivative(float x, float y) => 1f;
    }

    /// <summary>Without vector methods, as a user's first operation would be.</summary>
    private readonly struct PlusOne : IUnaryOp
    {
        public static float Forward(float x) => x + 1f;

        public static float Derivative(float x, float y) => 1f;
    }

    [Fact]
    public void ReturnedMemoryIsRentedAgain()
    {
        using CpuBackend backend = new(threads: 1);
        DeviceBuffer first = backend.Rent(1000);
        backend.Return(first);
        DeviceBuffer second = backend.Rent(1001);
        Assert.Same(first.Memory, second.Memory);
        Assert.Equal(1001, second.Length);
        Assert.Equal(1, backend.RentedCount);
        Assert.True(backend.RentedBytes is >= 4004 and < 4004 * 9 / 8);
        backend.Return(second);
        Assert.Equal(0, backend.RentedCount);
        Assert.True(backend.CachedBytes > 0);
        backend.Trim();
        Assert.Equal(0, backend.CachedBytes);
    }

    [Fact]
    public void ReturningTwiceIsAnError()
    {
        using CpuBackend backend = new(threads: 1);
        DeviceBuffer buffer = backend.Rent(10);
        backend.Return(buffer);
        Assert.Contains("twice", Assert.Throws<InvalidOperationException>(() => backend.Return(buffer)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void GuardsSeeAWriteBehindTheEnd()
    {
        using CpuBackend backend = new(threads: 1, checkGuards: true);
        DeviceBuffer buffer = backend.Rent(5);
        Span<float> values = stackalloc float[5];
        backend.Download(buffer, values);
        Assert.True(float.IsNaN(values[4]));
        backend.Fill(buffer with { Length = 6 }, 1f);
        Assert.Contains("outside", Assert.Throws<InvalidOperationException>(() => backend.Return(buffer)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SlicesStayInside()
    {
        using CpuBackend backend = new(threads: 1);
        DeviceBuffer buffer = backend.Rent(10);
        Assert.Equal(4, buffer.Slice(6, 4).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(7, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(-1, 4));
        Assert.True(default(DeviceBuffer).IsNull);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void ManySmallJobsFromManyCallersAreAllDone(int threads)
    {
        using CpuBackend backend = new(threads);
        Parallel.For(0, 4, caller =>
        {
            const int Length = 100_000;                     // seven chunks
            DeviceBuffer x = backend.Rent(Length), y = backend.Rent(Length);
            float[] values = new float[Length];
            for (int round = 0; round < 300; round++)
            {
                backend.Fill(x, round + caller);
                backend.Unary<PlusOne>(x, y);
                backend.Download(y, values);
                Assert.DoesNotContain(values, value => value != round + caller + 1);
                if (round % 100 == 0) Thread.Sleep(2);      // lets the workers fall asleep
            }

            backend.Return(x);
            backend.Return(y);
        });
        Assert.Equal(0, backend.RentedCount);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void AFailureOnAWorkerReachesTheCaller(int threads)
    {
        using CpuBackend backend = new(threads);
        DeviceBuffer x = backend.Rent(100_000);
        backend.Fill(x, 7f);
        Assert.Contains("seven", Assert.Throws<InvalidOperationException>(() => backend.Unary<FailsOnSeven>(x, x)).Message, StringComparison.Ordinal);
        backend.Fill(x, 1f);
        backend.Unary<PlusOne>(x, x);
        Span<float> last = stackalloc float[1];
        backend.Download(x.Slice(99_999, 1), last);
        Assert.Equal(2f, last[0]);
    }

    [Fact]
    public void ATierTheMachineLacksIsRefused()
    {
        Assert.SkipWhen(CpuBackend.WidestTier == SimdTier.Vector512, "This machine has every tier.");
        Assert.Throws<PlatformNotSupportedException>(() => new CpuBackend(tier: SimdTier.Vector512));
    }

    [Fact]
    public void NamesTheDevice()
    {
        using Device device = Device.CreateCpu(1, SimdTier.Scalar);
        Assert.Equal("cpu-scalar", device.ToString());
        Assert.Equal(1, ((CpuBackend)device.Backend).ThreadCount);
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.CreateCpu(-1));
        Device.Cpu.Dispose();                               // the shared one stays usable
        using Tensor tensor = Tensor.FromScalar(3f);
        Assert.Equal(3f, tensor.Item());
    }
}
