using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>
/// Cuts images into squares and maps each to a vector: images [batch, channels, height, width] to [batch, patches, width], patches in
/// row-major order. The same numbers as a convolution whose stride is its kernel size (ViT, arXiv:2010.11929).
/// </summary>
public sealed class PatchEmbedding : Module
{
    private readonly int _patchSize;

    /// <summary>Declares <c>weight</c> [width, channels, patch, patch] and <c>bias</c> [width].</summary>
    /// <param name="patchSize">Side of a square in pixels; height and width are multiples of it.</param>
    /// <param name="width">Size of the vectors.</param>
    /// <param name="channels">Colour channels.</param>
    /// <param name="bias">False leaves the bias out, as CLIP does.</param>
    /// <param name="initializer">How the weight is filled; truncated normal with deviation 0.02 when null.</param>
    public PatchEmbedding(int patchSize, int width, int channels = 3, bool bias = true, Initializer? initializer = null)
    {
        _patchSize = patchSize;
        Weight = Add("weight", [width, channels, patchSize, patchSize], initializer ?? Initializers.TruncatedNormal(0.02f));
        Bias = bias ? Add("bias", [width], Initializers.Zeros) : null;
    }

    /// <summary>[width, channels, patch, patch].</summary>
    public Parameter Weight { get; }

    /// <summary>[width], or null.</summary>
    public Parameter? Bias { get; }

    /// <summary>images [batch, channels, height, width] to [batch, height / patch · width / patch, width].</summary>
    /// <param name="images">Their sides are multiples of the patch size.</param>
    /// <param name="kept">Numbers of the patches to embed, [batch, count], for a result [batch, count, width]; all when null.</param>
    public Tensor Forward(Tensor images, IndexTensor? kept = null)
    {
        Tensor patches = images.Patchify(_patchSize);
        if (kept is not null) patches = patches.GatherTokens(kept);
        if (Weight.Packed is { } packed) return patches.Linear(packed, Bias?.Value);
        Tensor weight = Weight.Value;
        return patches.Linear(weight.Reshape([weight.Shape[0], weight.Shape.Length / weight.Shape[0]]), Bias?.Value);
    }

    /// <inheritdoc/>
    protected override void PackOwnWeights(WeightFormat format) => Weight.Pack(format);
}
