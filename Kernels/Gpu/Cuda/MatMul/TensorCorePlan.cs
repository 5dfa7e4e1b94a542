using ILGPU;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>An operand as tensor cores read it; all strides are multiples of 16 bytes.</summary>
/// <param name="View">The elements, as words.</param>
/// <param name="LeadingBytes">From one row to the next, as the matrix is stored.</param>
/// <param name="OuterStrideBytes">From one matrix to the next along the outer batch axis.</param>
/// <param name="InnerStrideBytes">From one matrix to the next along the inner batch axis.</param>
/// <param name="IsStepContiguous">Whether a stored row is one step of the sum.</param>
internal readonly record struct TensorCoreOperand(ArrayView<float> View, long LeadingBytes, long OuterStrideBytes, long InnerStrideBytes, bool IsStepContiguous)
{
    /// <summary>Whether all matrices are evenly spaced, as a tensor map needs them.</summary>
    public bool HasOneBatchAxis(in MatMulArgs args)
        => args.OuterBatch == 1 || args.InnerBatch == 1 || OuterStrideBytes == args.InnerBatch * InnerStrideBytes;

    /// <summary>The tensor map of it: so many rows of A, or columns of B, and so deep.</summary>
    public TensorMap Map(int lines, int depth, in MatMulArgs args, int boxRows, bool isTensorFloat32)
    {
        int columns = IsStepContiguous ? lines : depth, rows = IsStepContiguous ? depth : lines;
        long stride = args.InnerBatch == 1 ? OuterStrideBytes : InnerStrideBytes;
        int matrices = args.OuterBatch * args.InnerBatch;
        return stride == 0 || matrices == 1
            ? new TensorMap(Address, columns, rows, 1, LeadingBytes, LeadingBytes * rows, boxRows, isTensorFloat32)
            : new TensorMap(Address, columns, rows, matrices, LeadingBytes, stride, boxRows, isTensorFloat32);
    }

    private nint Address => AddressOf(View);

    private static nint AddressOf<TView>(TView view)
        where TView : struct, IContiguousArrayView
        => view.Buffer.NativePtr + (nint)view.IndexInBytes;
}

/// <summary>The tiles there are, the largest first.</summary>
internal enum TensorCoreTileSize
{
    /// <summary>128 x 256 of <see cref="WgmmaMatMulKernel{TOperands,TSums,TActivation}"/>.</summary>
    Wgmma128x256,

    /// <summary>128 x 192 of it.</summary>
    Wgmma128x192,

    /// <summary><see cref="Cuda.Tile128x256"/>.</summary>
    Tile128x256,

    /// <summary><see cref="Cuda.Tile128x128"/>.</summary>
    Tile128x128,

    /// <summary><see cref="Cuda.Tile64x64"/>.</summary>
    Tile64x64,
}

