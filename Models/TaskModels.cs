using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>A model that answers questions about pictures by choosing among answers of its own (ViLT, arXiv:2102.03334).</summary>
public interface IAnswerClassifier
{
    /// <summary>The answers; an answer's place is its class.</summary>
    IReadOnlyList<string> Answers { get; }

    /// <summary>images [batch, channels, height, width] and questions [batch, tokens] to logits [batch, answers].</summary>
    Tensor AnswerLogits(Tensor images, TextBatch questions);
}

/// <summary>
/// A model that answers questions about pictures by the likelihood of each answer of a given set (ALBEF, arXiv:2107.07651; BLIP, arXiv:2201.12086).
/// </summary>
public interface IAnswerRanker
{
    /// <summary>The likeliest answers to each question, best first.</summary>
    /// <param name="images">[batch, channels, height, width].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="answers">Ids of each answer as a tokenizer writes it, from the token that starts a text to the one that ends it.</param>
    /// <param name="candidates">How many answers are chosen by their first token and looked at as a whole.</param>
    IReadOnlyList<RankedAnswer>[] RankAnswers(Tensor images, TextBatch questions, IReadOnlyList<IReadOnlyList<int>> answers, int candidates);
}

/// <summary>A model that answers questions about pictures in its own words (BLIP, arXiv:2201.12086).</summary>
public interface IAnswerWriter
{
    /// <summary>Writes one answer for each question.</summary>
    /// <param name="images">[batch, channels, height, width].</param>
    /// <param name="questions">[batch, tokens].</param>
    /// <param name="options">How; the model's own start, stop and padding tokens where none are named.</param>
    GenerationResult WriteAnswers(Tensor images, TextBatch questions, GenerationOptions? options);
}

/// <summary>A model that writes about pictures (BLIP, arXiv:2201.12086).</summary>
public interface ICaptioner
{
    /// <summary>Writes one caption for each picture.</summary>
    /// <param name="images">[batch, channels, height, width].</param>
    /// <param name="options">How; the model's own start, stop and padding tokens where none are named.</param>
    /// <param name="prompt">
    /// What the captions start with, [batch, tokens] as a tokenizer writes it, with the tokens that start and end a text; null for nothing. The result
    /// holds what comes behind it.
    /// </param>
    GenerationResult Caption(Tensor images, GenerationOptions? options, IndexTensor? prompt);
}

/// <summary>What a sentence is to a picture, in the order of the classes of an <see cref="IEntailmentModel"/>.</summary>
public enum EntailmentLabel
{
    /// <summary>The picture shows that the sentence is false.</summary>
    Contradiction,

    /// <summary>The picture leaves it open.</summary>
    Neutral,

    /// <summary>The picture shows that the sentence is true.</summary>
    Entailment,
}

/// <summary>A model that says whether a picture entails a sentence (visual entailment, arXiv:1901.06706).</summary>
public interface IEntailmentModel
{
    /// <summary>images [batch, channels, height, width] and sentences [batch, tokens] to logits [batch, 3] of contradiction, neutral and entailment.</summary>
    Tensor EntailmentLogits(Tensor images, TextBatch text);
}

/// <summary>A model that can tell where in a picture a text is, though it was never shown boxes.</summary>
public interface IGroundingModel
{
    /// <summary>images [batch, channels, height, width] and texts [batch, tokens] to heat maps [batch, rows, columns]; greater values, more likely there.</summary>
    Tensor HeatMaps(Tensor images, TextBatch text);
}
