using MiniVlp.Data.Text;
using MiniVlp.Nn.Pretraining;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>Masked words of a tokenizer.</summary>
public static class RecipeMasking
{
    /// <summary>15 % of the pieces or words, no special tokens.</summary>
    /// <exception cref="ToolException">The tokenizer has no [MASK].</exception>
    public static TokenMasking Of(TextTokenizer tokenizer, string recipe, MaskingUnit unit = MaskingUnit.Token) => new()
    {
        MaskId = tokenizer.MaskId ?? throw new ToolException($"The tokenizer has no [MASK], which the recipe {recipe} needs to mask words; use one of BERT's kind."),
        VocabularySize = tokenizer.VocabularySize,
        SpecialIds = [.. tokenizer.SpecialIds],
        Unit = unit,
        ContinuesWord = id => tokenizer.Piece(id).StartsWith("##", StringComparison.Ordinal),
    };
}
