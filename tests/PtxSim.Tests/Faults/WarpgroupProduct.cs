using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.PtxSim.Tests.Faults;

/// <summary>
/// The same product by one warpgroup that multiplies (wgmma) what one thread of another fetches (TMA), two stages with a full and an empty
/// mbarrier each. Rows, columns and depth are multiples of 64.
/// </summary>
internal readonly record struct WarpgroupProduct(ArrayView<uint> MapA, ArrayView<uint> MapB, ArrayView<float> C, int Columns, int Depth) : IGpuKernel
{
    private const int TileBytes = 64 * 128, StageBytes = 2 * TileBytes;

    public static int GroupSize => 256;

    public static int DynamicSharedBytes => (2 * StageBytes) + 32;

    public static CudaLevel Level => CudaLevel.Sm90a;

    public void Execute()
    {
        uint shared = DynamicSharedAddress(), full = shared + (2 * StageBytes), empty = full + 16;
        int thread = Group.IdxX;
        if (thread == 0)
        {
            for (uint stage = 0; stage < 2; stage++)
            {
                BarrierInitialize(full + (8 * stage), 1);
                BarrierInitialize(empty + (8 * stage), 4);
            }

            FenceBarrierInitialization();
        }

        Barrier();
        if (thread < 128)
        {
            ReleaseRegisters(40);
            if (thread == 0) Produce(shared, full, empty);
        }
        else
        {
            TakeRegisters(232);
            Consume(shared, full, empty, (uint)thread - 128);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Produce(uint shared, uint full, uint empty)
    {
        ulong mapA = GlobalAddress(MapA), mapB = GlobalAddress(MapB);
        uint stage = 0, phase = 1;
        for (int k = 0; k < Depth; k += 64)
        {
            BarrierWait(empty + (8 * stage), phase);
            uint barrier = full + (8 * stage), to = shared + (stage * StageBytes);
            BarrierArriveExpect(barrier, StageBytes);
            LoadTile(to, mapA, k, Grid.IdxX * 64, barrier);
            LoadTile(to + TileBytes, mapB, k, Grid.IdxY * 64, barrier);
            stage ^= 1;
            if (stage == 0) phase ^= 1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Consume(uint shared, uint full, uint empty, uint thread)
    {
        uint stage = 0, phase = 0, lane = thread & 31, warp = thread >> 5;
        Accumulator64 c = Zero64();
        for (int k = 0; k < Depth; k += 64)
        {
            BarrierWait(full + (8 * stage), phase);
            ulong a = Descriptor(shared + (stage * StageBytes), 0, 1024), b = Descriptor(shared + (stage * StageBytes) + TileBytes, 0, 1024);
            Fence();
            c = Multiply(c, a, b, 0, 0);
            c = Multiply(c, a + 2, b + 2, 0, 0);
            c = Multiply(c, a + 4, b + 4, 0, 0);
            c = Multiply(c, a + 6, b + 6, 0, 0);
            Commit();
            c = Wait(c, 0);
            if (lane == 0) InstructionsHopper.BarrierArrive(empty + (8 * stage));
            stage ^= 1;
            if (stage == 0) phase ^= 1;
        }

        uint row = ((uint)Grid.IdxX * 64) + (warp * 16) + (lane >> 2), column = ((uint)Grid.IdxY * 64) + ((lane & 3) * 2);
        ulong to = GlobalAddress(C) + (((ulong)row * (ulong)Columns) + column) * 4, below = to + ((ulong)Columns * 32);
        Store(to, below, c.C0);
        Store(to + 32, below + 32, c.C1);
        Store(to + 64, below + 64, c.C2);
        Store(to + 96, below + 96, c.C3);
        Store(to + 128, below + 128, c.C4);
        Store(to + 160, below + 160, c.C5);
        Store(to + 192, below + 192, c.C6);
        Store(to + 224, below + 224, c.C7);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(ulong to, ulong below, Float4 c)
    {
        StoreGlobal(to, c.X, c.Y);
        StoreGlobal(below, c.Z, c.W);
    }
}
