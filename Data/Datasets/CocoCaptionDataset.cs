using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// COCO captions (Chen et al. 2015, arXiv 1504.00325): <c>images[].id, file_name</c> and <c>annotations[].image_id, caption</c>. One sample
/// per caption, in the order of the annotations; <see cref="ImageTextSample.Metadata"/> holds <c>image_id</c>, <c>annotation_id</c> and
/// <c>file_name</c>, so that the captions of one picture can be told to belong together.
/// </summary>
public sealed class CocoCaptionDataset : IImageTextDataset
{
    private const long FileLimit = 1L << 30;

    private readonly List<Entry> _entries = [];
    private readonly Dictionary<long, int> _firstOfPicture = [];
    private readonly IImageDecoder _decoder;
    private readonly ImageLimits _limits;
    private readonly string _root;

    /// <summary>Reads the annotation file; the pictures are opened when asked for.</summary>
    /// <param name="path">The json file.</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="options">Where the pictures are and how large they may be; null for the defaults.</param>
    /// <exception cref="InvalidDataException">The json is damaged, a field is missing, or an annotation names a picture that is not listed.</exception>
    /// <exception cref="FileNotFoundException">The json file or its first picture does not exist.</exception>
    public CocoCaptionDataset(string path, IImageDecoder decoder, ImageTextOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= ImageTextOptions.Default;
        Name = path;
        _decoder = decoder;
        _limits = options.Limits;
        _root = options.ImageRoot ?? Path.GetDirectoryName(Path.GetFullPath(path))!;
        using JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(path, FileLimit), path);
        Read(document.RootElement, path);
        if (_entries.Count == 0)
        {
            throw new InvalidDataException($"{path}: the list 'annotations' is empty.");
        }

        string first = Path.Combine(_root, _entries[0].FileName);
        if (!File.Exists(first))
        {
            throw new FileNotFoundException($"{path}: the first picture '{first}' does not exist; say which folder the pictures are in (ImageRoot).", first);
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => _entries.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        Entry entry = _entries[index];
        string key = string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(Name)}/{entry.FileName}#{entry.AnnotationId}");
        RgbImage image = ImageFiles.Decode(_decoder, Path.Combine(_root, entry.FileName), key, _limits);
        JsonElement metadata = ImageFiles.Json(writer =>
        {
            writer.WriteNumber("image_id", entry.ImageId);
            writer.WriteNumber("annotation_id", entry.AnnotationId);
            writer.WriteString("file_name", entry.FileName);
        });
        return new ImageTextSample(key, image, entry.Caption, metadata);
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _entries[index].Caption;
    }

    /// <inheritdoc/>
    public int PictureOf(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _firstOfPicture[_entries[index].ImageId];
    }

    private void Read(JsonElement root, string path)
    {
        Dictionary<long, string> files = [];
        int position = 0;
        foreach (JsonElement image in InputFile.Field(root, "images", JsonValueKind.Array, path).EnumerateArray())
        {
            string where = $"{path}: images[{position++}]";
            string file = InputFile.Field(image, "file_name", JsonValueKind.String, where).GetString()!;
            ImageFiles.Below(_root, file, where);
            if (!files.TryAdd(InputFile.WholeNumber(image, "id", where), file))
            {
                throw new InvalidDataException($"{where}: another image has the same id.");
            }
        }

        position = 0;
        foreach (JsonElement annotation in InputFile.Field(root, "annotations", JsonValueKind.Array, path).EnumerateArray())
        {
            string where = $"{path}: annotations[{position}]";
            long imageId = InputFile.WholeNumber(annotation, "image_id", where);
            if (!files.TryGetValue(imageId, out string? file))
            {
                throw new InvalidDataException($"{where}: 'image_id' is {imageId}, which no image has.");
            }

            string caption = InputFile.Field(annotation, "caption", JsonValueKind.String, where).GetString()!.Trim();
            long id = annotation.TryGetProperty("id", out _) ? InputFile.WholeNumber(annotation, "id", where) : position;
            _firstOfPicture.TryAdd(imageId, position);
            _entries.Add(new Entry(imageId, id, file, caption));
            position++;
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Entry(long ImageId, long AnnotationId, string FileName, string Caption);
}
