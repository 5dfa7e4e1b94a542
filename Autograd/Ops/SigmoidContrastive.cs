using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>The sigmoid contrastive loss of SigLIP.</summary>
public static class SigmoidContrastiveOps
{
    extension(Tensor image)
    {
        /// <summary>
        /// loss = -1/n Σ_ij log σ(z_ij (scale · image_i · text_j + bias)) with z_ij = 1 for i = j and -1 otherwise (Zhai et al., arXiv:2303.15343). The scores
        /// are computed in tiles: memory grows with the batch, not with its square.
        /// </summary>
        /// <param name="text">[n, width], normalised as the image features [n, width] are (see L2Normalize).</param>
        /// <param name="logitScale">One element: the factor of the dot products as it is applied (not its logarithm).</param>
        /// <param name="logitBias">One element, added to the scaled products; -10 to begin with.</param>
        /// <returns>A scalar.</returns>
        /// <exception cref="ShapeException">The operands do not fit together.</exception>
        public Tensor SigmoidContrastive(Tensor text, Tensor logitScale, Tensor logitBias)
        {
            Tensor.RequireSameShape("SigmoidContrastive", image, text);
            if (image.Shape.Rank != 2) throw new ShapeException($"SigmoidContrastive: image and text must be [n, width], but they are {image.Shape}.");
            if (logitScale.Shape.Length != 1 || logitBias.Shape.Length != 1)
                throw new ShapeException($"SigmoidContrastive: logitScale and logitBias must have one element each, but they are {logitScale.Shape} and {logitBias.Shape}.");
            SameDevice.Require("SigmoidContrastive", image, text, logitScale, logitBias);
            return Tape.Add(new SigmoidContrastiveFunction(image, text, logitScale, logitBias), image, text, logitScale, logitBias);
        }
    }

    private sealed class SigmoidContrastiveFunction : Function
    {
        private readonly Tensor _image, _text, _scale, _bias;

        public SigmoidContrastiveFunction(Tensor image, Tensor text, Tensor scale, Tensor bias)
        {
            (_image, _text, _scale, _bias) = (image, text, scale, bias);
            Output = Allocate([], image.Device);
            IBackend backend = image.Device.Backend;
            DeviceBuffer losses = backend.Rent(image.Shape[0]);
            backend.SigmoidContrastive(image.Shape[0], image.Shape[1], Operands(), losses);
            backend.MeanLoss(losses, 1f, Output.Buffer);
            backend.Return(losses);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget image = _image.GradientTarget(), text = _text.GradientTarget(), scale = _scale.GradientTarget(), bias = _bias.GradientTarget();
            IBackend backend = _image.Device.Backend;
            (int rows, int width) = (_image.Shape[0], _image.Shape[1]);
            backend.SigmoidContrastiveBackward(rows, width, Operands(), 1f / rows, outputGradient, image, text, scale, bias);
        }

        private SigmoidContrastiveOperands Operands() => new(_image.Buffer, _text.Buffer, _scale.Buffer, _bias.Buffer);
    }
}
