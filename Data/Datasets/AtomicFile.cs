namespace MiniVlp.Data.Datasets;

/// <summary>Writes a file under a temporary name and renames it when it is complete, so that a crash leaves no half file.</summary>
internal static class AtomicFile
{
    public static string TemporaryName(string path)
    {
        return $"{path}.{Guid.NewGuid():N}.tmp";
    }

    public static void Write(string path, Action<Stream> write)
    {
        string temporary = TemporaryName(path);
        try
        {
            using (FileStream stream = new(temporary, FileMode.CreateNew, FileAccess.Write))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
