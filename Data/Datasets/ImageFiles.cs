using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>What the readers of pictures on disk have in common.</summary>
internal static class ImageFiles
{
    public const int CaptionLimit = 1 << 20;
    private static readonly string[] Extensions = [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"];

    public static bool IsImage(string extension)
    {
        return Extensions.Contains(extension, StringComparer.OrdinalIgnoreCase);
    }

    public static void CheckIndex(int index, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, count);
    }

    public static RgbImage Decode(IImageDecoder decoder, string path, string name, ImageLimits limits)
    {
        FileInfo file = new(path);
        if (!file.Exists)
        {
            throw new FileNotFoundException($"{name}: the picture '{path}' does not exist.", path);
        }

        limits.CheckFile(file.Length, name);
        return decoder.Decode(InputFile.ReadAllBytes(path, limits.MaxFileBytes), name, limits);
    }

    public static string CaptionText(ReadOnlySpan<byte> bytes, string where)
    {
        return InputFile.Utf8(bytes, where).Trim();
    }

    /// <summary>A relative path from a file that nobody vouches for: it may not leave the folder.</summary>
    public static string Below(string root, string relative, string where)
    {
        if (relative.Length == 0 || relative.Contains('\0', StringComparison.Ordinal) || Path.IsPathRooted(relative)
            || relative.Split('/', '\\').Contains("..", StringComparer.Ordinal))
        {
            throw new InvalidDataException($"{where}: '{relative}' is not a path inside the folder '{root}'.");
        }

        return Path.Combine(root, relative);
    }

    public static JsonElement Json(Action<Utf8JsonWriter> write)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream))
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        }

        using JsonDocument document = JsonDocument.Parse(stream.ToArray());
        return document.RootElement.Clone();
    }
}
