using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>Where a buffer of the CPU lies.</summary>
internal static unsafe class CpuPointer
{
    public static float* Of(DeviceBuffer buffer) => (float*)((CpuMemory)buffer.Memory!).Pointer + buffer.Offset;
}
