using System.Runtime.InteropServices;
using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// A folder of pictures: the caption of <c>a/b.png</c> is in <c>a/b.txt</c>, or, where there is no such file, made from the class folder
/// <c>a</c> ("a photo of a cat"). <see cref="ImageTextSample.Metadata"/> holds <c>path</c> and, for class folders, <c>label</c>.
/// </summary>
public sealed class ImageFolderDataset : IImageTextDataset
{
    private readonly List<Entry> _entries = [];
    private readonly IImageDecoder _decoder;
    private readonly ImageLimits _limits;

    /// <summary>Lists the pictures, in ordinal order of their paths; they are opened when asked for.</summary>
    /// <param name="folder">The folder, read with its sub-folders (16 levels, links not followed).</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="options">The caption of class folders and limits; null for the defaults.</param>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="InvalidDataException">It holds no pictures, or one that has neither a text file nor a class folder.</exception>
    public ImageFolderDataset(string folder, IImageDecoder decoder, ImageTextOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= ImageTextOptions.Default;
        Name = folder;
        _decoder = decoder;
        _limits = options.Limits;
        if (!Directory.Exists(folder))
        {
            throw new DirectoryNotFoundException($"{folder}: there is no such folder.");
        }

        EnumerationOptions walk = new() { RecurseSubdirectories = true, MaxRecursionDepth = 16, AttributesToSkip = FileAttributes.ReparsePoint };
        IEnumerable<string> pictures = Directory.EnumerateFiles(folder, "*", walk)
            .Where(path => ImageFiles.IsImage(Path.GetExtension(path)))
            .Select(path => Path.GetRelativePath(folder, path).Replace('\\', '/'))
            .Order(StringComparer.Ordinal);
        foreach (string picture in pictures)
        {
            _entries.Add(EntryOf(picture, options));
        }

        if (_entries.Count == 0)
        {
            throw new InvalidDataException($"{folder}: no pictures (.png, .jpg, .jpeg, .webp, .gif, .bmp) in this folder or below.");
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => _entries.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        string caption = GetCaption(index);
        Entry entry = _entries[index];
        RgbImage image = ImageFiles.Decode(_decoder, Path.Combine(Name, entry.Picture), entry.Picture, _limits);
        JsonElement metadata = ImageFiles.Json(writer =>
        {
            writer.WriteString("path", entry.Picture);
            if (entry.Label is not null)
            {
                writer.WriteString("label", entry.Label);
            }
        });
        return new ImageTextSample(entry.Picture, image, caption, metadata);
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        Entry entry = _entries[index];
        if (entry.Caption is not null)
        {
            return entry.Caption;
        }

        string path = Path.Combine(Name, Path.ChangeExtension(entry.Picture, ".txt"));
        return ImageFiles.CaptionText(InputFile.ReadAllBytes(path, ImageFiles.CaptionLimit), path);
    }

    private Entry EntryOf(string picture, ImageTextOptions options)
    {
        if (File.Exists(Path.Combine(Name, Path.ChangeExtension(picture, ".txt"))))
        {
            return new Entry(picture, Label: null, Caption: null);
        }

        string? folder = Path.GetFileName(Path.GetDirectoryName(picture));
        if (string.IsNullOrEmpty(folder))
        {
            throw new InvalidDataException(
                $"{Name}: the picture '{picture}' has no caption: neither a file '{Path.ChangeExtension(picture, ".txt")}' nor a class folder around it.");
        }

        string label = folder.Replace('_', ' ');
        return new Entry(picture, label, options.FolderCaption.Replace("{folder}", label, StringComparison.Ordinal));
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Entry(string Picture, string? Label, string? Caption);
}