/// <summary>How a product is divided among the multiprocessors: by blocks of C and, where C has few, by parts of the depth.</summary>
/// <param name="Tile">Size of the blocks.</param>
/// <param name="Parts">Parts of the depth.</param>
/// <param name="PartDepth">Depth of one part, a multiple of a step.</param>
internal readonly record struct TensorCorePlan(TensorCoreTileSize Tile, int Parts, int PartDepth)
{
    /// <summary>A tile of the table.</summary>
    /// <param name="Tile">Its name.</param>
    /// <param name="Rows">Rows of C.</param>
    /// <param name="Columns">Columns of C.</param>
    /// <param name="PerMultiprocessor">Groups on one multiprocessor.</param>
    /// <param name="SharedBytes">Shared memory of a group.</param>
    /// <param name="Efficiency">The share of the peak that full waves of it reach.</param>
    /// <param name="Overhead">What a group costs beside its products (the first copies, the epilogue), in steps of depth.</param>
    private readonly record struct Choice(TensorCoreTileSize Tile, int Rows, int Columns, int PerMultiprocessor, int SharedBytes, double Efficiency, int Overhead);

    /// <summary>Steps of a sum that are worth a group of their own, and the most parts of a sum.</summary>
    private const int LeastPartDepth = 512, MostParts = 32;

    /// <summary>
    /// What the sum of parts costs, in multiplications that a multiprocessor could do meanwhile at its peak: about 4 µs for the launch, and the way of each
    /// element to memory and back.
    /// </summary>
    private const double SumLaunch = 16e6, SumElement = 12;

    /// <summary>
    /// 128 x 256 by wgmma is fitted to an H100, where a wave takes 5.9 µs and as long as 0.69 of the peak needs, at depths of 768 to 4,096; the others are
    /// estimates from instruction counts, not measurements. Groups that share a multiprocessor hide a part of what each costs beside its products.
    /// </summary>
    private static readonly Choice[] Table =
    [
        new(TensorCoreTileSize.Wgmma128x256, 128, 256, 1, 226 * 1024, 0.69, 460),
        new(TensorCoreTileSize.Wgmma128x192, 128, 192, 1, 194 * 1024, 0.65, 460),
        new(TensorCoreTileSize.Tile128x256, 128, 256, 1, 192 * 1024, 0.5, 460),
        new(TensorCoreTileSize.Tile128x128, 128, 128, 2, 96 * 1024, 0.45, 300),
        new(TensorCoreTileSize.Tile64x64, 64, 64, 4, 48 * 1024, 0.25, 200),
    ];

    /// <summary>The plan with the shortest estimated time: the groups of the busiest multiprocessor, times the work of a group.</summary>
    /// <param name="args">Sizes of the product.</param>
    /// <param name="step">Elements of one step.</param>
    /// <param name="multiprocessors">Multiprocessors of the device.</param>
    /// <param name="sharedBytes">Shared memory that one group may have.</param>
    /// <param name="hasWgmma">Whether tiles by wgmma can be chosen.</param>
    public static TensorCorePlan For(in MatMulArgs args, int step, int multiprocessors, int sharedBytes, bool hasWgmma)
    {
        TensorCorePlan best = default;
        double bestTime = double.PositiveInfinity;
        int products = args.OuterBatch * args.InnerBatch;
        foreach (Choice choice in Table)
        {
            if (choice.SharedBytes > sharedBytes || (choice.Tile <= TensorCoreTileSize.Wgmma128x192 && !hasWgmma)) continue;
            long blocks = (long)Divide(args.Rows, choice.Rows) * Divide(args.Columns, choice.Columns) * products;
            int most = (int)Math.Clamp((long)multiprocessors * choice.PerMultiprocessor / blocks, 1, Math.Min(MostParts, Math.Max(1, args.Depth / LeastPartDepth)));
            for (int parts = 1; parts <= most; parts++)
            {
                int partDepth = Divide(Divide(args.Depth, parts), step) * step, count = Divide(args.Depth, partDepth);
                if (count != parts || (long)products * parts > ushort.MaxValue || (long)products * parts * args.Rows * args.Columns > int.MaxValue) continue;
                long perMultiprocessor = ((blocks * parts) + multiprocessors - 1) / multiprocessors;
                double time = (double)perMultiprocessor * choice.Rows * choice.Columns * (partDepth + choice.Overhead) / choice.Efficiency;
                if (parts > 1) time += SumLaunch + (SumElement * products * parts * args.Rows * args.Columns);
                if (time >= bestTime) continue;
                (best, bestTime) = (new TensorCorePlan(choice.Tile, parts, partDepth), time);
            }
        }

        return best;
    }

    /// <summary>A plan with a given tile, and parts as near to a given number as steps allow.</summary>
    public static TensorCorePlan Of(in MatMulArgs args, int step, TensorCoreTileSize tile, int parts)
    {
        int partDepth = Divide(Divide(args.Depth, parts), step) * step;
        return new(tile, Divide(args.Depth, partDepth), partDepth);
    }

    private static int Divide(int value, int by) => (value + by - 1) / by;
}
