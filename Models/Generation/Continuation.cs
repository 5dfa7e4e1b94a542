using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>Rows of text with the decoder's cache behind them: asked for the next logits, then told which rows go on with which tokens.</summary>
internal sealed class Continuation(ICausalDecoder decoder, IndexTensor prompt) : IDisposable
{
    private readonly KeyValueCache _cache = new();
    private int[]? _tokens;

    /// <summary>Logits [rows, vocabulary] of the token behind each row.</summary>
    public Tensor NextLogits()
    {
        // The prompt may come from elsewhere; what is written is as many rows of one token.
        IndexTensor tokens = _tokens is null ? OnDevice(prompt) : IndexTensor.FromArray(_tokens, [_tokens.Length, 1], decoder.Device);
        Tensor hidden = decoder.Decode(tokens, _cache);
        Tensor logits = decoder.PredictTokens(hidden.Token(hidden.Shape[1] - 1));
        return logits.Shape == [tokens.Shape[0], decoder.VocabularySize]
            ? logits
            : throw new ShapeException($"Generate: the decoder must give logits [{tokens.Shape[0]}, {decoder.VocabularySize}], found {logits.Shape}.");
    }

    /// <summary>Row i goes on from what was row rows[i], with tokens[i].</summary>
    public void Continue(int[] rows, int[] tokens)
    {
        if (_cache.Rows > 0) _cache.Gather(rows);
        _tokens = tokens;
    }

    public void Dispose() => _cache.Dispose();

    private IndexTensor OnDevice(IndexTensor ids)
        => ReferenceEquals(ids.Device, decoder.Device) ? ids : IndexTensor.FromArray(ids.ToArray(), ids.Shape, decoder.Device);
}
