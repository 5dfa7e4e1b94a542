using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.IR.Intrinsics;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// PTX instructions of sm_80 and later as methods (PTX ISA 8.4). The bodies stand for values that are never computed: on CUDA each call is the
/// instruction, and kernels that use them run nowhere else. Constants in the text (%laneid, masks) are those of full warps.
/// </summary>
[SuppressMessage("Style", "IDE0060", Justification = "Operands go to the instruction.")]
internal static class InstructionsAmpere
{
    // Matrix products of a warp.

    /// <summary>mma.sync.m16n8k16 bf16: c + a · b, a 16 x 16 by rows, b 16 x 8 by columns, float32 accumulators.</summary>
    [IntrinsicImplementation, Ptx("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%8,%9,%10,%11}, {%12,%13}, {%4,%5,%6,%7};")]
    public static Float4 MultiplyBFloat16(Float4 c, UInt4 a, uint b0, uint b1) => c;

    /// <summary>mma.sync.m16n8k8 tf32: c + a · b, a 16 x 8 by rows, b 8 x 8 by columns; the hardware reads the upper 19 bits of each float.</summary>
    [IntrinsicImplementation, Ptx("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%8,%9,%10,%11}, {%12,%13}, {%4,%5,%6,%7};")]
    public static Float4 MultiplyTensorFloat32(Float4 c, UInt4 a, uint b0, uint b1) => c;

    /// <summary>ldmatrix.x4: four 8 x 8 matrices of 16 bits; lanes 8i to 8i + 7 give the addresses of the rows of matrix i.</summary>
    [IntrinsicImplementation, Ptx("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];")]
    public static UInt4 LoadMatrices(uint row) => default;

    /// <summary>ldmatrix.x4.trans: the same with each matrix transposed.</summary>
    [IntrinsicImplementation, Ptx("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];")]
    public static UInt4 LoadMatricesTransposed(uint row) => default;

    /// <summary>ldmatrix.x2: two 8 x 8 matrices of 16 bits; lanes 0 to 15 give the addresses.</summary>
    [IntrinsicImplementation, Ptx("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];")]
    public static UInt2 LoadMatrices2(uint row) => default;

    /// <summary>ldmatrix.x2.trans: the same with each matrix transposed.</summary>
    [IntrinsicImplementation, Ptx("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];")]
    public static UInt2 LoadMatrices2Transposed(uint row) => default;

    // Addresses: shared ones are 32 bits, global ones 64, and both are plain integers from there on.

    /// <summary>The address of an element of shared memory.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.SharedAddress)]
    public static uint SharedAddress(ref uint element) => 0;

    /// <summary>The address of an element of shared memory.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.SharedAddress)]
    public static uint SharedAddress(ref float element) => 0;

    /// <summary>The address of an element of global memory.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.GlobalAddress)]
    public static ulong GlobalAddress(ref uint element) => 0;

    /// <summary>The address of an element of global memory.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.GlobalAddress)]
    public static ulong GlobalAddress(ref float element) => 0;

    /// <summary>The address of an element of global memory.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.GlobalAddress)]
    public static ulong GlobalAddress(ref int element) => 0;

    /// <summary>The address of the first element of a view; of an empty view, an address that must not be used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong GlobalAddress(ArrayView<float> view) => GlobalAddress(ref view[0L]);

    /// <summary>The address of the first element of a view; of an empty view, an address that must not be used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong GlobalAddress(ArrayView<uint> view) => GlobalAddress(ref view[0L]);

    /// <summary>The address of the dynamic shared memory of the group, aligned to 1024 bytes by the launcher.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint DynamicSharedAddress() => SharedAddress(ref SharedMemory.GetDynamic<uint>()[0L]);

    // Asynchronous copies from global to shared memory, 16 bytes each, past the first-level cache.

    /// <summary>cp.async.cg 16.</summary>
    [IntrinsicImplementation, Ptx("cp.async.cg.shared.global [%0], [%1], 16;")]
    public static void CopyAsync(uint shared, ulong global) { }

    /// <summary>cp.async.cg 16 with fewer source bytes: the rest of the 16 bytes becomes zero. Nothing is read where <paramref name="bytes"/> is 0.</summary>
    [IntrinsicImplementation, Ptx("cp.async.cg.shared.global [%0], [%1], 16, %2;")]
    public static void CopyAsync(uint shared, ulong global, uint bytes) { }

