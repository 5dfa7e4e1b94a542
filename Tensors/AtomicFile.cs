using System.Text;

namespace MiniVlp.Tensors;

/// <summary>
/// A file that appears under its name only when it is complete: bytes go to a temporary file in the same directory, which is flushed to
/// disk and renamed over the target by <see cref="Commit"/>; disposing without a commit removes it and leaves the old file untouched.
/// </summary>
public sealed class AtomicFile : IDisposable
{
    private readonly FileStream _stream;
    private readonly string _temporaryPath;
    private bool _closed;

    /// <summary>Starts a temporary file beside <paramref name="path"/>.</summary>
    /// <param name="path">The name the file gets on <see cref="Commit"/>; its directory must exist.</param>
    /// <exception cref="IOException">The path is a directory, or its directory does not exist or cannot be written.</exception>
    public AtomicFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Path = System.IO.Path.GetFullPath(path);
        if (Directory.Exists(Path))
        {
            throw new IOException($"Cannot write the file '{path}': it is a directory.");
        }

        string? directory = System.IO.Path.GetDirectoryName(Path);
        if (!Directory.Exists(directory))
        {
            throw new DirectoryNotFoundException($"Cannot write the file '{path}': the directory '{directory}' does not exist.");
        }

        _temporaryPath = $"{Path}.{Guid.NewGuid().ToString("N")[..8]}.tmp";
        _stream = new FileStream(_temporaryPath, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
    }

    /// <summary>The full path of the file that <see cref="Commit"/> replaces or creates.</summary>
    public string Path { get; }

    /// <summary>The content being written; seekable.</summary>
    public FileStream Stream => _stream;

    /// <summary>Flushes the content to disk and renames the temporary file to <see cref="Path"/>.</summary>
    /// <exception cref="ObjectDisposedException">The file was committed or disposed before.</exception>
    /// <exception cref="IOException">The content cannot be flushed or the target cannot be replaced; the old file is untouched.</exception>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        try
        {
            _stream.Flush(flushToDisk: true);
            _stream.Dispose();
            File.Move(_temporaryPath, Path, overwrite: true);
            _closed = true;
        }
        finally
        {
            Dispose();
        }
    }

    /// <summary>Removes the temporary file unless it was committed.</summary>
    public void Dispose()
    {
        if (!_closed)
        {
            _closed = true;
            try
            {
                _stream.Dispose();
            }
            finally
            {
                File.Delete(_temporaryPath);
            }
        }
    }

    /// <summary>Replaces or creates <paramref name="path"/> with what <paramref name="write"/> puts into the stream; an exception leaves the old file.</summary>
    /// <exception cref="IOException">See <see cref="AtomicFile(string)"/> and <see cref="Commit"/>.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        using AtomicFile file = new(path);
        write(file.Stream);
        file.Commit();
    }

    /// <summary>Replaces or creates <paramref name="path"/> with <paramref name="bytes"/>.</summary>
    /// <exception cref="IOException">See <see cref="AtomicFile(string)"/> and <see cref="Commit"/>.</exception>
    public static void WriteAllBytes(string path, ReadOnlySpan<byte> bytes)
    {
        using AtomicFile file = new(path);
        file.Stream.Write(bytes);
        file.Commit();
    }

    /// <summary>Replaces or creates <paramref name="path"/> with <paramref name="text"/> in UTF-8 without a byte order mark.</summary>
    /// <exception cref="IOException">See <see cref="AtomicFile(string)"/> and <see cref="Commit"/>.</exception>
    public static void WriteAllText(string path, string text) => WriteAllBytes(path, Encoding.UTF8.GetBytes(text));
}
