using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>
/// A model that writes text from left to right: p(token t | tokens before t, what it looks at). An instance is a model together with its
/// context (an image, a question), one row of it for each row of the prompt; what was written so far is in the cache alone (or, for a
/// decoder that looks at the last token only, nowhere).
/// </summary>
public interface ICausalDecoder
{
    /// <summary>Number of tokens that it chooses from.</summary>
    int VocabularySize { get; }

    /// <summary>Longest text in tokens, prompt included.</summary>
    int MaxPositions { get; }

    /// <summary>Where it computes.</summary>
    Device Device { get; }

    /// <summary>New tokens [rows, new], behind those in the cache, to their hidden states [rows, new, width]; the cache then holds them too.</summary>
    /// <param name="tokens">Ids; the first of them stands at position <see cref="KeyValueCache.Length"/>.</param>
    /// <param name="cache">Of this text; <see cref="KeyValueCache.Gather"/> may have repeated, reordered or dropped rows since the last call.</param>
    Tensor Decode(IndexTensor tokens, KeyValueCache cache);

    /// <summary>Hidden states [..., width] to logits of the next token [..., vocabulary].</summary>
    Tensor PredictTokens(Tensor hiddenStates);
}
