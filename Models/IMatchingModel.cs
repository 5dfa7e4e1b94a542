using MiniVlp.Autograd;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Images as a matching model keeps them.</summary>
/// <param name="States">[images, ...]: what pairs are scored from, such as the tokens of the image tower, or the pixels where there is none.</param>
/// <param name="Embeddings">[images, projection]: unit vectors for the coarse search; null for a model that has none.</param>
public sealed record EncodedImages(Tensor States, Tensor? Embeddings)
{
    /// <summary>Number of images.</summary>
    public int Count => States.Shape[0];

    /// <summary>The states of some images: rows [n] to [n, ...].</summary>
    internal Tensor StatesAt(ReadOnlySpan<int> rows) => EncodedRows.Gather(States, rows);
}

/// <summary>Texts as a matching model keeps them.</summary>
/// <param name="Text">Ids and mask, [texts, tokens].</param>
/// <param name="States">[texts, tokens, width]: the hidden states that fusion starts from; null where it starts from the ids.</param>
/// <param name="Embeddings">[texts, projection]: unit vectors for the coarse search; null for a model that has none.</param>
public sealed record EncodedTexts(TextBatch Text, Tensor? States, Tensor? Embeddings)
{
    /// <summary>Number of texts.</summary>
    public int Count => Text.TokenIds.Shape[0];
}

/// <summary>
/// A model that says of an image and a text whether they belong together, by looking at both at once (image-text matching: ViLT arXiv:2102.03334,
/// ALBEF arXiv:2107.07651, BLIP arXiv:2201.12086).
/// </summary>
public interface IMatchingModel
{
    /// <summary>images [batch, channels, height, width] to what is kept of them.</summary>
    EncodedImages EncodeImages(Tensor images);

    /// <summary>Texts [batch, tokens] to what is kept of them.</summary>
    EncodedTexts EncodeTexts(TextBatch text);

    /// <summary>log p(match) - log p(no match) of pair i, image i and text i: [pairs].</summary>
    /// <param name="images">As many images as texts.</param>
    /// <param name="texts">As many texts as images.</param>
    Tensor Match(EncodedImages images, EncodedTexts texts);
}

/// <summary>Rows of tensors and of texts by number.</summary>
internal static class EncodedRows
{
    /// <summary>x [n, ...] at rows [m] to [m, ...]; gradients of a row that comes several times add up.</summary>
    public static Tensor Gather(Tensor x, ReadOnlySpan<int> rows)
    {
        Shape shape = x.Shape;
        Tensor gathered = x.Reshape([shape[0], shape.Length / shape[0]]).GatherRows(IndexTensor.FromArray(rows, [rows.Length], x.Device));
        return gathered.Reshape([rows.Length, .. shape.ToArray()[1..]]);
    }

    /// <summary>The places whose labels count, in order and numbered through all rows, and these labels [places].</summary>
    public static (int[] Places, IndexTensor Labels) Labelled(IndexTensor labels)
    {
        int[] values = labels.ToArray();
        int[] places = [.. Enumerable.Range(0, values.Length).Where(i => values[i] != TokenMasking.IgnoredLabel)];
        return (places, IndexTensor.FromArray([.. places.Select(place => values[place])], [places.Length], labels.Device));
    }

    /// <summary>States [n, tokens, width] and their mask [n, tokens] at rows [m].</summary>
    public static (Tensor States, IndexTensor? Mask) Gather(Tensor states, IndexTensor? mask, ReadOnlySpan<int> rows)
        => (Gather(states, rows), mask is null ? null : Gather(mask.ToArray(), mask.Shape[1], rows, states.Device));

    /// <summary>ids [n, tokens] at rows [m] to [m, tokens]; <paramref name="values"/> are those of the ids, downloaded once.</summary>
    public static IndexTensor Gather(int[] values, int tokens, ReadOnlySpan<int> rows, Device device)
    {
        int[] gathered = new int[rows.Length * tokens];
        for (int i = 0; i < rows.Length; i++) values.AsSpan(rows[i] * tokens, tokens).CopyTo(gathered.AsSpan(i * tokens));
        return IndexTensor.FromArray(gathered, [rows.Length, tokens], device);
    }
}
