namespace MiniVlp.Data.Images;

/// <summary>A picture file that cannot be used: damaged, of another type, or over a limit. Says which file, what was expected and what was found.</summary>
public sealed class ImageFormatException : FormatException
{
    /// <summary>Makes the error; its message is <c>"name: expected ..., found ..."</c>.</summary>
    /// <param name="fileName">The file or shard member.</param>
    /// <param name="expected">What the file should hold there.</param>
    /// <param name="found">What it holds.</param>
    /// <param name="innerException">The error underneath, if any.</param>
    public ImageFormatException(string fileName, string expected, string found, Exception? innerException = null)
        : base($"{fileName}: expected {expected}, found {found}.", innerException)
    {
        FileName = fileName;
        Expected = expected;
        Found = found;
    }

    /// <summary>The file or shard member.</summary>
    public string FileName { get; }

    /// <summary>What the file should hold there.</summary>
    public string Expected { get; }

    /// <summary>What it holds.</summary>
    public string Found { get; }
}
