using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Training;

/// <summary>
/// Gradients of a contrastive loss over a batch too large to encode at once (gradient caching, Gao et al., arXiv:2101.06983). First pass:
/// encode the pieces without recording and keep only the vectors; the loss over all of them gives the gradient of each vector. Second
/// pass: encode each piece again, recording, and continue backwards from its gradients. The result equals one large batch up to
/// rounding, dropout included, because the second pass draws the random numbers of the first.
/// </summary>
/// <param name="pieces">Number of pieces.</param>
/// <param name="encode">Encodes piece i into its vectors, images and texts, each [piece, width].</param>
/// <param name="loss">The loss, a scalar, of all vectors [batch, width]; parameters that it reads, such as a logit scale, get their gradient too.</param>
public sealed class ContrastiveAccumulation(int pieces, Func<int, (Tensor Images, Tensor Texts)> encode, Func<Tensor, Tensor, Tensor> loss)
{
    /// <summary>Adds the gradients of the whole batch to those of the parameters and returns the loss.</summary>
    public float AccumulateGradients()
    {
        Generator generator = Generator.Current;
        ulong[] positions = new ulong[pieces];
        using TensorScope scope = new();
        Tensor[] images = new Tensor[pieces], texts = new Tensor[pieces];
        using (Tape.NoGradient())
        {
            for (int i = 0; i < pieces; i++)
            {
                positions[i] = generator.Position;
                using TensorScope piece = new();
                (Tensor image, Tensor text) = encode(i);
                images[i] = piece.Keep(image);
                texts[i] = piece.Keep(text);
            }
        }

        ulong end = generator.Position;
        Tensor allImages, allTexts;
        using (Tape.NoGradient())
        {
            allImages = Tensor.Concatenate(0, images);
            allTexts = Tensor.Concatenate(0, texts);
        }

        allImages.NeedsGradient = allTexts.NeedsGradient = true;
        float value;
        using (Tape tape = Tape.Record())
        {
            Tensor total = loss(allImages, allTexts);
            tape.Backward(total);
            value = total.Item();
        }

        int row = 0;
        for (int i = 0; i < pieces; i++)
        {
            generator.Position = positions[i];
            using Tape tape = Tape.Record();
            (Tensor image, Tensor text) = encode(i);
            int count = image.Shape[0];

            // The inner product of vectors and their gradients has, as a loss, just these gradients. Frozen towers have none to pass on.
            Tensor? ofImages = Objective(image, allImages.Gradient), ofTexts = Objective(text, allTexts.Gradient);
            Tensor? objective = ofImages is null || ofTexts is null ? ofImages ?? ofTexts : ofImages + ofTexts;
            if (objective is not null) tape.Backward(objective);
            row += count;

            Tensor? Objective(Tensor vectors, Tensor? gradient)
                => gradient is null || !vectors.NeedsGradient ? null : (vectors * gradient.Slice(row, count)).Sum();
        }

        generator.Position = end;
        return value;
    }
}
