using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>Pairs of which each has either its text or its picture masked.</summary>
/// <param name="Text">Corrupted ids and labels; a pair whose picture is masked has no label. Its count is 0 when all pictures are.</param>
/// <param name="Patches">[batch, patches]: 1 for a masked patch; all 0 for a pair whose text is masked.</param>
/// <param name="MasksText">For each pair, whether the text is masked and not the picture.</param>
public sealed record ConditionallyMasked(MaskedTokens Text, IndexTensor Patches, IReadOnlyList<bool> MasksText);

/// <summary>
/// Conditional masking (UNITER, arXiv:1909.11740): only one modality of a pair is masked at a time, so that the whole of the other one is there to
/// predict it from. When both are masked, a word and the region that shows it may vanish together.
/// </summary>
/// <param name="Text">How texts are masked.</param>
/// <param name="Image">How pictures are masked.</param>
public sealed record ConditionalMasking(TokenMasking Text, PatchMasking Image)
{
    /// <summary>Probability that the text of a pair is masked, in [0, 1]; otherwise the picture is.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a probability.</exception>
    public double TextShare
    {
        get;
        init => field = value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(nameof(TextShare), value, "Expected a probability in [0, 1].");
    } = 0.5;

    /// <summary>Masks a batch of pairs.</summary>
    /// <param name="ids">[batch, tokens].</param>
    /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
    /// <exception cref="ShapeException">The ids are not [batch, tokens].</exception>
    public ConditionallyMasked Apply(IndexTensor ids, Generator? generator = null)
    {
        if (ids.Shape.Rank != 2) throw new ShapeException($"ConditionalMasking: the ids must be [batch, tokens], found {ids.Shape}.");
        generator ??= Generator.Current;
        bool[] text = new bool[ids.Shape[0]], image = new bool[text.Length];
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = generator.NextUniform() < TextShare;
            image[i] = !text[i];
        }

        return new ConditionallyMasked(Text.Apply(ids, generator, text), Image.Apply(text.Length, ids.Device, generator, image), text);
    }
}
