using System.Globalization;
using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>mma.sync, ldmatrix and stmatrix.</content>
internal sealed partial class Decoder
{
    private Instruction Matrix(PtxStatement s) => s.Parts[0] switch
    {
        "mma" => Multiplication(s),
        "ldmatrix" => MatrixLoad(s),
        "stmatrix" => MatrixStore(s),
        _ => throw NotModelled(s.Parts[0]),
    };

    private MatrixMultiplyInstruction Multiplication(PtxStatement s)
    {
        string shape = s.Parts.First(part => part.StartsWith("m16n8k", StringComparison.Ordinal));
        string[] types = s.Parts[^4..];
        if (types[0] != "f32" || types[3] != "f32" || types[1] != types[2]) throw NotModelled(s.Opcode);
        int depth = int.Parse(shape.AsSpan("m16n8k".Length), CultureInfo.InvariantCulture);
        return new MatrixMultiplyInstruction(types[1], depth, Destinations(s.Operands[0], 4), Sources(s.Operands[1], 4), Sources(s.Operands[2], 4), Sources(s.Operands[3], 4));
    }

    private static int MatrixCount(PtxStatement s) => s.Has("x4") ? 4 : s.Has("x2") ? 2 : 1;

    private unsafe ActionInstruction MatrixLoad(PtxStatement s)
    {
        if (!s.Has("m8n8")) throw NotModelled(s.Opcode);
        bool isTransposed = s.Has("trans");
        int count = MatrixCount(s);
        int[] destinations = Destinations(s.Operands[0], 4);
        Address address = AddressOf(s.Operands[1]);
        return new ActionInstruction(Schedule.WholeWarp, (warp, _) =>
        {
            ulong* addresses = stackalloc ulong[32];
            for (int lane = 0; lane < 32; lane++) addresses[lane] = address.Of(warp, lane);
            if (warp.Group.Options.CountsMemory) Traffic.CountShared(warp, new ReadOnlySpan<ulong>(addresses, 32), count == 4 ? uint.MaxValue : count == 2 ? 0xffffu : 0xffu, 16);
            ushort* tile = stackalloc ushort[64];
            for (int matrix = 0; matrix < count; matrix++)
            {
                for (int row = 0; row < 8; row++)
                {
                    warp.Lane = (matrix * 8) + row;
                    byte* bytes = warp.Group.Shared.ReadRow(warp, addresses[warp.Lane]);
                    new ReadOnlySpan<byte>(bytes, 16).CopyTo(new Span<byte>(tile + (row * 8), 16));
                }

                uint* result = (uint*)(warp.Registers + destinations[matrix]);
                for (int lane = 0; lane < 32; lane++)
                {
                    int row = lane >> 2, column = (lane & 3) * 2;
                    result[lane] = isTransposed
                        ? tile[(column * 8) + row] | ((uint)tile[((column + 1) * 8) + row] << 16)
                        : tile[(row * 8) + column] | ((uint)tile[(row * 8) + column + 1] << 16);
                }
            }

            warp.Lane = -1;
        });
    }

    private unsafe ActionInstruction MatrixStore(PtxStatement s)
    {
        if (!s.Has("m8n8")) throw NotModelled(s.Opcode);
        bool isTransposed = s.Has("trans");
        int count = MatrixCount(s);
        Address address = AddressOf(s.Operands[0]);
        int[] sources = Sources(s.Operands[1], 4);
        return new ActionInstruction(Schedule.WholeWarp, (warp, _) =>
        {
            ulong* addresses = stackalloc ulong[32];
            for (int lane = 0; lane < 32; lane++) addresses[lane] = address.Of(warp, lane);
            if (warp.Group.Options.CountsMemory) Traffic.CountShared(warp, new ReadOnlySpan<ulong>(addresses, 32), count == 4 ? uint.MaxValue : count == 2 ? 0xffffu : 0xffu, 16);
            for (int matrix = 0; matrix < count; matrix++)
            {
                uint* x = (uint*)(warp.Registers + sources[matrix]);
                for (int row = 0; row < 8; row++)
                {
                    warp.Lane = (matrix * 8) + row;
                    ushort* line = (ushort*)warp.Group.Shared.Write(warp, addresses[warp.Lane], 16);
                    for (int column = 0; column < 8; column++)
                    {
                        int lane = isTransposed ? (column * 4) + (row / 2) : (row * 4) + (column / 2);
                        line[column] = (ushort)(x[lane] >> (16 * ((isTransposed ? row : column) & 1)));
                    }
                }
            }

            warp.Lane = -1;
        });
    }
}

