using MiniVlp.Nn;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Pre-training of a masked autoencoder on pictures alone (arXiv:2111.06377): one part of the loss, <c>pixels</c>, and no state besides the model.</summary>
/// <param name="model">What is trained.</param>
public sealed class MaePretraining(Mae model) : PretrainingObjective<Tensor>
{
    /// <inheritdoc/>
    public override Module Model => model;

    /// <summary>The loss of images [batch, channels, size, size] with patches removed at random.</summary>
    public override LossParts Loss(Tensor batch) => new() { { "pixels", model.Loss(batch) } };

    /// <summary>
    /// Normalised pixels of a patch have the mean 0 and the unbiased variance 1, so that predicting 0 gives (n - 1) / n on pictures without patches of a
    /// single colour. Of pixels as they are nothing is known beforehand.
    /// </summary>
    public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize)
    {
        float length = model.Config.PatchLength;
        return model.Config.NormalizesPixels
            ? [new ChanceLevel("pixels", (length - 1) / length, "the mean of each patch: nothing of the picture is predicted", "the learning rate is too large or too small, the decoder gets no gradient, or too few patches are visible")]
            : [];
    }
}
