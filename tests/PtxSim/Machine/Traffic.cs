using MiniVlp.PtxSim.Instructions;

namespace MiniVlp.PtxSim.Machine;

/// <summary>Counts what a warp-wide access costs: passes over the banks of shared memory, sectors of global memory.</summary>
internal static class Traffic
{
    /// <summary>
    /// Shared memory has 32 banks of 4 bytes. Lanes of one pass (32, or 16 and 8 for accesses of 8 and 16 bytes) that need different words of
    /// one bank take another pass each.
    /// </summary>
    public static void CountShared(Warp warp, Address address, uint mask, int size)
    {
        Span<ulong> addresses = stackalloc ulong[32];
        for (int lane = 0; lane < 32; lane++) if ((mask >> lane & 1) != 0) addresses[lane] = address.Of(warp, lane);
        CountShared(warp, addresses, mask, size);
    }

    public static void CountShared(Warp warp, ReadOnlySpan<ulong> addresses, uint mask, int size)
    {
        warp.Statistics.SharedRequests++;
        int lanes = size <= 4 ? 32 : size == 8 ? 16 : 8, words = Math.Max(1, size / 4);
        Span<uint> seen = stackalloc uint[64];
        Span<int> passes = stackalloc int[32];
        for (int start = 0; start < 32; start += lanes)
        {
            passes.Clear();
            int count = 0, most = 0;
            for (int lane = start; lane < start + lanes; lane++)
            {
                if ((mask >> lane & 1) == 0) continue;
                for (uint i = 0; i < words; i++)
                {
                    uint word = (uint)(addresses[lane] >> 2) + i;
                    if (seen[..count].Contains(word)) continue;
                    seen[count++] = word;
                    most = Math.Max(most, ++passes[(int)(word & 31)]);
                }
            }

            if (most > 1) warp.Statistics.BankConflicts += most - 1;
        }
    }

    public static void CountGlobal(Warp warp, Address address, uint mask, int size)
    {
        warp.Statistics.GlobalRequests++;
        Span<ulong> seen = stackalloc ulong[64];
        int count = 0;
        for (int lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            ulong start = address.Of(warp, lane);
            for (ulong sector = start >> 5; sector <= (start + (ulong)size - 1) >> 5; sector++)
                if (!seen[..count].Contains(sector)) seen[count++] = sector;
        }

        warp.Statistics.GlobalSectors += count;
    }
}
