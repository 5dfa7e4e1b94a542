using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Cutting images into patches.</summary>
public static class PatchifyOps
{
    extension(Tensor images)
    {
        /// <summary>
        /// Images [batch, channels, height, width] to patches [batch, (height / p) · (width / p), channels · p · p], row by row; inside a patch
        /// the order is that of a convolution weight [out, channels, p, p], so that a convolution with stride p is Patchify and Linear
        /// (the patch embedding of ViT, Dosovitskiy et al., arXiv:2010.11929).
        /// </summary>
        /// <param name="patch">Side p of a patch in pixels.</param>
        /// <exception cref="ShapeException">Not four axes, or a side that is no multiple of the patch size.</exception>
        public Tensor Patchify(int patch)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(patch);
            if (images.Shape.Rank != 4)
                throw new ShapeException($"Patchify: images must be [batch, channels, height, width], not {images.Shape}.");
            if (images.Shape[2] % patch != 0 || images.Shape[3] % patch != 0)
                throw new ShapeException($"Patchify: height and width must be multiples of the patch size {patch}, but images is {images.Shape}.");
            return Tape.Add(new PatchifyFunction(images, patch), images);
        }
    }

    private sealed class PatchifyFunction : Function
    {
        private readonly Tensor _images;
        private readonly PatchifyArgs _args;

        public PatchifyFunction(Tensor images, int patch)
        {
            Shape s = images.Shape;
            _images = images;
            _args = new PatchifyArgs(s[0], s[1], s[2], s[3], patch);
            Output = Allocate([s[0], s[2] / patch * (s[3] / patch), s[1] * patch * patch], images.Device);
            images.Device.Backend.Patchify(_args, images.Buffer, Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _images.Device.Backend.PatchifyBackward(_args, outputGradient, _images.GradientTarget());
    }
}
