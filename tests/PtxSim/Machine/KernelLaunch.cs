using System.Globalization;
using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>Three sizes or a position.</summary>
[StructLayout(LayoutKind.Auto)]
public readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    public long Count => (long)X * Y * Z;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"({X}, {Y}, {Z})");
}

/// <summary>One launch: the grid, the threads of a group, dynamic shared memory, and the packed arguments.</summary>
public sealed record KernelLaunch(Dim3 Groups, Dim3 Threads, int DynamicSharedBytes, byte[] Arguments)
{
    public int WarpsPerGroup => (int)((Threads.Count + 31) / 32);
}