    /// <summary>cp.async.ca 4: for rows that are not aligned to 16 bytes.</summary>
    [IntrinsicImplementation, Ptx("cp.async.ca.shared.global [%0], [%1], 4, %2;")]
    public static void CopyAsync4(uint shared, ulong global, uint bytes) { }

    /// <summary>cp.async.commit_group: closes the group of the copies issued since the last one.</summary>
    [IntrinsicImplementation, Ptx("cp.async.commit_group;")]
    public static void CopyAsyncCommit() { }

    /// <summary>cp.async.wait_group: waits until at most so many groups (a constant) of this thread are under way.</summary>
    [IntrinsicImplementation, Ptx("cp.async.wait_group @0;")]
    public static void CopyAsyncWait(int pendingGroups) { }

    // Shared memory by address.

    /// <summary>ld.shared.b32.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.b32 %0, [%1];")]
    public static uint LoadShared(uint address) => default;

    /// <summary>ld.shared.v2.b32.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.v2.b32 {%0,%1}, [%2];")]
    public static UInt2 LoadShared2(uint address) => default;

    /// <summary>ld.shared.v4.b32.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];")]
    public static UInt4 LoadShared4(uint address) => default;

    /// <summary>ld.shared.f32.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.f32 %0, [%1];")]
    public static float LoadSharedFloat(uint address) => default;

    /// <summary>ld.shared.v2.f32.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.v2.f32 {%0,%1}, [%2];")]
    public static Float2 LoadSharedFloat2(uint address) => default;

    /// <summary>ld.shared.v4.f32.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];")]
    public static Float4 LoadSharedFloat4(uint address) => default;

    /// <summary>st.shared.b32.</summary>
    [IntrinsicImplementation, Ptx("st.shared.b32 [%0], %1;")]
    public static void StoreShared(uint address, uint x) { }

    /// <summary>st.shared.v2.b32.</summary>
    [IntrinsicImplementation, Ptx("st.shared.v2.b32 [%0], {%1,%2};")]
    public static void StoreShared(uint address, uint x, uint y) { }

    /// <summary>st.shared.v4.b32.</summary>
    [IntrinsicImplementation, Ptx("st.shared.v4.b32 [%0], {%1,%2,%3,%4};")]
    public static void StoreShared(uint address, UInt4 value) { }

    /// <summary>st.shared.f32.</summary>
    [IntrinsicImplementation, Ptx("st.shared.f32 [%0], %1;")]
    public static void StoreShared(uint address, float x) { }

    /// <summary>st.shared.v2.f32.</summary>
    [IntrinsicImplementation, Ptx("st.shared.v2.f32 [%0], {%1,%2};")]
    public static void StoreShared(uint address, float x, float y) { }

    /// <summary>st.shared.v4.f32.</summary>
    [IntrinsicImplementation, Ptx("st.shared.v4.f32 [%0], {%1,%2,%3,%4};")]
    public static void StoreShared(uint address, Float4 value) { }

    // Global memory by address.

    /// <summary>ld.global.b32.</summary>
    [IntrinsicImplementation, Ptx("ld.global.b32 %0, [%1];")]
    public static uint LoadGlobal(ulong address) => default;

    /// <summary>ld.global.v2.b32.</summary>
    [IntrinsicImplementation, Ptx("ld.global.v2.b32 {%0,%1}, [%2];")]
    public static UInt2 LoadGlobal2(ulong address) => default;

    /// <summary>ld.global.v4.b32.</summary>
    [IntrinsicImplementation, Ptx("ld.global.v4.b32 {%0,%1,%2,%3}, [%4];")]
    public static UInt4 LoadGlobal4(ulong address) => default;

    /// <summary>ld.global.f32.</summary>
    [IntrinsicImplementation, Ptx("ld.global.f32 %0, [%1];")]
    public static float LoadGlobalFloat(ulong address) => default;

    /// <summary>ld.global.v2.f32.</summary>
    [IntrinsicImplementation, Ptx("ld.global.v2.f32 {%0,%1}, [%2];")]
    public static Float2 LoadGlobalFloat2(ulong address) => default;

    /// <summary>ld.global.v4.f32.</summary>
    [IntrinsicImplementation, Ptx("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];")]
    public static Float4 LoadGlobalFloat4(ulong address) => default;

