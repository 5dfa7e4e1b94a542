using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

// Three ways to a product, chosen by the sizes alone: dot products for few rows times a transposed right operand (MatMul.Dot.Gpu.cs), and tiles of
// 128 x 128 or 64 x 64 (MatMul.Tile.Gpu.cs). Where there are fewer tiles than a device has room for, the depth is divided as well.
public sealed partial class GpuBackend
{
    /// <summary>Groups that are enough to fill a large device.</summary>
    private const int FillingGroups = 256;

    /// <summary>Steps of a sum that are worth a group of their own.</summary>
    private const int LeastPartDepth = 256;

    /// <inheritdoc/>
    public void MatMul(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias = default, DeviceBuffer residual = default)
        => MatMul<NoActivation>(args, a, b, c, bias, residual, default);

    /// <inheritdoc/>
    public void MatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
    {
        if (args.OuterBatch * args.InnerBatch == 0 || args.Rows == 0 || args.Columns == 0) return;
        if (!TryTensorCoreMatMul<TActivation>(args, a, b, c, bias, residual, preActivation)) PortableMatMul<TActivation>(args, a, b, c, bias, residual, preActivation);
    }

    /// <summary>The same by kernels that run on every device.</summary>
    private void PortableMatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
    {
        MatMulEpilogue<TActivation> epilogue = new(Output(c), Input(bias), Input(residual), Output(preActivation), args.Alpha, args.Beta);
        if (IsDotProduct(args)) Dot(args, a, b, epilogue);
        else if (FillsWithLargeTiles(args)) Tiles<ThreadTile8x8, TActivation>(args, a, b, epilogue);
        else Tiles<ThreadTile4x4, TActivation>(args, a, b, epilogue);
    }

    /// <summary>Whether tiles of 128 x 128 are not mostly empty and are enough, with the depth divided, to keep a device busy.</summary>
    private static bool FillsWithLargeTiles(in MatMulArgs args)
    {
        long tiles = (long)GroupCount(args.Rows, ThreadTile8x8.Size) * GroupCount(args.Columns, ThreadTile8x8.Size) * args.OuterBatch * args.InnerBatch;
        return args.Rows > 64 && args.Columns > 64 && tiles * Math.Max(1, args.Depth / LeastPartDepth) >= FillingGroups / 4;
    }

    private void Tiles<TTile, TActivation>(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, MatMulEpilogue<TActivation> epilogue)
        where TTile : struct, IThreadTile<TTile>
        where TActivation : struct, IUnaryOp
    {
        int products = args.OuterBatch * args.InnerBatch, rowTiles = GroupCount(args.Rows, TTile.Size), columnTiles = GroupCount(args.Columns, TTile.Size);
        long groups = (long)products * rowTiles * columnTiles;
        int parts = (int)Math.Clamp(Math.Min(FillingGroups / groups, args.Depth / LeastPartDepth), 1, FillingGroups);
        int partDepth = Math.Max(1, GroupCount(GroupCount(args.Depth, parts), 16)) * 16;
        parts = Math.Max(1, GroupCount(args.Depth, partDepth));
        MatMulGrid sizes = new(
            args.Rows, args.Columns, args.Depth, args.TransposeA ? args.Rows : args.Depth, args.TransposeB ? args.Depth : args.Columns, args.InnerBatch,
            args.OuterStrideA, args.InnerStrideA, args.OuterStrideB, args.InnerStrideB, products, rowTiles, columnTiles, partDepth);
        if (parts == 1)
        {
            LaunchTiles<TTile, TActivation>(args, a, b, sizes, epilogue, checked((int)groups));
            return;
        }

        DeviceBuffer partial = Rent(checked(parts * products * args.Rows * args.Columns));
        LaunchTiles<TTile, NoActivation>(args, a, b, sizes, new(Output(partial), default, default, default, 1f, 0f), checked((int)groups * parts));
        LaunchElements(new MatMulSumKernel<TActivation>(Input(partial), parts, args.Columns, epilogue), (long)products * args.Rows * args.Columns);
        Return(partial);
    }

    /// <summary>Picks the layout of A.</summary>
    private void LaunchTiles<TTile, TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, in MatMulGrid sizes, in MatMulEpilogue<TActivation> epilogue, int groups)
        where TTile : struct, IThreadTile<TTile>
        where TActivation : struct, IUnaryOp
    {
        bool isAligned = IsAligned(a, sizes.StrideA, args.OuterStrideA, args.InnerStrideA);
        if (args.TransposeA && isAligned) LaunchTiles<TTile, LinesInside<AlignedAccess>, TActivation>(args, a, b, sizes, epilogue, groups);
        else if (args.TransposeA) LaunchTiles<TTile, LinesInside<ScalarAccess>, TActivation>(args, a, b, sizes, epilogue, groups);
        else if (isAligned) LaunchTiles<TTile, StepsInside<AlignedAccess>, TActivation>(args, a, b, sizes, epilogue, groups);
        else LaunchTiles<TTile, StepsInside<ScalarAccess>, TActivation>(args, a, b, sizes, epilogue, groups);
    }

    /// <summary>Picks the layout of B.</summary>
    private void LaunchTiles<TTile, TLeft, TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, in MatMulGrid sizes, in MatMulEpilogue<TActivation> epilogue, int groups)
        where TTile : struct, IThreadTile<TTile>
        where TLeft : struct, ITileLayout
        where TActivation : struct, IUnaryOp
    {
        bool isAligned = IsAligned(b, sizes.StrideB, args.OuterStrideB, args.InnerStrideB);
        if (args.TransposeB && isAligned) Launch(new MatMulTileKernel<TTile, TLeft, StepsInside<AlignedAccess>, TActivation>(Input(a), Input(b), sizes, epilogue), groups);
        else if (args.TransposeB) Launch(new MatMulTileKernel<TTile, TLeft, StepsInside<ScalarAccess>, TActivation>(Input(a), Input(b), sizes, epilogue), groups);
        else if (isAligned) Launch(new MatMulTileKernel<TTile, TLeft, LinesInside<AlignedAccess>, TActivation>(Input(a), Input(b), sizes, epilogue), groups);
        else Launch(new MatMulTileKernel<TTile, TLeft, LinesInside<ScalarAccess>, TActivation>(Input(a), Input(b), sizes, epilogue), groups);
    }

    /// <summary>Whether every row of an operand starts at a multiple of four floats, so that 128-bit accesses do.</summary>
    private static bool IsAligned(DeviceBuffer buffer, int stride, int outerStride = 0, int innerStride = 0)
        => ((buffer.Offset | stride | outerStride | innerStride) & 3) == 0;
}
