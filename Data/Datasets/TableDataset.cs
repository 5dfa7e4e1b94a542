using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// A CSV or TSV file (RFC 4180 quoting, UTF-8, a header row) with a column of picture paths and a column of captions; the other columns
/// become <see cref="ImageTextSample.Metadata"/>. Paths may be absolute or relative to <see cref="ImageTextOptions.ImageRoot"/>.
/// </summary>
public sealed class TableDataset : IImageTextDataset
{
    private const long FileLimit = 1L << 30;
    private static readonly string[] ImageColumns = ["image", "image_path", "filepath", "file_name", "file", "path"];
    private static readonly string[] CaptionColumns = ["caption", "text", "title", "description", "label"];

    private readonly List<Row> _rows = [];
    private readonly Dictionary<string, int> _firstOfPicture = new(StringComparer.Ordinal);
    private readonly string[] _columns;
    private readonly int _imageColumn;
    private readonly int _captionColumn;
    private readonly string _root;
    private readonly IImageDecoder _decoder;
    private readonly ImageLimits _limits;

    /// <summary>Reads the table; the pictures are opened when asked for.</summary>
    /// <param name="path">The file; the separator is a tab when its name ends in .tsv, else a comma.</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="options">Column names, picture folder and limits; null for the defaults.</param>
    /// <exception cref="InvalidDataException">A column is missing, or a row is damaged; the message names the line.</exception>
    /// <exception cref="FileNotFoundException">The file or its first picture does not exist.</exception>
    public TableDataset(string path, IImageDecoder decoder, ImageTextOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= ImageTextOptions.Default;
        Name = path;
        _decoder = decoder;
        _limits = options.Limits;
        _root = options.ImageRoot ?? Path.GetDirectoryName(Path.GetFullPath(path))!;
        char separator = path.EndsWith(".tsv", StringComparison.OrdinalIgnoreCase) ? '\t' : ',';
        DelimitedText text = new(InputFile.Utf8(InputFile.ReadAllBytes(path, FileLimit), path), separator, path);
        _columns = text.ReadRow() ?? throw new InvalidDataException($"{path}: an empty file; a header row with column names is needed.");
        _imageColumn = Column(options.ImageColumn, ImageColumns, "picture paths", nameof(options.ImageColumn));
        _captionColumn = Column(options.CaptionColumn, CaptionColumns, "captions", nameof(options.CaptionColumn));
        ReadRows(text);
        string first = ImagePath(_rows[0]);
        if (!File.Exists(first))
        {
            throw new FileNotFoundException(
                $"{path}: line {_rows[0].Line}: the picture '{first}' does not exist; say which folder the pictures are in (ImageRoot).", first);
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => _rows.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        Row row = _rows[index];
        string key = string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(Name)}:{row.Line}/{row.Fields[_imageColumn]}");
        RgbImage image = ImageFiles.Decode(_decoder, ImagePath(row), key, _limits);
        return new ImageTextSample(key, image, GetCaption(index), Metadata(row));
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _rows[index].Fields[_captionColumn].Trim();
    }

    /// <inheritdoc/>
    public int PictureOf(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _firstOfPicture[_rows[index].Fields[_imageColumn]];
    }

    private void ReadRows(DelimitedText text)
    {
        while (text.ReadRow() is { } fields)
        {
            if (fields.Length != _columns.Length)
            {
                throw new InvalidDataException($"{Name}: line {text.RowLine} has {fields.Length} fields, the header has {_columns.Length}.");
            }

            if (fields[_imageColumn].Length == 0 || fields[_imageColumn].Contains('\0', StringComparison.Ordinal))
            {
                throw new InvalidDataException($"{Name}: line {text.RowLine}: the field '{_columns[_imageColumn]}' is not a path.");
            }

            _firstOfPicture.TryAdd(fields[_imageColumn], _rows.Count);
            _rows.Add(new Row(text.RowLine, fields));
        }

        if (_rows.Count == 0)
        {
            throw new InvalidDataException($"{Name}: no rows after the header.");
        }
    }

    private int Column(string? wanted, string[] usual, string what, string option)
    {
        string[] names = wanted is null ? usual : [wanted];
        foreach (string name in names)
        {
            int column = Array.FindIndex(_columns, c => c.Trim().Equals(name, StringComparison.OrdinalIgnoreCase));
            if (column >= 0)
            {
                return column;
            }
        }

        throw new InvalidDataException(
            $"{Name}: no column '{string.Join("', '", names)}' for the {what}; the columns are '{string.Join("', '", _columns.Take(20))}' (see {option}).");
    }

    private string ImagePath(Row row)
    {
        return Path.Combine(_root, row.Fields[_imageColumn]);
    }

    private JsonElement? Metadata(Row row)
    {
        return _columns.Length == 2 ? null : ImageFiles.Json(writer =>
        {
            for (int i = 0; i < _columns.Length; i++)
            {
                if (i != _imageColumn && i != _captionColumn)
                {
                    writer.WriteString(_columns[i], row.Fields[i]);
                }
            }
        });
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Row(int Line, string[] Fields);
}