    /// <summary>ld.global.nc.f32: of memory that no thread writes while the kernel runs.</summary>
    [IntrinsicImplementation, Ptx("ld.global.nc.f32 %0, [%1];")]
    public static float LoadConstantFloat(ulong address) => default;

    /// <summary>ld.global.nc.v2.f32: of memory that no thread writes while the kernel runs.</summary>
    [IntrinsicImplementation, Ptx("ld.global.nc.v2.f32 {%0,%1}, [%2];")]
    public static Float2 LoadConstantFloat2(ulong address) => default;

    /// <summary>ld.global.nc.v4.f32: of memory that no thread writes while the kernel runs.</summary>
    [IntrinsicImplementation, Ptx("ld.global.nc.v4.f32 {%0,%1,%2,%3}, [%4];")]
    public static Float4 LoadConstantFloat4(ulong address) => default;

    /// <summary>ld.global.nc.v4.b32: of memory that no thread writes while the kernel runs.</summary>
    [IntrinsicImplementation, Ptx("ld.global.nc.v4.b32 {%0,%1,%2,%3}, [%4];")]
    public static UInt4 LoadConstant4(ulong address) => default;

    /// <summary>st.global.b32.</summary>
    [IntrinsicImplementation, Ptx("st.global.b32 [%0], %1;")]
    public static void StoreGlobal(ulong address, uint x) { }

    /// <summary>st.global.v2.b32.</summary>
    [IntrinsicImplementation, Ptx("st.global.v2.b32 [%0], {%1,%2};")]
    public static void StoreGlobal(ulong address, uint x, uint y) { }

    /// <summary>st.global.v4.b32.</summary>
    [IntrinsicImplementation, Ptx("st.global.v4.b32 [%0], {%1,%2,%3,%4};")]
    public static void StoreGlobal(ulong address, UInt4 value) { }

    /// <summary>st.global.f32.</summary>
    [IntrinsicImplementation, Ptx("st.global.f32 [%0], %1;")]
    public static void StoreGlobal(ulong address, float x) { }

    /// <summary>st.global.v2.f32.</summary>
    [IntrinsicImplementation, Ptx("st.global.v2.f32 [%0], {%1,%2};")]
    public static void StoreGlobal(ulong address, float x, float y) { }

    /// <summary>st.global.v4.f32.</summary>
    [IntrinsicImplementation, Ptx("st.global.v4.f32 [%0], {%1,%2,%3,%4};")]
    public static void StoreGlobal(ulong address, Float4 value) { }

    // Conversions. A word of two bfloat16 has the first of them in its lower half, as memory has.

    /// <summary>cvt.rn.bf16x2.f32: two floats, rounded to nearest even, as one word.</summary>
    [IntrinsicImplementation, Ptx("cvt.rn.bf16x2.f32 %0, %2, %1;")]
    public static uint PackBFloat16(float low, float high) => 0;

    /// <summary>shl.b32: the first bfloat16 of a word.</summary>
    [IntrinsicImplementation, Ptx("shl.b32 %0, %1, 16;")]
    public static float LowBFloat16(uint word) => 0f;

    /// <summary>and.b32: the second bfloat16 of a word.</summary>
    [IntrinsicImplementation, Ptx("and.b32 %0, %1, -65536;")]
    public static float HighBFloat16(uint word) => 0f;

    /// <summary>cvt.rna.tf32.f32: the float in a word, rounded to 10 bits of mantissa, ties away from zero.</summary>
    [IntrinsicImplementation, Ptx("cvt.rna.tf32.f32 %0, %1;")]
    public static uint RoundTensorFloat32(uint x) => 0;

    // Approximate functions (2 ulp or so); subnormal numbers count as zero.

    /// <summary>ex2.approx.ftz.f32: 2ˣ.</summary>
    [IntrinsicImplementation, Ptx("ex2.approx.ftz.f32 %0, %1;")]
    public static float Exp2Approximate(float x) => 0f;

    /// <summary>lg2.approx.ftz.f32: log₂ x.</summary>
    [IntrinsicImplementation, Ptx("lg2.approx.ftz.f32 %0, %1;")]
    public static float Log2Approximate(float x) => 0f;

    /// <summary>rcp.approx.ftz.f32: 1 / x.</summary>
    [IntrinsicImplementation, Ptx("rcp.approx.ftz.f32 %0, %1;")]
    public static float ReciprocalApproximate(float x) => 0f;

