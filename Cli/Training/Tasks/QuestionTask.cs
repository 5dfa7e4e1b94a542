using System.Globalization;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Text;

namespace MiniVlp.Cli.Training.Tasks;

/// <summary>
/// Questions with their answers. Where several people answered, each different answer counts by the share of them who gave it, as ALBEF and BLIP are
/// fine-tuned on VQA v2.
/// </summary>
/// <param name="tokenizer">Of the model.</param>
/// <param name="maxPositions">Tokens that its answer decoder can write.</param>
public sealed class QuestionTask(TextTokenizer tokenizer, int maxPositions) : ISampleTask
{
    /// <summary>An answer may be left or right, which mirroring would make wrong.</summary>
    public bool AllowsMirror => false;

    public string TextOf(ImageTextSample sample) => SampleFields.Question(sample);

    public void AddTargets(ImageTextBatch batch, IReadOnlyList<ImageTextSample> samples)
    {
        List<int[]> answers = [];
        List<int> questions = [];
        List<float> weights = [];
        for (int i = 0; i < samples.Count; i++)
        {
            string[] given = SampleFields.Answers(samples[i]);
            foreach (IGrouping<string, string> same in given.GroupBy(answer => answer, StringComparer.Ordinal))
            {
                answers.Add(Encode(samples[i], same.Key));
                questions.Add(i);
                weights.Add((float)same.Count() / given.Length);
            }
        }

        int length = ImageTextBatchBuilder.PaddedLength(answers.Max(answer => answer.Length), maxPositions);
        int[] ids = new int[answers.Count * length], mask = new int[ids.Length];
        Array.Fill(ids, tokenizer.PadId);
        for (int row = 0; row < answers.Count; row++)
        {
            answers[row].CopyTo(ids.AsSpan(row * length));
            mask.AsSpan(row * length, answers[row].Length).Fill(1);
        }

        batch.Answers = new AnswerRows(ids, mask, length, [.. questions], [.. weights]);
    }

    private int[] Encode(ImageTextSample sample, string answer)
    {
        int[] ids = tokenizer.Encode(answer, maxPositions + 1);
        if (ids.Length > maxPositions)
            throw new ToolException(string.Create(CultureInfo.InvariantCulture, $"{sample.Key}: the answer '{answer}' is longer than the {maxPositions} tokens that the model can write."));
        if (ids.Length <= 2) throw new ToolException($"{sample.Key}: the answer '{answer}' is empty.");
        return !ids.Contains(tokenizer.UnknownId) || tokenizer.UnknownId == tokenizer.EndId
            ? ids
            : throw new ToolException($"{sample.Key}: the vocabulary of the model cannot spell the answer '{answer}'; pre-train with one that can (--tokenizer).");
    }
}
