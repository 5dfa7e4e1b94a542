namespace MiniVlp.Data.Images;

/// <summary>
/// What is done to a training sample before <see cref="ImagePreprocessor.Normalize"/>: random resized crop, then mirror. The draws depend
/// on the run's seed, the epoch and the sample's index alone, so neither threads nor a resumed run change them.
/// </summary>
/// <param name="crop">The crop; its size is the model's input size.</param>
/// <param name="flip">The mirror, or null for none.</param>
public sealed class ImageAugmentation(RandomResizedCrop crop, HorizontalFlip? flip = null)
{
    /// <summary>The crop.</summary>
    public RandomResizedCrop Crop { get; } = crop ?? throw new ArgumentNullException(nameof(crop));

    /// <summary>The mirror, if any.</summary>
    public HorizontalFlip? Flip { get; } = flip;

    /// <summary>The augmented picture, at the crop's size, and the caption that is true of it.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="caption">Its caption.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="epoch">The pass over the data.</param>
    /// <param name="index">The sample's place in the data set.</param>
    public (RgbImage Image, string Caption) Apply(RgbImage image, string caption, ulong seed, long epoch, long index)
    {
        SampleRandom random = SampleRandom.For(seed, epoch, index);
        RgbImage cropped = Crop.Apply(image, ref random);
        return Flip is null ? (cropped, caption) : Flip.Apply(cropped, caption, ref random);
    }
}
