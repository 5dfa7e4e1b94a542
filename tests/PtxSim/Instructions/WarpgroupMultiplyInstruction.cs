using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using MiniVlp.PtxSim.Machine;

namespace MiniVlp.PtxSim.Instructions;

/// <summary>
/// wgmma.mma_async m64nNk16 (k8 for tf32), float32 sums. Warp w of the four has rows 16w to 16w + 15; of each 16 x 8 tile of accumulators a lane
/// has what it has in mma.sync. Operands in shared memory lie in rows of 128 bytes with the 128-byte swizzle.
/// </summary>
internal sealed unsafe class WarpgroupMultiplyInstruction(string type, int columns, int[] d, int[]? a, int descriptorA, int descriptorB, int scale, bool isScaleNegated, bool transposesA, bool transposesB, bool negatesA, bool negatesB) : Instruction
{
    private readonly int _bytes = type == "tf32" ? 4 : 2;
    private readonly bool _isBfloat16 = type == "bf16";
    private readonly int _depth = type == "tf32" ? 8 : 16;

    public override Schedule Schedule => Schedule.WholeWarp;

    public override void Execute(Warp warp, uint mask)
    {
        warp.Statistics.MatrixInstructions++;
        ulong left = a is null ? Uniform(warp, descriptorA) : 0, right = Uniform(warp, descriptorB);
        uint predicate = *(uint*)(warp.Registers + scale);
        bool accumulates = (isScaleNegated ? ~predicate : predicate) != 0;
        uint[]? fragments = null;
        if (a is not null)
        {
            fragments = new uint[32 * a.Length];
            for (int i = 0; i < a.Length; i++) for (int lane = 0; lane < 32; lane++) fragments[(i * 32) + lane] = ((uint*)(warp.Registers + a[i]))[lane];
        }

        warp.Warpgroup.Add(() => Compute(warp, left, fragments, right, accumulates), d);
    }

    private static ulong Uniform(Warp warp, int register)
    {
        ulong* values = (ulong*)(warp.Registers + register);
        for (int lane = 1; lane < 32; lane++) if (values[lane] != values[0]) throw new SimulationException("a descriptor of wgmma differs between lanes");
        if (values[0] >> 62 != 1) throw new SimulationException($"a descriptor of wgmma with layout {values[0] >> 62}; only the 128-byte swizzle is modelled");
        return values[0];
    }

    private void Compute(Warp warp, ulong left, uint[]? fragments, ulong right, bool accumulates)
    {
        float[] x = new float[16 * _depth], y = new float[_depth * columns], sums = new float[16 * columns];
        if (fragments is null) Load(warp, left, transposesA, warp.Index % 4 * 16, 16, x, _depth, 1);
        else Unpack(fragments, x);
        Load(warp, right, transposesB, 0, columns, y, 1, columns);
        float sign = negatesA == negatesB ? 1 : -1;
        if (accumulates) for (int i = 0; i < d.Length; i++) for (int lane = 0; lane < 32; lane++) sums[PlaceOf(i, lane)] = ((float*)(warp.Registers + d[i]))[lane];
        for (int row = 0; row < 16; row++)
        {
            Span<Vector256<float>> sum = MemoryMarshal.Cast<float, Vector256<float>>(sums.AsSpan(row * columns, columns));
            for (int k = 0; k < _depth; k++)
            {
                Vector256<float> factor = Vector256.Create(sign * x[(row * _depth) + k]);
                ReadOnlySpan<Vector256<float>> line = MemoryMarshal.Cast<float, Vector256<float>>(y.AsSpan(k * columns, columns));
                for (int i = 0; i < line.Length; i++) sum[i] += factor * line[i];
            }
        }

        for (int i = 0; i < d.Length; i++) for (int lane = 0; lane < 32; lane++) ((float*)(warp.Registers + d[i]))[lane] = sums[PlaceOf(i, lane)];
    }

    private int PlaceOf(int register, int lane) => (((lane / 4) + (register / 2 % 2 * 8)) * columns) + (register / 4 * 8) + (lane % 4 * 2) + (register % 2);

    /// <summary>
    /// Rows of an operand from shared memory. With k contiguous, 8 rows are an atom of 1024 bytes and the next 8 rows are the descriptor's stride
    /// away. Transposed, 64 rows are contiguous, 8 steps of k are an atom, the next 8 steps are the stride and the next 64 rows the leading
    /// offset away.
    /// </summary>
    private void Load(Warp warp, ulong descriptor, bool isTransposed, int firstRow, int rows, float[] into, int rowStride, int depthStride)
    {
        if (isTransposed && _bytes != 2) throw new SimulationException("wgmma transposes operands of 16 bits only");
        uint start = (uint)(descriptor & 0x3fff) << 4, leading = (uint)(descriptor >> 16 & 0x3fff) << 4, stride = (uint)(descriptor >> 32 & 0x3fff) << 4;
        if (((start >> 7) & 7) != 0) throw new SimulationException($"wgmma reads from shared address {start - SharedMemory.Base}, which is in the middle of a swizzled atom of 1024 bytes");
        int each = 16 / _bytes;
        for (int outer = 0; outer < (isTransposed ? _depth : rows); outer++)
        {
            for (int inner = 0; inner < (isTransposed ? rows : _depth); inner += each)
            {
                int row = firstRow + (isTransposed ? inner : outer), k = isTransposed ? outer : inner;
                uint address = isTransposed
                    ? start + ((uint)(row / 64) * leading) + ((uint)(row % 64) * 2) + ((uint)(k % 8) * 128) + ((uint)(k / 8) * stride)
                    : start + ((uint)(row / 8) * stride) + ((uint)(row % 8) * 128) + ((uint)k * (uint)_bytes);
                byte* bytes = warp.Group.Shared.ReadByProxy(warp, SimulatedTensorMap.Swizzled(address, 3), 16);
                for (int i = 0; i < each; i++) into[((isTransposed ? inner + i : outer) * rowStride) + ((isTransposed ? outer : inner + i) * depthStride)] = Value(bytes + (i * _bytes));
            }
        }
    }

    private float Value(byte* bytes)
        => _isBfloat16 ? NarrowMath.FromBfloat16(*(ushort*)bytes)
            : _bytes == 2 ? NarrowMath.FromHalf(*(ushort*)bytes)
            : BitConverter.UInt32BitsToSingle(*(uint*)bytes & 0xffffe000);

    private void Unpack(uint[] fragments, float[] x)
    {
        for (int lane = 0; lane < 32; lane++)
        {
            for (int i = 0; i < 4; i++)
            {
                uint bits = fragments[(i * 32) + lane];
                int row = (lane >> 2) + ((i & 1) * 8);
                if (type == "tf32")
                {
                    x[(row * _depth) + (lane & 3) + ((i >> 1) * 4)] = BitConverter.UInt32BitsToSingle(bits & 0xffffe000);
                    continue;
                }

                int column = (2 * (lane & 3)) + ((i >> 1) * 8);
                x[(row * _depth) + column] = type == "bf16" ? NarrowMath.FromBfloat16(bits & 0xffff) : NarrowMath.FromHalf(bits & 0xffff);
                x[(row * _depth) + column + 1] = type == "bf16" ? NarrowMath.FromBfloat16(bits >> 16) : NarrowMath.FromHalf(bits >> 16);
            }
        }
    }
}
