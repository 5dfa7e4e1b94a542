using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Datasets;

/// <summary>Answers to the questions of a batch in the memory of the host, one row for each different answer to a question.</summary>
/// <param name="TokenIds">[answers, length], from the token that starts a text to the one that ends it.</param>
/// <param name="Mask">[answers, length], 1 for a token and 0 for padding.</param>
/// <param name="Length">Tokens of each row, padding included.</param>
/// <param name="Questions">[answers]: the question of each, as its place in the batch.</param>
/// <param name="Weights">[answers]: the share of the people asked who gave it.</param>
public sealed record AnswerRows(int[] TokenIds, int[] Mask, int Length, int[] Questions, float[] Weights)
{
    /// <summary>The answers on a device, [answers, length].</summary>
    public TextBatch Texts(Device device)
    {
        Shape shape = [Questions.Length, Length];
        return new TextBatch(IndexTensor.FromArray(TokenIds, shape, device), IndexTensor.FromArray(Mask, shape, device));
    }
}
