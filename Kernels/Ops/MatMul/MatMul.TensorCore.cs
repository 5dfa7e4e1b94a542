using ILGPU.Runtime.Cuda;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Rows, columns and depth below which tensor cores would mostly multiply zeros.</summary>
    private const int LeastTensorCoreSize = 16;

    /// <summary>Multiplications of one product below which the work around it counts for more.</summary>
    private const long LeastTensorCoreWork = 32 * 32 * 32;

    /// <summary>Most groups that a launch may have along the batch.</summary>
    private const int MostGroupsZ = 65535;

    /// <summary>Tensor cores read rows in chunks of 16 bytes: so many elements.</summary>
    private const int ChunkBytes = 16, FloatsOfChunk = 4, BFloat16OfChunk = 8;

    private int? _sharedBytesPerGroup;

    /// <summary>Whether products go by wgmma where the device has it; to measure it against mma.sync.</summary>
    internal bool UsesWarpgroupProducts { get; set; } = true;

    private TensorMaps? _tensorMaps;

    /// <summary>Tensor maps that have room on the device; for tests, before the first is made.</summary>
    internal int TensorMapCapacity { get; set; } = 4096;

    private TensorMaps Maps => _tensorMaps ??= new TensorMaps(_accelerator, _recorder, _uploads!, TensorMapCapacity);

    /// <summary>How the operands of matrix products are rounded: not at all, unless it is set. Products of few rows or columns are not rounded.</summary>
    public MatMulPrecision Precision { get; set; }

    /// <summary>Takes the place of the table that chooses tiles: for tests, and to measure what the table should say.</summary>
    internal (TensorCoreTileSize Tile, int Parts)? FixedTile { get; set; }

    /// <summary>Shared memory that one group may have, on CUDA.</summary>
    private int SharedBytesPerGroup => _sharedBytesPerGroup ??= OptInSharedBytes((CudaAccelerator)_accelerator);

    /// <summary>Computes a product as <see cref="Precision"/> says, or returns false for it to be computed in float32.</summary>
    private bool TryTensorCoreMatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
    {
        if (Precision == MatMulPrecision.Float32 || !IsWorthTensorCores(args)) return false;
        bool isTransposedB = !args.TransposeB;
        int columnsA = args.TransposeA ? args.Rows : args.Depth, columnsB = args.TransposeB ? args.Depth : args.Columns;
        int rowsA = args.TransposeA ? args.Depth : args.Rows, rowsB = args.TransposeB ? args.Columns : args.Depth;
        if (Level < CudaLevel.Sm80)
        {
            if (Precision != MatMulPrecision.BFloat16) return false;
            DeviceBuffer roundedA = RoundedToBFloat16(a), roundedB = RoundedToBFloat16(b);
            PortableMatMul<TActivation>(args, roundedA, roundedB, c, bias, residual, preActivation);
            Return(roundedA);
            Return(roundedB);
            return true;
        }

        if (!HasShortOffsets(rowsA, columnsA) || !HasShortOffsets(rowsB, columnsB)) return false;
        if (Precision == MatMulPrecision.TensorFloat32)
        {
            bool isAlignedA = IsAligned(a, columnsA, args.OuterStrideA, args.InnerStrideA), isAlignedB = IsAligned(b, columnsB, args.OuterStrideB, args.InnerStrideB);
            if (!isAlignedA && !CanPad(a, columnsA, args.OuterStrideA, args.InnerStrideA, FloatsOfChunk)) return false;
            if (!isAlignedB && !CanPad(b, columnsB, args.OuterStrideB, args.InnerStrideB, FloatsOfChunk)) return false;
            DeviceBuffer alignedA = isAlignedA ? a : WithPaddedRows(a, columnsA), alignedB = isAlignedB ? b : WithPaddedRows(b, columnsB);
            TensorCoreMatMul<TensorFloat32Precision, TActivation>(
                args, Padded(alignedA, columnsA, args.OuterStrideA, args.InnerStrideA, args.TransposeA, FloatsOfChunk),
                Padded(alignedB, columnsB, args.OuterStrideB, args.InnerStrideB, isTransposedB, FloatsOfChunk), a, b, c, bias, residual, preActivation);
            if (!isAlignedA) Return(alignedA);
            if (!isAlignedB) Return(alignedB);
            return true;
        }

        if (!CanPad(a, columnsA, args.OuterStrideA, args.InnerStrideA, BFloat16OfChunk) || !CanPad(b, columnsB, args.OuterStrideB, args.InnerStrideB, BFloat16OfChunk)) return false;
        DeviceBuffer copyA = BFloat16(a, columnsA), copyB = BFloat16(b, columnsB, copyA);
        TensorCoreMatMul<BFloat16Precision, TActivation>(
            args, Padded(copyA, columnsA, args.OuterStrideA, args.InnerStrideA, args.TransposeA, BFloat16OfChunk),
            Padded(copyB, columnsB, args.OuterStrideB, args.InnerStrideB, isTransposedB, BFloat16OfChunk), a, b, c, bias, residual, preActivation);
        ReturnUnkept(a, copyA);
        ReturnUnkept(b, copyB);
        return true;
    }

    private static bool IsWorthTensorCores(in MatMulArgs args)
        => Math.Min(Math.Min(args.Rows, args.Columns), args.Depth) >= LeastTensorCoreSize && (long)args.Rows * args.Columns * args.Depth >= LeastTensorCoreWork
            && (long)args.OuterBatch * args.InnerBatch <= MostGroupsZ;

    /// <summary>Whether 32 bits hold the offset of every row of a matrix, and of every row of a step beyond its end, with elements of 4 bytes.</summary>
    private static bool HasShortOffsets(int rows, int columns) => Math.Max(rows, 128L) * RoundUp8(columns) <= uint.MaxValue / 4;

    /// <summary>Whether a copy with rows padded to chunks of so many elements can be addressed by the same strides.</summary>
    private static bool CanPad(DeviceBuffer source, int columns, int outerStride, int innerStride, int chunk)
        => source.Length % columns == 0 && (columns % chunk == 0 ? outerStride % chunk == 0 && innerStride % chunk == 0 : outerStride % columns == 0 && innerStride % columns == 0);

    /// <summary>What has rows padded to chunks of so many elements, as an operand; the strides are those without padding.</summary>
    private static TensorCoreOperand Padded(DeviceBuffer buffer, int columns, int outerStride, int innerStride, bool isStepContiguous, int chunk)
    {
        long padded = ((long)columns + chunk - 1) / chunk * chunk, bytes = ChunkBytes / chunk;
        return new(Input(buffer), padded * bytes, outerStride * padded / columns * bytes, innerStride * padded / columns * bytes, isStepContiguous);
    }

    private void TensorCoreMatMul<TPrecision, TActivation>(
        in MatMulArgs args, in TensorCoreOperand a, in TensorCoreOperand b, DeviceBuffer sourceA, DeviceBuffer sourceB,
        DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TPrecision : struct, ITensorCorePrecision
        where TActivation : struct, IUnaryOp
    {
        bool hasWgmma = UsesWarpgroupProducts && Level >= CudaLevel.Sm90a && HasWgmmaLayout<TPrecision>(a, b) && a.HasOneBatchAxis(args) && b.HasOneBatchAxis(args);
        if (!hasWgmma && FixedTile is { Tile: <= TensorCoreTileSize.Wgmma128x192 }) throw new InvalidOperationException($"{Name}: wgmma does not take these operands.");
        TensorCorePlan plan = FixedTile is { } tile
            ? TensorCorePlan.Of(args, 128 / TPrecision.Bytes, tile.Tile, tile.Parts)
            : TensorCorePlan.For(args, 128 / TPrecision.Bytes, Multiprocessors, SharedBytesPerGroup, hasWgmma);
        if (plan.Parts == 1)
        {
            bool isAligned = args.Columns % 4 == 0 && ((c.Offset | bias.Offset | residual.Offset | preActivation.Offset) & 3) == 0;
            LaunchTensorCores<TPrecision, TActivation>(
                args, plan, a, b,
                new(
                    Output(c), Input(bias), Input(residual), Output(preActivation), isAligned ? CopyAhead(c, sourceA, sourceB) : default,
                    args.Rows, args.Columns, args.Alpha, args.Beta, isAligned ? 1 : 0));
            return;
        }

        int products = args.OuterBatch * args.InnerBatch;
        DeviceBuffer partial = Rent(checked(plan.Parts * products * args.Rows * args.Columns));
        LaunchTensorCores<TPrecision, NoActivation>(
            args, plan, a, b, new(Output(partial), default, default, default, default, args.Rows, args.Columns, 1f, 0f, args.Columns % 4 == 0 ? 1 : 0));
        MatMulEpilogue<TActivation> epilogue = new(Output(c), Input(bias), Input(residual), Output(preActivation), args.Alpha, args.Beta);
        LaunchElements(new MatMulSumKernel<TActivation>(Input(partial), plan.Parts, args.Columns, epilogue), (long)products * args.Rows * args.Columns);
        Return(partial);
    }

    /// <summary>Picks the tile.</summary>
    private void LaunchTensorCores<TPrecision, TActivation>(
        in MatMulArgs args, in TensorCorePlan plan, in TensorCoreOperand a, in TensorCoreOperand b, in TensorCoreEpilogue<TActivation> epilogue)
        where TPrecision : struct, ITensorCorePrecision
        where TActivation : struct, IUnaryOp
    {
        switch (plan.Tile)
        {
            case TensorCoreTileSize.Wgmma128x256: LaunchWgmma<TPrecision, Accumulator256, TActivation>(args, plan, a, b, epilogue); break;
            case TensorCoreTileSize.Wgmma128x192: LaunchWgmma<TPrecision, Accumulator192, TActivation>(args, plan, a, b, epilogue); break;
            case TensorCoreTileSize.Tile128x256: LaunchTensorCores<Tile128x256, TPrecision, TActivation>(args, plan, a, b, epilogue); break;
            case TensorCoreTileSize.Tile128x128: LaunchTensorCores<Tile128x128, TPrecision, TActivation>(args, plan, a, b, epilogue); break;
            default: LaunchTensorCores<Tile64x64, TPrecision, TActivation>(args, plan, a, b, epilogue); break;
        }
    }

    /// <summary>TF32 has wgmma where depth is contiguous in both operands.</summary>
    private static bool HasWgmmaLayout<TPrecision>(in TensorCoreOperand a, in TensorCoreOperand b)
        where TPrecision : struct, ITensorCorePrecision
        => TPrecision.Bytes == 2 || !(a.IsStepContiguous || b.IsStepContiguous);

    /// <summary>Picks the operands for wgmma.</summary>
    private void LaunchWgmma<TPrecision, TSums, TActivation>(
        in MatMulArgs args, in TensorCorePlan plan, in TensorCoreOperand a, in TensorCoreOperand b, in TensorCoreEpilogue<TActivation> epilogue)
        where TPrecision : struct, ITensorCorePrecision
        where TSums : struct, IBlockSums<TSums>
        where TActivation : struct, IUnaryOp
    {
        if (TPrecision.Bytes == 4) LaunchWarpgroups<TensorFloat32Operands, TSums, TActivation>(args, plan, a, b, epilogue);
        else if (a.IsStepContiguous && b.IsStepContiguous) LaunchWarpgroups<BFloat16Operands<StepContiguous, StepContiguous>, TSums, TActivation>(args, plan, a, b, epilogue);
        else if (a.IsStepContiguous) LaunchWarpgroups<BFloat16Operands<StepContiguous, DepthContiguous>, TSums, TActivation>(args, plan, a, b, epilogue);
        else if (b.IsStepContiguous) LaunchWarpgroups<BFloat16Operands<DepthContiguous, StepContiguous>, TSums, TActivation>(args, plan, a, b, epilogue);
        else LaunchWarpgroups<BFloat16Operands<DepthContiguous, DepthContiguous>, TSums, TActivation>(args, plan, a, b, epilogue);
    }

    private void LaunchWarpgroups<TOperands, TSums, TActivation>(
        in MatMulArgs args, in TensorCorePlan plan, in TensorCoreOperand a, in TensorCoreOperand b, in TensorCoreEpilogue<TActivation> epilogue)
        where TOperands : struct, IWarpgroupOperands
        where TSums : struct, IBlockSums<TSums>
        where TActivation : struct, IUnaryOp
    {
        int products = args.OuterBatch * args.InnerBatch;
        TensorMap mapA = a.Map(args.Rows, args.Depth, args, WgmmaMatMulKernel<TOperands, TSums, TActivation>.BoxRowsA, TOperands.IsTensorFloat32);
        TensorMap mapB = b.Map(args.Columns, args.Depth, args, WgmmaMatMulKernel<TOperands, TSums, TActivation>.BoxRowsB, TOperands.IsTensorFloat32);
        WgmmaMatMulKernel<TOperands, TSums, TActivation> kernel = new(
            Maps.Get(mapA), Maps.Get(mapB), mapA.Matrices == 1 ? 1 : 0, mapB.Matrices == 1 ? 1 : 0, products,
            args.Depth, plan.PartDepth, plan.Parts, epilogue);
        long blocks = (long)GroupCount(args.Rows, WgmmaMatMulKernel<TOperands, TSums, TActivation>.BlockRows)
            * GroupCount(args.Columns, TSums.Columns) * products * plan.Parts;
        Launch(kernel, (int)Math.Min(Multiprocessors, blocks));
    }

    /// <summary>Picks the layouts for mma.sync.</summary>
    private void LaunchTensorCores<TTile, TPrecision, TActivation>(
        in MatMulArgs args, in TensorCorePlan plan, in TensorCoreOperand a, in TensorCoreOperand b, in TensorCoreEpilogue<TActivation> epilogue)
        where TTile : struct, ITensorCoreTile
        where TPrecision : struct, ITensorCorePrecision
        where TActivation : struct, IUnaryOp
    {
        if (a.IsStepContiguous && b.IsStepContiguous) LaunchTensorCores<TTile, TPrecision, StepContiguous, StepContiguous, TActivation>(args, plan, a, b, epilogue);
        else if (a.IsStepContiguous) LaunchTensorCores<TTile, TPrecision, StepContiguous, DepthContiguous, TActivation>(args, plan, a, b, epilogue);
        else if (b.IsStepContiguous) LaunchTensorCores<TTile, TPrecision, DepthContiguous, StepContiguous, TActivation>(args, plan, a, b, epilogue);
        else LaunchTensorCores<TTile, TPrecision, DepthContiguous, DepthContiguous, TActivation>(args, plan, a, b, epilogue);
    }

    private void LaunchTensorCores<TTile, TPrecision, TA, TB, TActivation>(
        in MatMulArgs args, in TensorCorePlan plan, in TensorCoreOperand a, in TensorCoreOperand b, in TensorCoreEpilogue<TActivation> epilogue)
        where TTile : struct, ITensorCoreTile
        where TPrecision : struct, ITensorCorePrecision
        where TA : struct, IOperandLayout
        where TB : struct, IOperandLayout
        where TActivation : struct, IUnaryOp
    {
        int products = args.OuterBatch * args.InnerBatch;
        MmaMatMulKernel<TTile, TPrecision, TA, TB, TActivation> kernel = new(
            a.View, b.View, checked((int)a.LeadingBytes), checked((int)b.LeadingBytes), a.OuterStrideBytes, a.InnerStrideBytes, b.OuterStrideBytes, b.InnerStrideBytes,
            args.InnerBatch, products, args.Depth, plan.PartDepth, plan.Parts, epilogue);
        Launch(kernel, checked(GroupCount(args.Rows, TTile.Rows) * GroupCount(args.Columns, TTile.Columns)), 1, products * plan.Parts);
    }

    /// <summary>What CUDA gives a group that asks for more than the usual 48 KiB.</summary>
    private static int OptInSharedBytes(CudaAccelerator accelerator)
    {
        const int MaxSharedMemoryPerBlockOptIn = 97;
        return CudaAPI.CurrentAPI.GetDeviceAttribute((DeviceAttributeKind)MaxSharedMemoryPerBlockOptIn, accelerator.DeviceId);
    }
}
