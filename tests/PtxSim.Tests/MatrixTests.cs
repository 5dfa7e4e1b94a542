using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>mma.sync, ldmatrix and stmatrix by the layouts that the PTX manual draws.</summary>
public sealed class MatrixTests
{
    [Theory]
    [InlineData("m16n8k16", "bf16", 16)]
    [InlineData("m16n8k8", "bf16", 8)]
    [InlineData("m16n8k16", "f16", 16)]
    [InlineData("m16n8k8", "tf32", 8)]
    [InlineData("m16n8k4", "tf32", 4)]
    public void Product_of_a_warp_equals_the_reference(string shape, string type, int depth)
    {
        using GlobalMemory memory = new();
        Random random = new(depth);
        float[] a = [.. Enumerable.Range(0, 16 * depth).Select(_ => (float)random.Next(-8, 9) / 4)], b = [.. Enumerable.Range(0, depth * 8).Select(_ => (float)random.Next(-8, 9) / 4)], c = [.. Enumerable.Range(0, 128).Select(_ => (float)random.Next(-8, 9))];
        bool isTf32 = type == "tf32";
        int each = isTf32 ? 1 : 2, registersA = 16 * depth / (32 * each), registersB = depth * 8 / (32 * each);

        // Register i of a lane holds row lane / 4 (+ 8 for odd i) and, from column (lane % 4) * each on, the half i / 2 of the depth.
        uint[] fragmentsA = Fragments(registersA, (lane, i, k) => a[(((lane / 4) + (i % 2 * 8)) * depth) + (lane % 4 * each) + (i / 2 * 4 * each) + k]);
        uint[] fragmentsB = Fragments(registersB, (lane, i, k) => b[(((lane % 4 * each) + (i * 4 * each) + k) * 8) + (lane / 4)]);
        uint[] fragmentsC = Fragments32(4, (lane, i) => c[(((lane / 4) + (i / 2 * 8)) * 8) + (lane % 4 * 2) + (i % 2)]);
        ulong to = memory.Allocate(512);
        string load = string.Join('\n', Loads("d0", 1, registersA, 'r').Concat(Loads("d1", 11, registersB, 'r')).Concat(Loads("d2", 21, 4, 'f')));
        string Range(char kind, int first, int count) => string.Join(", ", Enumerable.Range(first, count).Select(i => $"%{kind}{i}"));
        SimulatedKernel kernel = PtxProgram.Kernel(
            $"mul.wide.u32 %d20, %r0, 4;\n{load}\nmma.sync.aligned.{shape}.row.col.f32.{type}.{type}.f32 {{{Range('f', 31, 4)}}}, {{{Range('r', 1, registersA)}}}, {{{Range('r', 11, registersB)}}}, {{{Range('f', 21, 4)}}};\nadd.s64 %d22, %d3, %d20;\n"
            + string.Join('\n', Enumerable.Range(0, 4).Select(i => $"st.global.f32 [%d22+{i * 128}], %f{31 + i};")),
            4);
        kernel.Run(memory, 32, [memory.Upload<uint>(fragmentsA), memory.Upload<uint>(fragmentsB), memory.Upload<uint>(fragmentsC), to]);
        float[] result = memory.Download<float>(to, 128);
        for (int lane = 0; lane < 32; lane++)
        {
            for (int i = 0; i < 4; i++)
            {
                int row = (lane / 4) + (i / 2 * 8), column = (lane % 4 * 2) + (i % 2);
                float expected = c[(row * 8) + column];
                for (int k = 0; k < depth; k++) expected += a[(row * depth) + k] * b[(k * 8) + column];
                Assert.Equal(expected, result[(i * 32) + lane]);
            }
        }

        uint[] Fragments(int registers, Func<int, int, int, float> value) => Fragments32Bits(registers, (lane, i) => isTf32
            ? BitConverter.SingleToUInt32Bits(value(lane, i, 0)) | 0x1fff // the lowest bits do not count
            : Bits16(value(lane, i, 0)) | (Bits16(value(lane, i, 1)) << 16));

        uint Bits16(float value) => type == "bf16" ? BitConverter.SingleToUInt32Bits(value) >> 16 : BitConverter.HalfToUInt16Bits((Half)value);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(4, false)]
    [InlineData(4, true)]
    public void Matrices_come_from_shared_memory_in_fragments(int count, bool isTransposed)
    {
        using GlobalMemory memory = new();
        ushort[] elements = [.. Enumerable.Range(0, 256).Select(i => (ushort)((i * 257) + 3))];
        ulong to = memory.Allocate(512);

        // Row r of matrix m lies at a place of its own, given by lane 8m + r.
        string results = string.Join(", ", Enumerable.Range(1, count).Select(i => $"%r{i}")), store = string.Join('\n', Enumerable.Range(0, count).Select(i => $"st.global.u32 [%d6+{i * 128}], %r{i + 1};"));
        SimulatedKernel kernel = PtxProgram.Kernel(
            $$"""
            mul.wide.u32 %d3, %r0, 16; add.s64 %d4, %d0, %d3; ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d4];
            xor.b32 %r14, %r0, 21; shl.b32 %r15, %r14, 4; mov.u64 %d5, tile; cvt.u32.u64 %r16, %d5; add.u32 %r17, %r16, %r15;
            st.shared.v4.u32 [%r17], {%r10, %r11, %r12, %r13};
            ldmatrix.sync.aligned.m8n8.x{{count}}{{(isTransposed ? ".trans" : string.Empty)}}.shared.b16 {{{results}}}, [%r17];
            mul.wide.u32 %d3, %r0, 4; add.s64 %d6, %d1, %d3;
            {{store}}
            """,
            2,
            ".shared .align 16 .b8 tile[512];");
        kernel.Run(memory, 32, [memory.Upload<ushort>(elements), to]);
        uint[] actual = memory.Download<uint>(to, count * 32);
        for (int matrix = 0; matrix < count; matrix++)
        {
            for (int lane = 0; lane < 32; lane++)
            {
                int row = lane / 4, column = lane % 4 * 2;
                uint Element(int r, int c) => elements[(matrix * 64) + (isTransposed ? (c * 8) + r : (r * 8) + c)];
                Assert.Equal(Element(row, column) | (Element(row, column + 1) << 16), actual[(matrix * 32) + lane]);
            }
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData(".trans")]
    public void A_stored_matrix_is_loaded_back(string transposed)
    {
        uint[] result = PtxProgram.Results(
            $$"""
            mul.lo.u32 %r2, %r0, 65539; mul.lo.u32 %r3, %r0, 77777; add.u32 %r4, %r0, 9; not.b32 %r5, %r0;
            mov.u64 %d5, tile; cvt.u32.u64 %r16, %d5; shl.b32 %r15, %r0, 4; add.u32 %r17, %r16, %r15;
            stmatrix.sync.aligned.m8n8.x4{{transposed}}.shared.b16 [%r17], {%r2, %r3, %r4, %r5};
            ldmatrix.sync.aligned.m8n8.x4{{transposed}}.shared.b16 {%r12, %r13, %r14, %r15}, [%r17];
            xor.b32 %r12, %r12, %r2; xor.b32 %r13, %r13, %r3; xor.b32 %r14, %r14, %r4; xor.b32 %r15, %r15, %r5;
            or.b32 %r1, %r12, %r13; or.b32 %r1, %r1, %r14; or.b32 %r1, %r1, %r15;
            """,
            32,
            ".shared .align 16 .b8 tile[512];");
        Assert.All(result, bits => Assert.Equal(0u, bits));
    }

    private static IEnumerable<string> Loads(string address, int first, int count, char kind)
        => Enumerable.Range(0, count).Select(i => $"add.s64 %d21, %{address}, %d20; ld.global.{(kind == 'f' ? "f32" : "u32")} %{kind}{first + i}, [%d21+{i * 128}];");

    private static uint[] Fragments32Bits(int registers, Func<int, int, uint> value) => [.. Enumerable.Range(0, registers * 32).Select(i => value(i % 32, i / 32))];

    private static uint[] Fragments32(int registers, Func<int, int, float> value) => Fragments32Bits(registers, (lane, i) => BitConverter.SingleToUInt32Bits(value(lane, i)));
}
