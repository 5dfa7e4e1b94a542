namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>How the two multiplying warpgroups of a group, and the groups of a cluster, divide blocks of C among them.</summary>
internal interface IWarpgroupBlocks
{
    /// <summary>
    /// Whether each warpgroup has blocks of its own, of 64 x 256: one finishes its block while the other multiplies. Otherwise they share blocks of
    /// 128 x 256, which takes 3/5 of the bytes from the second-level cache.
    /// </summary>
    static abstract bool AreOwn { get; }

    /// <summary>Groups of a cluster: their blocks lie below one another, and each copies its part of B for all of them. 1, 2 or 4.</summary>
    static abstract int ClusterSize { get; }
}

/// <summary>A block of 128 x 256 for both warpgroups.</summary>
internal readonly struct SharedBlocks : IWarpgroupBlocks
{
    public static bool AreOwn => false;

    public static int ClusterSize => 1;
}

/// <summary>The same in clusters of two: 256 x 256, with 2/3 of the bytes from the second-level cache.</summary>
internal readonly struct PairedSharedBlocks : IWarpgroupBlocks
{
    public static bool AreOwn => false;

    public static int ClusterSize => 2;
}

/// <summary>A block of 64 x 256 for each warpgroup, in turn.</summary>
internal readonly struct OwnBlocks : IWarpgroupBlocks
{
    public static bool AreOwn => true;

    public static int ClusterSize => 1;
}

/// <summary>The same in clusters of two.</summary>
internal readonly struct PairedOwnBlocks : IWarpgroupBlocks
{
    public static bool AreOwn => true;

    public static int ClusterSize => 2;
}
