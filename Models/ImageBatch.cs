using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>A batch of pictures, which may be of different sizes inside a common frame.</summary>
/// <param name="Pixels">Normalised pixels [batch, channels, height, width]; a smaller picture lies in the upper left corner.</param>
/// <param name="Mask">[batch, height, width], 1 for a pixel of the picture and 0 for the rest of the frame; all ones when null. It is read on the host.</param>
public readonly record struct ImageBatch(Tensor Pixels, IndexTensor? Mask = null);
