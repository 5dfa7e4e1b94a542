namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// How a product is cut: a group of threads computes a block of C, each of its warps a square of it, and the sum runs in steps of 128 bytes of
/// either operand, several of which are under way from memory.
/// </summary>
internal interface ITensorCoreTile
{
    /// <summary>Rows of C that a group computes.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of C that a group computes.</summary>
    static abstract int Columns { get; }

    /// <summary>Rows, and columns, of C that a warp computes: 64 or 32.</summary>
    static abstract int WarpSize { get; }

    /// <summary>Steps of the sum that have room in shared memory: 3 or 4.</summary>
    static abstract int Stages { get; }

    /// <summary>Groups on one multiprocessor, for which registers and shared memory must suffice.</summary>
    static abstract int GroupsPerMultiprocessor { get; }
}

/// <summary>128 x 256 with eight warps and 192 KiB: the most arithmetic for each byte, where there is room for it.</summary>
internal readonly struct Tile128x256 : ITensorCoreTile
{
    public static int Rows => 128;

    public static int Columns => 256;

    public static int WarpSize => 64;

    public static int Stages => 4;

    public static int GroupsPerMultiprocessor => 1;
}

/// <summary>128 x 128 with four warps and 96 KiB; two groups share a multiprocessor where it has twice that.</summary>
internal readonly struct Tile128x128 : ITensorCoreTile
{
    public static int Rows => 128;

    public static int Columns => 128;

    public static int WarpSize => 64;

    public static int Stages => 3;

    public static int GroupsPerMultiprocessor => 2;
}

/// <summary>64 x 64 with four warps and 48 KiB: for products too small to occupy the device with larger blocks.</summary>
internal readonly struct Tile64x64 : ITensorCoreTile
{
    public static int Rows => 64;

    public static int Columns => 64;

    public static int WarpSize => 32;

    public static int Stages => 3;

    public static int GroupsPerMultiprocessor => 4;
}

/// <summary>How an operand lies in memory.</summary>
internal interface IOperandLayout
{
    /// <summary>Whether the elements of one step of the sum are contiguous (A as Depth x Rows, B as Depth x Columns), instead of those of one row of C or one column.</summary>
    static abstract bool IsStepContiguous { get; }
}

/// <summary>A as Rows x Depth, B as Columns x Depth: what is summed over is contiguous.</summary>
internal readonly struct DepthContiguous : IOperandLayout
{
    public static bool IsStepContiguous => false;
}

/// <summary>A as Depth x Rows, B as Depth x Columns.</summary>
internal readonly struct StepContiguous : IOperandLayout
{
    public static bool IsStepContiguous => true;
}
