using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>
/// What travels on a stream of its own comes between the kernels before and after it, whenever the device gets to it: here as late as it may, when somebody
/// waits.
/// </summary>
public sealed class StreamTests : StandInDriverTest
{
    private const int Rounds = 20;

    /// <summary>Smaller and larger than what travels beside the kernels, and more at a time than there are blocks.</summary>
    [Theory]
    [InlineData(1000)]
    [InlineData(70_000)]
    [InlineData(100_000)]
    public void Uploads_come_between_the_kernels_however_late_they_are_done(int length) => Assert.Equal(Expected(length), Run(length));

    /// <summary>The test can fail: a stream that does not wait for the copies reads what is not there yet.</summary>
    [Fact]
    public void A_missing_wait_is_seen()
    {
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver leaves waits out.");
        _ = Backend;
        StandInDriver.IgnoresWaits = true;
        try
        {
            Assert.NotEqual(Expected(70_000), Run(70_000));
        }
        finally
        {
            StandInDriver.IgnoresWaits = false;
        }
    }

    private static float Value(int round, int i) => (round * 131) + (i % 97);

    private static float[] Expected(int length) => [.. Enumerable.Range(0, Rounds).Select(round => -Value(round, length - 1))];

    /// <summary>Uploads into one buffer, over and over, and what a kernel saw of each; nothing is waited for until the end.</summary>
    private float[] Run(int length)
    {
        GpuBackend backend = Backend;
        DeviceBuffer x = backend.Rent(length), last = backend.Rent(Rounds);
        DeviceBuffer[] negated = [.. Enumerable.Range(0, Rounds).Select(_ => backend.Rent(length))];
        float[] seen = new float[Rounds], values = new float[length];
        StandInDriver.IsLazy = true;
        try
        {
            for (int round = 0; round < Rounds; round++)
            {
                for (int i = 0; i < length; i++) values[i] = Value(round, i);
                backend.Upload(values, x);
                backend.Unary<Negate>(x, negated[round]);
                backend.Copy(negated[round].Slice(length - 1, 1), last.Slice(round, 1));
            }

            backend.Download(last, seen);
        }
        finally
        {
            StandInDriver.IsLazy = false;
        }

        foreach (DeviceBuffer buffer in (DeviceBuffer[])[x, last, .. negated]) backend.Return(buffer);
        return seen;
    }
}
