using ILGPU;
using ILGPU.Algorithms;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// The elements of a buffer as bfloat16 for tensor cores, rows of so many columns padded to a multiple of 8: the copy that is kept with the
    /// memory, if it is of these elements as they are now, else a new one, which is kept unless <paramref name="inUse"/>, the other operand, is
    /// the one that is kept there; see <see cref="ReturnUnkept"/>.
    /// </summary>
    private DeviceBuffer BFloat16(DeviceBuffer source, int columns, DeviceBuffer inUse = default)
    {
        GpuMemory memory = (GpuMemory)source.Memory!;
        int padded = RoundUp8(columns), words = checked((int)((long)(source.Length / columns) * padded / 2));
        BFloat16Copy wanted = new(memory.Copy?.Buffer ?? default, memory.Version, source.Offset, source.Length, padded == columns ? 0 : columns);
        if (memory.Copy == wanted)
        {
            memory.IsCopyUnused = false;
            return wanted.Buffer;
        }

        if (padded == columns && source.Length % 8 == 0 && source.Offset % 4 == 0) memory.LastConverted = (source.Offset, source.Length);
        bool isKept = inUse.IsNull || memory.Copy?.Buffer != inUse;
        if (isKept && memory.Copy?.Buffer.Length != words)
        {
            DropCopy(memory);
            wanted = wanted with { Buffer = Rent(words) };
        }
        else if (!isKept)
        {
            wanted = wanted with { Buffer = Rent(words) };
        }

        bool isAligned = padded == columns && source.Offset % 4 == 0;
        LaunchElements(new ToBFloat16Kernel(Input(source), columns, padded, isAligned ? 1 : 0, Output(wanted.Buffer)), words / 4);

        // What is captured has not happened yet: a copy of a constant, which a capture does not age, is then no copy to anybody else.
        if (isKept) memory.Copy = memory.IsConstant && _recorder.Held is not null ? wanted with { Version = BFloat16Copy.NotMade } : wanted;
        return wanted.Buffer;
    }

    /// <summary>
    /// Room for the elements of a result as bfloat16, which the kernel writes beside them, kept with the memory; empty where it need not. A
    /// training step or an inference writes the same kinds of results into the same blocks of memory over and over: what was converted there
    /// the last time will be again, and writing 2 bytes more is cheaper than to read 4 and write 2. A guess that was wrong is not repeated.
    /// </summary>
    /// <param name="result">What the kernel writes, already marked as written by <see cref="Output"/>.</param>
    /// <param name="operands">Operands whose copies the kernel reads; they may lie in the same memory, which keeps one copy.</param>
    private ArrayView<float> CopyAhead(DeviceBuffer result, params ReadOnlySpan<DeviceBuffer> operands)
    {
        if (Precision != MatMulPrecision.BFloat16 || Level < CudaLevel.Sm80 || result.IsNull) return default;
        GpuMemory memory = (GpuMemory)result.Memory!;
        if (result.Length == 0 || memory.LastConverted != (result.Offset, result.Length)) return default;
        foreach (DeviceBuffer operand in operands)
            if (operand.Memory == memory) return default;
        if (memory.IsCopyUnused)
        {
            memory.IsCopyUnused = false;
            memory.LastConverted = default;
            return default;
        }

        DeviceBuffer copy = memory.Copy?.Buffer ?? default;
        if (copy.IsNull || copy.Length != result.Length / 2)
        {
            DropCopy(memory);
            copy = Rent(result.Length / 2);
        }

        memory.Copy = new BFloat16Copy(copy, memory.Version, result.Offset, result.Length, Columns: 0);
        memory.IsCopyUnused = true;
        return Output(copy);
    }

    /// <summary>Returns a copy that is not kept with the memory of its source.</summary>
    private void ReturnUnkept(DeviceBuffer source, DeviceBuffer copy)
    {
        if (((GpuMemory)source.Memory!).Copy?.Buffer != copy) Return(copy);
    }

    /// <summary>The elements of a buffer, rounded to what bfloat16 can hold, as floats; rented.</summary>
    private DeviceBuffer RoundedToBFloat16(DeviceBuffer source)
    {
        DeviceBuffer rounded = Rent(source.Length);
        LaunchElements(new RoundToBFloat16Kernel(Input(source), Output(rounded)), source.Length);
        return rounded;
    }

    /// <summary>The elements of a buffer, rows of so many columns padded with zeros to a multiple of 4, for tensor cores that read floats as TF32; rented.</summary>
    private DeviceBuffer WithPaddedRows(DeviceBuffer source, int columns)
    {
        DeviceBuffer copy = Rent(checked((int)((long)(source.Length / columns) * GroupCount(columns, Float4.Length) * Float4.Length)));
        LaunchElements(new PadRowsKernel(Input(source), columns, Output(copy)), copy.Length / Float4.Length);
        return copy;
    }

    /// <summary>Returns the copy of a memory to the pool.</summary>
    private void DropCopy(GpuMemory memory)
    {
        if (memory.Copy is not { } copy) return;
        memory.Copy = null;
        _pool.Return((PooledMemory)copy.Buffer.Memory!);
    }

    private static int RoundUp8(int value) => (value + 7) & ~7;

    /// <summary>Rounds floats to bfloat16, to nearest even, eight at a time: 256 bits are read and 128 written.</summary>
    internal readonly record struct ToBFloat16Kernel(ArrayView<float> Source, int Columns, int PaddedColumns, int IsAligned, ArrayView<float> Destination) : IGpuKernel
    {
        public static int GroupSize => 256;

        public static CudaLevel Level => CudaLevel.Sm80;

        public void Execute()
        {
            ulong source = GlobalAddress(Source), destination = GlobalAddress(Destination);
            long count = Destination.Length / 4;
            int chunks = PaddedColumns / 8;
            for (long i = Grid.GlobalLinearIndex; i < count; i += Grid.DimX * GroupSize)
            {
                Float4 low = default, high = default;
                if (IsAligned != 0)
                {
                    low = LoadConstantFloat4(source + ((ulong)i * 32));
                    high = LoadConstantFloat4(source + ((ulong)i * 32) + 16);
                }
                else
                {
                    long row = i / chunks;
                    int column = (int)(i - (row * chunks)) * 8, left = Columns - column;
                    low = ScalarAccess.Load(Source, (row * Columns) + column, left);
                    high = ScalarAccess.Load(Source, (row * Columns) + column + 4, left - 4);
                }

                UInt4 words = default;
                words.X = PackBFloat16(low.X, low.Y);
                words.Y = PackBFloat16(low.Z, low.W);
                words.Z = PackBFloat16(high.X, high.Y);
                words.W = PackBFloat16(high.Z, high.W);
                StoreGlobal(destination + ((ulong)i * 16), words);
            }
        }
    }

    /// <summary>Rounds floats to what bfloat16 can hold, to nearest even, for devices that multiply them in float32; NaN stays NaN.</summary>
    internal readonly record struct RoundToBFloat16Kernel(ArrayView<float> Source, ArrayView<float> Destination) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Source.Length; i += Grid.DimX * GroupSize)
            {
                float x = Source[i];
                uint bits = Interop.FloatAsInt(x);
                bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000;
                Destination[i] = XMath.IsNaN(x) ? x : Interop.IntAsFloat(bits);
            }
        }
    }

    /// <summary>Copies rows that start anywhere to rows that start at multiples of 16 bytes; zeros fill the last chunk of each, so that all that tensor cores load is defined.</summary>
    internal readonly record struct PadRowsKernel(ArrayView<float> Source, int Columns, ArrayView<float> Destination) : IGpuKernel
    {
        public static int GroupSize => 256;

        public static CudaLevel Level => CudaLevel.Sm80;

        public void Execute()
        {
            ulong destination = GlobalAddress(Destination);
            long count = Destination.Length / Float4.Length;
            int quads = (Columns + Float4.Length - 1) / Float4.Length;
            for (long i = Grid.GlobalLinearIndex; i < count; i += Grid.DimX * GroupSize)
            {
                long row = i / quads;
                int column = (int)(i - (row * quads)) * Float4.Length;
                StoreGlobal(destination + ((ulong)i * 16), ScalarAccess.Load(Source, (row * Columns) + column, Columns - column));
            }
        }
    }
}
