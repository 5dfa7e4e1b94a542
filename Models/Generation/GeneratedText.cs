using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>One text that was written.</summary>
/// <param name="Row">The row of the prompt that it continues.</param>
/// <param name="Tokens">What was written behind the prompt, the stop token included when there is one.</param>
/// <param name="Score">
/// Beam search: Σ log p / L to the power of the length penalty, with the rules' scores for log p. Otherwise Σ log p of the model itself.
/// </param>
public sealed record GeneratedText(int Row, IReadOnlyList<int> Tokens, float Score);

/// <summary>The texts of one call of <see cref="TextGenerator.Generate"/>.</summary>
/// <param name="Texts">
/// Those of the first row of the prompt, best first (samples in the order of drawing), then those of the second, and so on. Beam search
/// returns fewer than asked for only where the rules allow no more.
/// </param>
/// <param name="PadToken">Fills rows behind their end.</param>
public sealed record GenerationResult(IReadOnlyList<GeneratedText> Texts, int PadToken)
{
    /// <summary>The texts as [texts, longest], filled with the pad token behind their end.</summary>
    /// <param name="device">Where to put it; the CPU when null.</param>
    public IndexTensor ToIndices(Device? device = null)
    {
        int longest = Texts.Count == 0 ? 0 : Texts.Max(text => text.Tokens.Count);
        int[] ids = new int[Texts.Count * longest];
        Array.Fill(ids, PadToken);
        for (int i = 0; i < Texts.Count; i++)
            for (int j = 0; j < Texts[i].Tokens.Count; j++) ids[(i * longest) + j] = Texts[i].Tokens[j];
        return IndexTensor.FromArray(ids, [Texts.Count, longest], device);
    }
}
