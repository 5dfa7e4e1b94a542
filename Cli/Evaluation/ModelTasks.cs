using MiniVlp.Data.Metrics;
using MiniVlp.Models;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>What a loaded model can do, as functions of pictures and texts.</summary>
public static class ModelTasks
{
    /// <summary>ALBEF's and BLIP's number for VQA v2.</summary>
    private const int MostCandidates = 128;

    /// <summary>Writes captions.</summary>
    /// <param name="folder">The model.</param>
    /// <param name="options">How.</param>
    /// <param name="prompt">What captions start with; empty for nothing.</param>
    /// <exception cref="ToolException">The model cannot.</exception>
    public static PictureCaptioner Captioner(ModelFolder folder, GenerationOptions options, string prompt = "")
    {
        if (folder.Model is not ICaptioner captioner) throw Cannot(folder, "write captions", "BlipForConditionalGeneration");
        int first = 0;
        return images =>
        {
            using TensorScope scope = new();
            IndexTensor? start = prompt.Length == 0 ? null : folder.ToTexts([.. images.Select(_ => prompt)], folder.Tokenizer.Encode(prompt, folder.ContextLength).Length).TokenIds;
            GenerationResult result = captioner.Caption(folder.ToTensor(images), options with { FirstRow = first }, start);
            first += images.Count;
            return [.. Texts(folder, result).Select(text => prompt.Length == 0 ? text : $"{prompt} {text}")];
        };
    }

    /// <summary>
    /// Answers questions: among the model's own answers, among given ones by their likelihood, or in its own words where none are given.
    /// </summary>
    /// <param name="folder">The model.</param>
    /// <param name="answers">The answers to choose from; null where the model has its own or writes.</param>
    /// <param name="options">How answers are written.</param>
    /// <exception cref="ToolException">The model cannot answer questions, or needs answers to choose from and there are none.</exception>
    public static QuestionAnswerer Answerer(ModelFolder folder, IReadOnlyList<string>? answers, GenerationOptions? options = null)
    {
        switch (folder.Model)
        {
            case IAnswerClassifier classifier:
                return (images, questions) =>
                {
                    using TensorScope scope = new();
                    float[] logits = classifier.AnswerLogits(folder.ToTensor(images), folder.ToTexts(questions)).ToArray();
                    return [.. logits.Chunk(classifier.Answers.Count).Select(row => classifier.Answers[Array.IndexOf(row, row.Max())])];
                };
            case IAnswerRanker ranker when answers is not null:
                int[][] ids = [.. answers.Select(answer => folder.Tokenizer.Encode(answer, folder.ContextLength))];
                return (images, questions) =>
                {
                    using TensorScope scope = new();
                    IReadOnlyList<RankedAnswer>[] ranked = ranker.RankAnswers(folder.ToTensor(images), folder.ToTexts(questions), ids, MostCandidates);
                    return [.. ranked.Select(best => answers[best[0].Answer])];
                };
            case IAnswerWriter writer:
                return (images, questions) =>
                {
                    using TensorScope scope = new();
                    return Texts(folder, writer.WriteAnswers(folder.ToTensor(images), folder.ToTexts(questions), options));
                };
            case IAnswerRanker:
                throw new ToolException($"{folder.Model.Architecture} ranks answers: name those to choose from with --answers.");
            default:
                throw Cannot(folder, "answer questions about pictures", "ViltForQuestionAnswering, AlbefForQuestionAnswering and BlipForQuestionAnswering");
        }
    }

    /// <summary>Finds texts in pictures.</summary>
    /// <exception cref="ToolException">The model cannot.</exception>
    public static TextLocator Locator(ModelFolder folder)
    {
        if (folder.Model is not IGroundingModel grounding) throw Cannot(folder, "tell where in a picture a text is", "AlbefForPreTraining");
        return (images, texts) =>
        {
            using TensorScope scope = new();
            Tensor maps = grounding.HeatMaps(folder.ToTensor(images), folder.ToTexts(texts));
            (int rows, int columns) = (maps.Shape[1], maps.Shape[2]);
            float[] values = maps.ToArray();
            return [.. values.Chunk(rows * columns).Select(map => new HeatMap(rows, columns, map))];
        };
    }

    /// <summary>Judges sentences about pictures.</summary>
    /// <exception cref="ToolException">The model cannot.</exception>
    public static EntailmentJudge Judge(ModelFolder folder)
    {
        if (folder.Model is not IEntailmentModel entailment) throw Cannot(folder, "say whether a picture entails a sentence", "AlbefForVisualEntailment");
        return (images, sentences) =>
        {
            using TensorScope scope = new();
            return entailment.EntailmentLogits(folder.ToTensor(images), folder.ToTexts(sentences)).ToArray();
        };
    }

    /// <summary>What was written for each picture, the first of several.</summary>
    private static string[] Texts(ModelFolder folder, GenerationResult result)
        => [.. result.Texts.GroupBy(text => text.Row).OrderBy(row => row.Key).Select(row => folder.Tokenizer.Decode([.. row.First().Tokens]).Trim())];

    private static ToolException Cannot(ModelFolder folder, string what, string those)
        => new($"{folder.Model.Architecture} cannot {what}; {those} can.");
}
