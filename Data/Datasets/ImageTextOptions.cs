using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>How <see cref="ImageTextDataset.Open(string, IImageDecoder, ImageTextOptions)"/> reads its source.</summary>
public sealed record ImageTextOptions
{
    /// <summary>The defaults.</summary>
    public static ImageTextOptions Default { get; } = new();

    /// <summary>Column of a table that holds the picture's path; null takes the first of image, image_path, filepath, file_name, file, path.</summary>
    public string? ImageColumn { get; init; }

    /// <summary>Column of a table that holds the caption; null takes the first of caption, text, title, description, label.</summary>
    public string? CaptionColumn { get; init; }

    /// <summary>Folder that the picture paths of a table or a COCO file are relative to; null: the folder of that file.</summary>
    public string? ImageRoot { get; init; }

    /// <summary>Caption of a picture in a class folder that has no text file; <c>{folder}</c> is the folder's name with spaces for underscores.</summary>
    public string FolderCaption { get; init; } = "a photo of a {folder}";

    /// <summary>How large a picture may be.</summary>
    public ImageLimits Limits { get; init; } = ImageLimits.Default;
}