/// <summary>
/// mma.sync m16n8k8 and k16 with float32 sums. Lane l has row l/4 (and + 8) and columns 2·(l mod 4) (and + 1) of each 8 x 8 tile. The order in
/// which the hardware adds is not known; here the products are added to the sum one by one in float32.
/// </summary>
internal sealed unsafe class MatrixMultiplyInstruction(string type, int depth, int[] d, int[] a, int[] b, int[] c) : Instruction
{
    private readonly bool _isTf32 = type == "tf32";
    private readonly bool _isBfloat16 = type == "bf16";

    public override Schedule Schedule => Schedule.WholeWarp;

    public override void Execute(Warp warp, uint mask)
    {
        warp.Statistics.MatrixInstructions++;
        float* left = stackalloc float[16 * 16];
        float* right = stackalloc float[16 * 8];
        float* sum = stackalloc float[16 * 8];
        byte* registers = warp.Registers;
        for (int lane = 0; lane < 32; lane++)
        {
            int group = lane >> 2, place = lane & 3;
            for (int i = 0; i < a.Length; i++)
            {
                uint bits = ((uint*)(registers + a[i]))[lane];
                int row = group + ((i & 1) * 8);
                if (_isTf32)
                {
                    left[(row * 16) + place + ((i >> 1) * 4)] = Tf32(bits);
                }
                else
                {
                    int column = (2 * place) + ((i >> 1) * 8);
                    left[(row * 16) + column] = Low(bits);
                    left[(row * 16) + column + 1] = High(bits);
                }
            }

            for (int i = 0; i < b.Length; i++)
            {
                uint bits = ((uint*)(registers + b[i]))[lane];
                if (_isTf32)
                {
                    right[((place + (i * 4)) * 8) + group] = Tf32(bits);
                }
                else
                {
                    int row = (2 * place) + (8 * i);
                    right[(row * 8) + group] = Low(bits);
                    right[((row + 1) * 8) + group] = High(bits);
                }
            }

            for (int i = 0; i < 4; i++) sum[((group + ((i >> 1) * 8)) * 8) + (2 * place) + (i & 1)] = ((float*)(registers + c[i]))[lane];
        }

        for (int row = 0; row < 16; row++)
        {
            System.Runtime.Intrinsics.Vector256<float> total = System.Runtime.Intrinsics.Vector256.Load(sum + (row * 8));
            for (int k = 0; k < depth; k++)
                total += System.Runtime.Intrinsics.Vector256.Create(left[(row * 16) + k]) * System.Runtime.Intrinsics.Vector256.Load(right + (k * 8));
            System.Runtime.Intrinsics.Vector256.Store(total, sum + (row * 8));
        }

        for (int lane = 0; lane < 32; lane++)
        {
            int group = lane >> 2, place = lane & 3;
            for (int i = 0; i < 4; i++) ((float*)(registers + d[i]))[lane] = sum[((group + ((i >> 1) * 8)) * 8) + (2 * place) + (i & 1)];
        }
    }

    private static float Tf32(uint bits) => BitConverter.UInt32BitsToSingle(bits & 0xffffe000);

    private float Low(uint bits) => _isBfloat16 ? BitConverter.UInt32BitsToSingle(bits << 16) : NarrowMath.FromHalf(bits & 0xffff);

    private float High(uint bits) => _isBfloat16 ? BitConverter.UInt32BitsToSingle(bits & 0xffff0000) : NarrowMath.FromHalf(bits >> 16);
}