    /// <summary>rsqrt.approx.ftz.f32: 1 / √x.</summary>
    [IntrinsicImplementation, Ptx("rsqrt.approx.ftz.f32 %0, %1;")]
    public static float ReciprocalSqrtApproximate(float x) => 0f;

    /// <summary>tanh.approx.f32: 11 bits, for results that are rounded to bfloat16.</summary>
    [IntrinsicImplementation, Ptx("tanh.approx.f32 %0, %1;")]
    public static float TanhApproximate(float x) => 0f;

    /// <summary>mov.b64: a number that is computed here, not where it is used; the optimizer moves pure arithmetic to its use, even into a loop.</summary>
    [IntrinsicImplementation, Ptx("mov.b64 %0, %1;")]
    public static long Pin(long x) => x;

    /// <summary>mov.b32: the same for 32 bits.</summary>
    [IntrinsicImplementation, Ptx("mov.b32 %0, %1;")]
    public static int Pin(int x) => x;

    // Threads.

    /// <summary>%laneid: the place of a thread in its warp.</summary>
    [IntrinsicImplementation, Ptx("mov.u32 %0, %laneid;")]
    public static uint LaneId() => 0;

    /// <summary>shfl.sync.bfly: the value of the lane whose number differs in the bits of a constant mask.</summary>
    [IntrinsicImplementation, Ptx("shfl.sync.bfly.b32 %0, %1, @2, 31, 0xffffffff;")]
    public static float ShuffleXor(float x, int mask) => x;

    /// <summary>shfl.sync.idx: the value of one lane.</summary>
    [IntrinsicImplementation, Ptx("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;")]
    public static float ShuffleFrom(float x, uint lane) => x;

    /// <summary>shfl.sync.idx: the value of one lane.</summary>
    [IntrinsicImplementation, Ptx("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;")]
    public static uint ShuffleFrom(uint x, uint lane) => x;

    /// <summary>The sum over a warp, in every lane, in a fixed order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float WarpSum(float x)
    {
        x += ShuffleXor(x, 16);
        x += ShuffleXor(x, 8);
        x += ShuffleXor(x, 4);
        return QuadSum(x);
    }

    /// <summary>The maximum over a warp, in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float WarpMax(float x)
    {
        x = MathF.Max(x, ShuffleXor(x, 16));
        x = MathF.Max(x, ShuffleXor(x, 8));
        x = MathF.Max(x, ShuffleXor(x, 4));
        return QuadMax(x);
    }

    /// <summary>The sum over four neighbouring lanes, which hold one row of a tile of accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float QuadSum(float x)
    {
        x += ShuffleXor(x, 2);
        return x + ShuffleXor(x, 1);
    }

    /// <summary>The maximum over four neighbouring lanes, which hold one row of a tile of accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float QuadMax(float x)
    {
        x = MathF.Max(x, ShuffleXor(x, 2));
        return MathF.Max(x, ShuffleXor(x, 1));
    }

    /// <summary>bar.sync 0: all threads of the group.</summary>
    [IntrinsicImplementation, Ptx("bar.sync 0;")]
    public static void Barrier() { }

    /// <summary>bar.sync: so many threads (constants) at a barrier with a number from 1 to 15.</summary>
    [IntrinsicImplementation, Ptx("bar.sync @0, @1;")]
    public static void Barrier(int number, int threads) { }

    /// <summary>bar.sync: so many threads (a constant) at a barrier whose number is computed.</summary>
    [IntrinsicImplementation, Ptx("bar.sync %0, @1;")]
    public static void Barrier(uint number, int threads) { }

    /// <summary>bar.arrive: counts at the barrier without waiting.</summary>
    [IntrinsicImplementation, Ptx("bar.arrive @0, @1;")]
    public static void BarrierArrive(int number, int threads) { }

    /// <summary>bar.arrive: the same at a barrier whose number is computed.</summary>
    [IntrinsicImplementation, Ptx("bar.arrive %0, @1;")]
    public static void BarrierArrive(uint number, int threads) { }

    /// <summary>bar.warp.sync: what the lanes of a warp have written is seen by all of them.</summary>
    [IntrinsicImplementation, Ptx("bar.warp.sync 0xffffffff;")]
    public static void WarpBarrier() { }
}
