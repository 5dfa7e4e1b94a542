using System.Collections.Concurrent;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>One guarded device for each tier and number of threads, made once; fresh buffers hold NaN and stray writes throw.</summary>
public static class TestDevices
{
    private static readonly ConcurrentDictionary<(SimdTier Tier, int Threads), Lazy<Device>> Devices = [];

    public static Device Get(SimdTier tier, int threads)
    {
        if (tier > CpuBackend.WidestTier) Assert.Skip($"This machine has no {tier} instructions.");
        return Devices.GetOrAdd((tier, threads), key => new Lazy<Device>(() => new Device(new CpuBackend(key.Threads, key.Tier, checkGuards: true)))).Value;
    }
}
