namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The width of a head at compile time, and how a tile of so wide rows lies in shared memory.</summary>
internal interface IHeadSize
{
    /// <summary>Elements of a row.</summary>
    static abstract int Size { get; }

    /// <summary>
    /// What the numbers of the 16-byte chunks of a row are XORed with, so that the same chunk of eight neighbouring rows lies in eight different
    /// groups of banks: ldmatrix then reads without conflicts, and no byte is spent on padding. It repeats after at most eight rows.
    /// </summary>
    static abstract uint Swizzle(uint row);

    /// <summary>The byte offset of a chunk so many (a constant) times 16 elements further on, once swizzled; sums of constants cost no instruction.</summary>
    static abstract uint Step(uint chunk, uint steps);
}

/// <summary>Heads of 32: two rows fill the 128 bytes of all banks.</summary>
internal readonly struct Head32 : IHeadSize
{
    public static int Size => 32;

    public static uint Swizzle(uint row) => (row >> 1) & 3;

    public static uint Step(uint chunk, uint steps) => chunk ^ (steps * 32);
}

/// <summary>Heads of 64: one row fills all banks.</summary>
internal readonly struct Head64 : IHeadSize
{
    public static int Size => 64;

    public static uint Swizzle(uint row) => row & 7;

    public static uint Step(uint chunk, uint steps) => chunk ^ (steps * 32);
}

/// <summary>Heads of 80: each row starts 32 bytes further on in the banks; after four rows the even chunks are taken and the odd ones follow.</summary>
internal readonly struct Head80 : IHeadSize
{
    public static int Size => 80;

    public static uint Swizzle(uint row) => (row >> 2) & 1;

    public static uint Step(uint chunk, uint steps) => chunk + (steps * 32);
}

/// <summary>Heads of 128: one row fills all banks twice.</summary>
internal readonly struct Head128 : IHeadSize
{
    public static int Size => 128;

    public static uint Swizzle(uint row) => row & 7;

    public static uint Step(uint chunk, uint steps) => (chunk ^ ((steps & 3) * 32)) + ((steps >> 2) * 128);
}
