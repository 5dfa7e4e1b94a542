using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>A device whose memory runs out, and uploads in pieces.</summary>
public sealed class DeviceMemoryTests : StandInDriverTest
{
    private const int MebiByte = 1 << 20, MebiByteOfFloats = MebiByte / sizeof(float);

    [Fact]
    public void Rent_FreesTheCacheAndAsksAgain()
    {
        DeviceBuffer kept = Backend.Rent(MebiByteOfFloats);
        CacheOf(4 * MebiByteOfFloats);
        WithMemoryLeft(MebiByte, () =>
        {
            DeviceBuffer larger = Backend.Rent(9 * MebiByteOfFloats / 2);
            Assert.Equal(0, Backend.CachedBytes);
            Backend.Return(larger);
        });
        CacheOf(100);
        WithMemoryLeft(MebiByte, () => Assert.Equal(
            "64 MiB were asked for; 1 MiB are in use, and the 4 MiB that were cached are given back.",
            Assert.Throws<InsufficientMemoryException>(() => Backend.Rent(64 * MebiByteOfFloats)).Message));
        Backend.Return(kept);
    }

    [Fact]
    public void SizesBelowAMebibyte_AreNotZero()
    {
        _ = Backend;
        WithMemoryLeft(0, () => Assert.StartsWith("512 KiB were asked for; 0 bytes are in use", Assert.Throws<InsufficientMemoryException>(() => Backend.Rent(MebiByteOfFloats / 2)).Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Upload_FreesTheCacheAndAsksAgain()
    {
        DeviceBuffer x = Backend.Rent(MebiByteOfFloats);
        CacheOf(4 * MebiByteOfFloats);
        WithMemoryLeft(1000, () => AssertUploads(x));
        Assert.Equal(0, Backend.CachedBytes);
        Backend.Return(x);
    }

    [Fact]
    public void Upload_WithoutMemoryForItsBlock_LeavesNothingBehind()
    {
        DeviceBuffer x = Backend.Rent(MebiByteOfFloats);
        int pinned = StandInDriver.PinnedBlockCount;
        WithMemoryLeft(1000, () => Assert.Equal(
            "1 MiB were asked for; 1 MiB are in use, and the 0 bytes that were cached are given back.",
            Assert.Throws<InsufficientMemoryException>(() => Backend.Upload(new float[MebiByteOfFloats], x)).Message));
        Assert.Equal(pinned, StandInDriver.PinnedBlockCount);
        AssertUploads(x);
        Backend.Return(x);
    }

    [Fact]
    public void Trim_FreesTheBlocksOfUploads()
    {
        DeviceBuffer x = Backend.Rent(MebiByteOfFloats);
        int pinned = StandInDriver.PinnedBlockCount;
        long allocated = StandInDriver.AllocatedBytes;
        AssertUploads(x);
        Assert.True(StandInDriver.AllocatedBytes > allocated);
        Backend.Trim();
        Assert.Equal(allocated, StandInDriver.AllocatedBytes);
        Assert.Equal(pinned, StandInDriver.PinnedBlockCount);
        AssertUploads(x);
        Backend.Return(x);
    }

    [Fact]
    public void Upload_InPieces_LosesNothing()
    {
        Backend.UploadPiece = 1000;
        DeviceBuffer x = Backend.Rent(2500), ids = Backend.Rent(2000, ElementType.Int32);
        float[] values = [.. Enumerable.Range(0, 2500).Select(i => (float)i)], downloaded = new float[2500];
        int[] integers = [.. Enumerable.Range(0, 2000)], downloadedIntegers = new int[2000];
        Backend.Upload(values, x);
        Backend.Download(x, downloaded);
        Assert.Equal(values, downloaded);
        Backend.Upload(integers, ids);
        Backend.Download(ids, downloadedIntegers);
        Assert.Equal(integers, downloadedIntegers);
        Backend.Return(x);
        Backend.Return(ids);
    }

    private void AssertUploads(DeviceBuffer buffer)
    {
        float[] values = new float[buffer.Length], downloaded = new float[buffer.Length];
        Array.Fill(values, 3f);
        Backend.Upload(values, buffer);
        Backend.Download(buffer, downloaded);
        Assert.Equal(values, downloaded);
    }

    private void CacheOf(int length) => Backend.Return(Backend.Rent(length));

    private static void WithMemoryLeft(long bytes, Action body)
    {
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver has as much memory as it is told.");
        long limit = StandInDriver.MemoryLimit;
        StandInDriver.MemoryLimit = StandInDriver.AllocatedBytes + bytes;
        try
        {
            body();
        }
        finally
        {
            StandInDriver.MemoryLimit = limit;
        }
    }
}
