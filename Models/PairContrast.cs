using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// What the pre-trainings of ALBEF and BLIP have in common (arXiv:2107.07651, 2201.12086): image and text are aligned against momentum features of the batch
/// and of two queues, and the similarities tell which wrong partners are hard.
/// </summary>
internal sealed class PairContrast : IDisposable
{
    private readonly Parameter _temperature;
    private readonly int _warmUp;
    private readonly bool _readsImageIds;
    private (Tensor Images, Tensor Texts, IndexTensor Ids)? _seen;

    /// <summary>Makes the queues.</summary>
    /// <param name="temperature">τ.</param>
    /// <param name="width">Size of a feature.</param>
    /// <param name="capacity">Features that each queue holds; 0 for no queues.</param>
    /// <param name="warmUp">Steps in which the queues only fill.</param>
    /// <param name="readsImageIds">Whether texts of one picture are positives of each other.</param>
    /// <param name="seed">Of the first contents of the queues, which never count.</param>
    public PairContrast(Parameter temperature, int width, int capacity, int warmUp, bool readsImageIds, ulong seed)
    {
        (_temperature, _warmUp, _readsImageIds) = (temperature, warmUp, readsImageIds);
        if (capacity == 0) return;
        Device device = temperature.Value.Device;
        ImageQueue = new FeatureQueue(capacity, width, device, 2 * seed);
        TextQueue = new FeatureQueue(capacity, width, device, (2 * seed) + 1);
    }

    /// <summary>Momentum features of earlier images; null when there are no queues.</summary>
    public FeatureQueue? ImageQueue { get; }

    /// <summary>Momentum features of earlier texts; null when there are no queues.</summary>
    public FeatureQueue? TextQueue { get; }

    /// <summary>The queues, to be saved.</summary>
    public IEnumerable<(string Name, ITrainingState State)> State
    {
        get
        {
            if (ImageQueue is not null) yield return ("image_queue", ImageQueue);
            if (TextQueue is not null) yield return ("text_queue", TextQueue);
        }
    }

    /// <summary>
    /// A wrong image for each text and a wrong text for each image, and whether there is one: a batch may show one picture alone. A queue holds features and no
    /// tokens, so that only the batch is asked.
    /// </summary>
    /// <param name="negatives">Draws, the images first.</param>
    /// <param name="imageToText">[batch, batch].</param>
    /// <param name="textToImage">[batch, batch].</param>
    /// <param name="pairs">What belongs together; null to take every other row for wrong, as the original of ALBEF does.</param>
    public static ((int[] Rows, bool[] Found) Images, (int[] Rows, bool[] Found) Texts) Choose(HardNegativeSampler negatives, Tensor imageToText, Tensor textToImage, BatchPairs? pairs)
    {
        int[] images = negatives.Sample(textToImage, null, null, out bool[] foundImages, isRight: pairs is null ? null : (text, image) => pairs.Match(image, text)).ToArray();
        int[] texts = negatives.Sample(imageToText, null, null, out bool[] foundTexts, isRight: pairs is null ? null : pairs.Match).ToArray();
        return ((images, foundImages), (texts, foundTexts));
    }

    /// <summary>Rows of a queue that are among the candidates of a step: those that have been written, once the warm-up is over.</summary>
    public int CountingRows(int step) => step < _warmUp ? 0 : ImageQueue?.Filled ?? 0;

    /// <summary>
    /// The contrastive loss, and the similarities within the batch, divided by τ, which tell how hard a negative is. While a tape records, the momentum features
    /// are ready for <see cref="Enqueue"/>.
    /// </summary>
    /// <param name="image">[batch, width], normalised.</param>
    /// <param name="text">[batch, width], normalised.</param>
    /// <param name="imageMomentum">[batch, width] of the momentum encoder.</param>
    /// <param name="textMomentum">[batch, width] of the momentum encoder.</param>
    /// <param name="ids">[batch]: equal for captions of one picture.</param>
    /// <param name="alpha">α: share of the targets that the momentum features give.</param>
    /// <param name="step">Steps taken before the present one.</param>
    public (Tensor Loss, Tensor ImageToText, Tensor TextToImage) Align(Tensor image, Tensor text, Tensor imageMomentum, Tensor textMomentum, IndexTensor ids, float alpha, int step)
    {
        if (Tape.IsRecording) _seen = (imageMomentum, textMomentum, ids);
        Tensor scale = _temperature.Value.Reciprocal(), imageToText, textToImage;
        using (Tape.NoGradient())
        {
            imageToText = image.MatMul(textMomentum, transposeRight: true) * scale;
            textToImage = text.MatMul(imageMomentum, transposeRight: true) * scale;
        }

        int counting = CountingRows(step);
        Tensor loss = image.SoftmaxContrastive(text, scale, new ContrastiveOptions
        {
            ImageMomentum = imageMomentum,
            TextMomentum = textMomentum,
            ImageQueue = counting == 0 ? null : ImageQueue!.Features.Slice(0, counting),
            TextQueue = counting == 0 ? null : TextQueue!.Features.Slice(0, counting),
            Alpha = alpha,
            Ids = _readsImageIds ? ids : null,
            QueueIds = counting == 0 || !_readsImageIds ? null : ImageQueue!.Ids.Slice(0, counting),
        });
        return (loss, imageToText, textToImage);
    }

    /// <summary>Puts the momentum features of the step into the queues, after the backward pass.</summary>
    public void Enqueue()
    {
        if (_seen is not { } seen) return;
        ImageQueue?.Enqueue(seen.Images, seen.Ids);
        TextQueue?.Enqueue(seen.Texts, seen.Ids);
        _seen = null;
    }

    /// <summary>Gives the memory of the queues back.</summary>
    public void Dispose()
    {
        ImageQueue?.Dispose();
        TextQueue?.Dispose();
    }
}
