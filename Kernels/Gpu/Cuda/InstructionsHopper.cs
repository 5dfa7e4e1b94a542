using System.Diagnostics.CodeAnalysis;
using ILGPU.IR.Intrinsics;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// PTX instructions of sm_90a as methods (PTX ISA 8.4): products of a warpgroup (four warps) on operands in shared memory, tensor copies by the
/// TMA unit, and the barriers in shared memory between them. Rules that the assembler holds a kernel to: accumulators come from Zero, and are
/// touched by nothing else between Fence and Wait, which returns them; otherwise ptxas serialises the products (warning C7515).
/// </summary>
[SuppressMessage("Style", "IDE0060", Justification = "Operands go to the instruction.")]
internal static class InstructionsHopper
{
    // Products of a warpgroup: 64 rows, n columns, 16 steps of the sum. Warp w of the four has rows 16w to 16w + 15. Operands in shared memory
    // are given by descriptors (see Descriptor); a constant 1 as transposeA or transposeB says that the operand lies with m or n contiguous.

    /// <summary>wgmma.mma_async m64n32k16 bf16: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0..15}, %32, %33, 1, 1, 1, @34, @35;", InPlace = true)]
    public static Accumulator32 Multiply(Accumulator32 c, ulong a, ulong b, int transposeA, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n64k16 bf16: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0..31}, %64, %65, 1, 1, 1, @66, @67;", InPlace = true)]
    public static Accumulator64 Multiply(Accumulator64 c, ulong a, ulong b, int transposeA, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n80k16 bf16: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {%0..39}, %80, %81, 1, 1, 1, @82, @83;", InPlace = true)]
    public static Accumulator80 Multiply(Accumulator80 c, ulong a, ulong b, int transposeA, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n128k16 bf16: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0..63}, %128, %129, 1, 1, 1, @130, @131;", InPlace = true)]
    public static Accumulator128 Multiply(Accumulator128 c, ulong a, ulong b, int transposeA, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n64k16 bf16: a · b, in fresh accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0..31}, %32, %33, 0, 1, 1, @34, @35;")]
    public static Accumulator64 Multiply64(ulong a, ulong b, int transposeA, int transposeB) => default;

    /// <summary>wgmma.mma_async m64n128k16 bf16: a · b, in fresh accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0..63}, %64, %65, 0, 1, 1, @66, @67;")]
    public static Accumulator128 Multiply128(ulong a, ulong b, int transposeA, int transposeB) => default;

    /// <summary>wgmma.mma_async m64n192k16 bf16: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {%0..95}, %192, %193, 1, 1, 1, @194, @195;", InPlace = true)]
    public static Accumulator192 Multiply(Accumulator192 c, ulong a, ulong b, int transposeA, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n256k16 bf16: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {%0..127}, %256, %257, 1, 1, 1, @258, @259;", InPlace = true)]
    public static Accumulator256 Multiply(Accumulator256 c, ulong a, ulong b, int transposeA, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n192k8 tf32, both operands with k contiguous: c + a · b; the lower 13 bits of a float32 are cut off.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n192k8.f32.tf32.tf32 {%0..95}, %192, %193, 1, 1, 1;", InPlace = true)]
    public static Accumulator192 MultiplyTensorFloat32(Accumulator192 c, ulong a, ulong b) => c;

    /// <summary>wgmma.mma_async m64n256k8 tf32, both operands with k contiguous: c + a · b; the lower 13 bits of a float32 are cut off.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n256k8.f32.tf32.tf32 {%0..127}, %256, %257, 1, 1, 1;", InPlace = true)]
    public static Accumulator256 MultiplyTensorFloat32(Accumulator256 c, ulong a, ulong b) => c;

    /// <summary>wgmma.mma_async m64n32k16 bf16 with a in registers: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0..15}, {%32..35}, %36, 1, 1, 1, @37;", InPlace = true)]
    public static Accumulator32 Multiply(Accumulator32 c, UInt4 a, ulong b, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n64k16 bf16 with a in registers: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0..31}, {%64..67}, %68, 1, 1, 1, @69;", InPlace = true)]
    public static Accumulator64 Multiply(Accumulator64 c, UInt4 a, ulong b, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n64k16 bf16 with a in registers: a · b, in fresh accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0..31}, {%32..35}, %36, 0, 1, 1, @37;")]
    public static Accumulator64 Multiply64(UInt4 a, ulong b, int transposeB) => default;

    /// <summary>wgmma.mma_async m64n80k16 bf16 with a in registers: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {%0..39}, {%80..83}, %84, 1, 1, 1, @85;", InPlace = true)]
    public static Accumulator80 Multiply(Accumulator80 c, UInt4 a, ulong b, int transposeB) => c;

    /// <summary>wgmma.mma_async m64n128k16 bf16 with a in registers: c + a · b.</summary>
    [IntrinsicImplementation, Ptx("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0..63}, {%128..131}, %132, 1, 1, 1, @133;", InPlace = true)]
    public static Accumulator128 Multiply(Accumulator128 c, UInt4 a, ulong b, int transposeB) => c;

    /// <summary>
    /// The descriptor of an operand in 128-byte rows with the 128-byte swizzle (16-byte chunk c of row r lies at c ^ (r % 8)), as TMA writes it:
    /// 8 rows are an atom of 1024 bytes. By k contiguous, the next 8 rows of m or n are <paramref name="stride"/> bytes on; by m or n contiguous,
    /// the next 8 steps of k are, and the next 64 elements of m or n are <paramref name="leading"/> bytes on.
    /// </summary>
    public static ulong Descriptor(uint shared, uint leading, uint stride)
        => (1ul << 62) | ((ulong)(stride >> 4) << 32) | ((ulong)(leading >> 4) << 16) | (ulong)((shared & 0x3FFFF) >> 4);

    /// <summary>wgmma.fence: registers and shared memory that were written are ready for products.</summary>
    [IntrinsicImplementation, Ptx("wgmma.fence.sync.aligned;")]
    public static void Fence() { }

    /// <summary>wgmma.commit_group: closes the group of the products issued since the last one.</summary>
    [IntrinsicImplementation, Ptx("wgmma.commit_group.sync.aligned;")]
    public static void Commit() { }

    /// <summary>
    /// wgmma.commit_group behind the products into these accumulators, where they are the last thing in a loop: products without a use there
    /// would be moved to its end, behind a <see cref="Commit()"/>.
    /// </summary>
    [IntrinsicImplementation, Ptx("wgmma.commit_group.sync.aligned;", InPlace = true)]
    public static Accumulator64 Commit(Accumulator64 c) => c;

    /// <summary>The same for 128 columns.</summary>
    [IntrinsicImplementation, Ptx("wgmma.commit_group.sync.aligned;", InPlace = true)]
    public static Accumulator128 Commit(Accumulator128 c) => c;

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way. Only where no accumulators are read afterwards.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @0;")]
    public static void Wait(int pendingGroups) { }

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way, then the accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @32;", InPlace = true)]
    public static Accumulator32 Wait(Accumulator32 c, int pendingGroups) => c;

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way, then the accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @64;", InPlace = true)]
    public static Accumulator64 Wait(Accumulator64 c, int pendingGroups) => c;

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way, then the accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @80;", InPlace = true)]
    public static Accumulator80 Wait(Accumulator80 c, int pendingGroups) => c;

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way, then the accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @128;", InPlace = true)]
    public static Accumulator128 Wait(Accumulator128 c, int pendingGroups) => c;

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way, then the accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @192;", InPlace = true)]
    public static Accumulator192 Wait(Accumulator192 c, int pendingGroups) => c;

    /// <summary>wgmma.wait_group: until at most so many groups (a constant) are under way, then the accumulators.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned @256;", InPlace = true)]
    public static Accumulator256 Wait(Accumulator256 c, int pendingGroups) => c;

    /// <summary>mov.f32: fresh accumulators of zero.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Zero)]
    public static Accumulator32 Zero32() => default;

    /// <summary>mov.f32: fresh accumulators of zero.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Zero)]
    public static Accumulator64 Zero64() => default;

    /// <summary>mov.f32: fresh accumulators of zero.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Zero)]
    public static Accumulator80 Zero80() => default;

    /// <summary>mov.f32: fresh accumulators of zero.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Zero)]
    public static Accumulator128 Zero128() => default;

    /// <summary>mov.f32: fresh accumulators of zero.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Zero)]
    public static Accumulator192 Zero192() => default;

    /// <summary>mov.f32: fresh accumulators of zero.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Zero)]
    public static Accumulator256 Zero256() => default;

    /// <summary>mov.f32: accumulators that were computed with, moved to registers of their own before the next product.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Copy)]
    public static Accumulator32 Copy(Accumulator32 c) => c;

    /// <summary>mov.f32: accumulators that were computed with, moved to registers of their own before the next product.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Copy)]
    public static Accumulator64 Copy(Accumulator64 c) => c;

    /// <summary>mov.f32: accumulators that were computed with, moved to registers of their own before the next product.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Copy)]
    public static Accumulator80 Copy(Accumulator80 c) => c;

    /// <summary>mov.f32: accumulators that were computed with, moved to registers of their own before the next product.</summary>
    [IntrinsicImplementation, Ptx(PtxAttribute.Copy)]
    public static Accumulator128 Copy(Accumulator128 c) => c;

    // Barriers in shared memory (8 bytes, aligned to 8): a phase ends when all arrivals and all announced bytes have come.

    /// <summary>mbarrier.init: so many arrivals end a phase.</summary>
    [IntrinsicImplementation, Ptx("mbarrier.init.shared::cta.b64 [%0], %1;")]
    public static void BarrierInitialize(uint barrier, uint arrivals) { }

    /// <summary>fence.mbarrier_init: the TMA unit and other groups of the cluster see initialised barriers.</summary>
    [IntrinsicImplementation, Ptx("fence.mbarrier_init.release.cluster;")]
    public static void FenceBarrierInitialization() { }

    /// <summary>mbarrier.arrive.</summary>
    [IntrinsicImplementation, Ptx("mbarrier.arrive.shared::cta.b64 _, [%0];")]
    public static void BarrierArrive(uint barrier) { }

    /// <summary>mbarrier.arrive.expect_tx: arrives and announces bytes that copies will bring.</summary>
    [IntrinsicImplementation, Ptx("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;")]
    public static void BarrierArriveExpect(uint barrier, uint bytes) { }

    /// <summary>mbarrier.try_wait.parity in a loop: until the phase of the given parity (0, 1, 0, ...) has ended; at first, 1 is past.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred p; W1: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra W2; bra W1; W2: }")]
    public static void BarrierWait(uint barrier, uint parity) { }

    // Tensor copies. The map (cuTensorMapEncodeTiled) lies in global memory, aligned to 64 bytes.

    /// <summary>cp.async.bulk.tensor.2d: the box of the map at (x, y) to shared memory, counted at the barrier; beyond the tensor come zeros.</summary>
    [IntrinsicImplementation, Ptx("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];")]
    public static void LoadTile(uint shared, ulong map, int x, int y, uint barrier) { }

    /// <summary>cp.async.bulk.tensor.3d: the same at (x, y, z).</summary>
    [IntrinsicImplementation, Ptx("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];")]
    public static void LoadTile(uint shared, ulong map, int x, int y, int z, uint barrier) { }

    /// <summary>cp.async.bulk.tensor.4d: the same at (x, y, z, w).</summary>
    [IntrinsicImplementation, Ptx("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];")]
    public static void LoadTile(uint shared, ulong map, int x, int y, int z, int w, uint barrier) { }

    /// <summary>fence.proxy.tensormap acquire: the TMA unit sees a map that was written to global memory.</summary>
    [IntrinsicImplementation, Ptx("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;")]
    public static void FenceTensorMap(ulong map) { }

    /// <summary>fence.proxy.async: what threads wrote to shared memory is seen by wgmma and TMA.</summary>
    [IntrinsicImplementation, Ptx("fence.proxy.async.shared::cta;")]
    public static void FenceAsyncProxy() { }

    /// <summary>stmatrix.x4: four 8 x 8 matrices of 16 bits to shared memory; lanes 8i to 8i + 7 give the addresses of the rows of matrix i.</summary>
    [IntrinsicImplementation, Ptx("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};")]
    public static void StoreMatrices(uint row, UInt4 value) { }

    // Registers and clusters.

    /// <summary>setmaxnreg.dec: a warpgroup gives registers back, down to so many a thread (a constant, a multiple of 8).</summary>
    [IntrinsicImplementation, Ptx("setmaxnreg.dec.sync.aligned.u32 @0;")]
    public static void ReleaseRegisters(int count) { }

    /// <summary>setmaxnreg.inc: a warpgroup takes registers, up to so many a thread (a constant, a multiple of 8).</summary>
    [IntrinsicImplementation, Ptx("setmaxnreg.inc.sync.aligned.u32 @0;")]
    public static void TakeRegisters(int count) { }

    /// <summary>barrier.cluster arrive and wait: all threads of all groups of the cluster.</summary>
    [IntrinsicImplementation, Ptx("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;")]
    public static void ClusterBarrier() { }

    /// <summary>%cluster_ctarank: the place of a group in its cluster.</summary>
    [IntrinsicImplementation, Ptx("mov.u32 %0, %cluster_ctarank;")]
    public static uint ClusterRank() => 0;
}
