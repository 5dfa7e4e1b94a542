namespace MiniVlp.Data.Images;

/// <summary>
/// Makes two views of a picture that are to be recognised as one: random resized crop, colour jitter, grey, blur, mirror, in this order, drawn anew
/// for each view. The draws depend on the run's seed, the epoch and the sample's index alone.
/// </summary>
/// <param name="crop">The crop; its size is the model's input size.</param>
public sealed class ContrastiveAugmentation(RandomResizedCrop crop)
{
    /// <summary>The crop.</summary>
    public RandomResizedCrop Crop { get; } = crop ?? throw new ArgumentNullException(nameof(crop));

    /// <summary>The change of colours, or null for none.</summary>
    public ColorJitter? Jitter { get; init; }

    /// <summary>The loss of colour, or null for none.</summary>
    public RandomGrayscale? Grayscale { get; init; }

    /// <summary>The blur, or null for none.</summary>
    public GaussianBlur? Blur { get; init; }

    /// <summary>The mirror, or null for none.</summary>
    public HorizontalFlip? Flip { get; init; }

    /// <summary>MoCo v1 (arXiv:1911.05722): crops of 0.2 to 1 of the area, jitter of strength 0.4, grey 0.2, mirror. (There grey comes before jitter.)</summary>
    /// <param name="size">Side of the views.</param>
    public static ContrastiveAugmentation MocoV1(int size)
    {
        return new ContrastiveAugmentation(new RandomResizedCrop(size) { Scale = (0.2, 1) })
        {
            Jitter = new ColorJitter(hue: 0.4),
            Grayscale = new RandomGrayscale(),
            Flip = new HorizontalFlip(),
        };
    }

    /// <summary>MoCo v2 (arXiv:2003.04297): crops of 0.2 to 1 of the area, jitter with probability 0.8 and less of the hue, grey 0.2, blur 0.5, mirror.</summary>
    /// <param name="size">Side of the views.</param>
    public static ContrastiveAugmentation MocoV2(int size)
    {
        return new ContrastiveAugmentation(new RandomResizedCrop(size) { Scale = (0.2, 1) })
        {
            Jitter = new ColorJitter { Probability = 0.8 },
            Grayscale = new RandomGrayscale(),
            Blur = new GaussianBlur(),
            Flip = new HorizontalFlip(),
        };
    }

    /// <summary>Two views of a picture, at the crop's size.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="epoch">The pass over the data.</param>
    /// <param name="index">The sample's place in the data set.</param>
    public (RgbImage First, RgbImage Second) Views(RgbImage image, ulong seed, long epoch, long index)
    {
        SampleRandom random = SampleRandom.For(seed, epoch, index);
        RgbImage first = View(image, ref random);
        return (first, View(image, ref random));
    }

    /// <summary>One view of a picture, at the crop's size.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="random">The sample's own generator.</param>
    public RgbImage View(RgbImage image, ref SampleRandom random)
    {
        RgbImage view = Crop.Apply(image, ref random);
        view = Jitter is null ? view : Jitter.Apply(view, ref random);
        view = Grayscale is null ? view : Grayscale.Apply(view, ref random);
        view = Blur is null ? view : Blur.Apply(view, ref random);
        return Flip is null ? view : Flip.Apply(view, string.Empty, ref random).Image;
    }
}
