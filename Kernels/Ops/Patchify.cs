using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// Cuts images [batch, channels, height, width] into square patches: patches[b, r · (width / p) + s, (c · p + y) · p + x] =
/// images[b, c, r · p + y, s · p + x], the order of a convolution weight [out, c, p, p].
/// </summary>
/// <param name="Batch">Number of images.</param>
/// <param name="Channels">Channels of an image.</param>
/// <param name="Height">Rows of an image, a multiple of the patch size.</param>
/// <param name="Width">Columns of an image, a multiple of the patch size.</param>
/// <param name="Patch">Side of a patch.</param>
public readonly record struct PatchifyArgs(int Batch, int Channels, int Height, int Width, int Patch);

public partial interface IBackend
{
    /// <summary>Cuts images into patches. Writes patches.</summary>
    void Patchify(in PatchifyArgs args, DeviceBuffer images, DeviceBuffer patches);

    /// <summary>Puts the gradients of the patches back in their places in the images, written or accumulated as the target says.</summary>
    void PatchifyBackward(in PatchifyArgs args, DeviceBuffer patchGradient, GradientTarget imageGradient);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Patchify(in PatchifyArgs args, DeviceBuffer images, DeviceBuffer patches)
        => Run(new PatchifyKernel(args, Floats(images), Floats(patches), ToImages: false, Accumulate: false), args.Batch * (args.Height / args.Patch));

    /// <inheritdoc/>
    public void PatchifyBackward(in PatchifyArgs args, DeviceBuffer patchGradient, GradientTarget imageGradient)
    {
        if (!imageGradient.IsNeeded) return;
        Run(
            new PatchifyKernel(args, Floats(imageGradient.Buffer), Floats(patchGradient), ToImages: true, imageGradient.Accumulate),
            args.Batch * (args.Height / args.Patch));
    }

    /// <summary>One row of patches of one image per chunk; both directions walk the same places.</summary>
    private readonly record struct PatchifyKernel(PatchifyArgs Args, Pointer Images, Pointer Patches, bool ToImages, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int patch = Args.Patch, perRow = Args.Width / patch, patchLength = Args.Channels * patch * patch;
            (int image, int patchRow) = Math.DivRem(chunk, Args.Height / patch);
            float* patches = (float*)Patches + ((long)chunk * perRow * patchLength);
            for (int channel = 0; channel < Args.Channels; channel++)
            {
                for (int y = 0; y < patch; y++)
                {
                    float* line = (float*)Images + (((((long)image * Args.Channels) + channel) * Args.Height) + (patchRow * patch) + y) * Args.Width;
                    float* inPatch = patches + (((channel * patch) + y) * patch);
                    for (int s = 0; s < perRow; s++, line += patch, inPatch += patchLength)
                    {
                        if (!ToImages) Move<V>(line, inPatch, patch, add: false);
                        else Move<V>(inPatch, line, patch, Accumulate);
                    }
                }
            }
        }

        private static void Move<V>(float* source, float* destination, int count, bool add)
            where V : unmanaged, ISimd<V>
        {
            int i = 0;
            for (; i <= count - V.Width; i += V.Width) V.Store(add ? V.Load(destination + i) + V.Load(source + i) : V.Load(source + i), destination + i);
            for (; i < count; i++) destination[i] = add ? destination[i] + source[i] : source[i];
        }
    }
}
