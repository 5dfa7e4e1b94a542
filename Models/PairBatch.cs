using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Pictures with their texts, as pre-training takes them.</summary>
/// <param name="Images">[batch, 3, height, width].</param>
/// <param name="Text">Texts of [batch, tokens]; text i describes picture i.</param>
/// <param name="ImageIds">[batch]: equal for texts of one picture, which are never negatives of each other; the same in every epoch.</param>
public sealed record PairBatch(Tensor Images, TextBatch Text, IndexTensor ImageIds)
{
    /// <summary>Number of pairs.</summary>
    public int Count => Images.Shape[0];
}
