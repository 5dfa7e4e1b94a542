using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>Pictures with captions, addressed by index; every member may be called from several threads at once.</summary>
public interface IImageTextDataset
{
    /// <summary>Name for people: the folder, file or shard pattern that the data came from.</summary>
    string Name { get; }

    /// <summary>Number of samples.</summary>
    int Count { get; }

    /// <summary>Reads and decodes one sample; the same index always gives the same sample.</summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is outside the data set.</exception>
    /// <exception cref="InvalidDataException">The sample is damaged; the message names file, member and field.</exception>
    /// <exception cref="ImageFormatException">The picture is damaged or over a limit; the message names file and member.</exception>
    /// <exception cref="IOException">A file cannot be read or is no longer there.</exception>
    ImageTextSample Get(int index);

    /// <summary>The caption of one sample, without decoding its picture.</summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is outside the data set.</exception>
    /// <exception cref="InvalidDataException">The caption is damaged; the message names file, member and field.</exception>
    /// <exception cref="IOException">A file cannot be read or is no longer there.</exception>
    string GetCaption(int index);

    /// <summary>
    /// The first sample of the data set that shows the same picture as this one, so that the captions of one picture can be told to belong together;
    /// the sample itself where each has a picture of its own.
    /// </summary>
    /// <param name="index">Index in [0, <see cref="Count"/>).</param>
    int PictureOf(int index) => index;
}
