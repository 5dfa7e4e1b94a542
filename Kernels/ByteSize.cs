namespace MiniVlp.Kernels;

/// <summary>Numbers of bytes in messages.</summary>
internal static class ByteSize
{
    /// <summary>In the largest unit of which there is one, rounded down.</summary>
    public static string Text(long bytes) => bytes switch
    {
        >= 1 << 20 => $"{bytes >> 20} MiB",
        >= 1 << 10 => $"{bytes >> 10} KiB",
        _ => $"{bytes} bytes",
    };
}
