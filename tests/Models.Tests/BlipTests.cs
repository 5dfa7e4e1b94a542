using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>BLIP's three classes beyond the numbers of the goldens: folders, tokens, masks, generation.</summary>
public sealed class BlipTests
{
    /// <summary>Captions of 5 and 3 tokens with special ids of the golden models: [CLS] 4, [SEP] 40, padding 0.</summary>
    private static readonly int[] Captions = [4, 11, 12, 13, 40, 4, 14, 40, 0, 0], CaptionMask = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0];

    [Theory]
    [InlineData("blip_captioning")]
    [InlineData("blip_vqa")]
    [InlineData("blip_retrieval")]
    public void WritesEveryFieldOfTheConfigThatTransformersWrote(string name)
    {
        using TemporaryFolder folder = new();
        using (PretrainedModel model = Architectures.Load(Goldens.Folder(name))) model.SavePretrained(folder.Path);
        JsonObject theirs = JsonNode.Parse(File.ReadAllText(Path.Combine(Goldens.Folder(name), "config.json")))!.AsObject();
        JsonObject ours = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        theirs.Remove("transformers_version");
        AssertSame(theirs, ours, string.Empty);

        // The weights, byte by byte: what was read as float32 is written as float32 under the same name and shape.
        using SafetensorsFile before = SafetensorsFile.Open(Path.Combine(Goldens.Folder(name), "model.safetensors")), after = SafetensorsFile.Open(folder.File("model.safetensors"));
        Assert.Equal(before.Entries.Keys.Order(StringComparer.Ordinal), after.Entries.Keys.Order(StringComparer.Ordinal));
        foreach (TensorEntry entry in before.Entries.Values)
        {
            Assert.Equal(entry.Shape.ToArray(), after.Entry(entry.Name).Shape.ToArray());
            Assert.Equal(entry.Dtype, after.Entry(entry.Name).Dtype);
            Assert.Equal(ValuesOf(before, entry), ValuesOf(after, after.Entry(entry.Name)));
        }
    }

    [Fact]
    public void KnowsThePublishedSizes()
    {
        // Tables 3 and 5 of arXiv:2301.12597 give 446 M for captioning and retrieval with ViT-L, and 385 M for question answering, in which the
        // output layer of the decoder, which shares the word embeddings, counts a second time.
        Assert.Equal(446, Millions(new BlipCaptioning(BlipConfig.Large).ParameterCount()));
        Assert.Equal(446, Millions(new BlipRetrieval(BlipConfig.Large).ParameterCount()));
        Assert.Equal(385, Millions(new BlipQuestionAnswering(BlipConfig.Base).ParameterCount() + (30524L * 768)));
        Assert.Equal(224, Millions(new BlipCaptioning(BlipConfig.Base).ParameterCount()));

        static double Millions(long count) => Math.Round(count / 1e6);
    }

    [Fact]
    public void ACaptionIsGeneratedAsTransformersDoesIt()
    {
        using BlipCaptioning model = BlipCaptioning.FromPretrained(Goldens.Folder("blip_captioning"));
        using SafetensorsFile inputs = SafetensorsFile.Open(Path.Combine(Goldens.Folder("blip_captioning"), "inputs.safetensors"));
        using SafetensorsFile outputs = SafetensorsFile.Open(Path.Combine(Goldens.Folder("blip_captioning"), "outputs.safetensors"));
        using TensorScope scope = new();
        Tensor images = Floats(inputs, "pixel_values");
        IndexTensor prompt = Ints(inputs, "generate.prompt_ids");
        GenerationOptions beams = new() { MaxNewTokens = 8, Beams = 3 };
        AssertTexts(outputs, "generate.greedy", model.Caption(images, new GenerationOptions { MaxNewTokens = 8 }), 1, 40);
        AssertTexts(outputs, "generate.beam3", model.Caption(images, beams), 1, 40);
        AssertTexts(outputs, "generate.prompted_beam3", model.Caption(images, beams, prompt), 3, 40);
        Assert.Contains("prompt", Assert.Throws<ShapeException>(() => model.Caption(images, beams, IndexTensor.FromArray([4, 40], [1, 2]))).Message, StringComparison.Ordinal);
        Assert.Contains("prompt", Assert.Throws<ShapeException>(() => model.Caption(images, beams, IndexTensor.FromArray([4, 4], [2, 1]))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnAnswerIsGeneratedAsTransformersDoesItAndWithoutPaddingIfAsked()
    {
        using BlipQuestionAnswering model = BlipQuestionAnswering.FromPretrained(Goldens.Folder("blip_vqa"));
        using SafetensorsFile inputs = SafetensorsFile.Open(Path.Combine(Goldens.Folder("blip_vqa"), "inputs.safetensors"));
        using SafetensorsFile outputs = SafetensorsFile.Open(Path.Combine(Goldens.Folder("blip_vqa"), "outputs.safetensors"));
        using TensorScope scope = new();
        Tensor images = Floats(inputs, "pixel_values");
        TextBatch questions = new(Ints(inputs, "input_ids"), Ints(inputs, "attention_mask"));
        GenerationOptions greedy = new() { MaxNewTokens = 6 };
        AssertTexts(outputs, "generate.greedy", model.Answer(images, questions, greedy, attendToPadding: true), 1, 6);

        // The second question is padded. Without attending to padding it is answered as alone and at its own length.
        int length = questions.Mask!.ToArray()[8..].Sum();
        Assert.InRange(length, 2, 7);
        TextBatch alone = new(IndexTensor.FromArray(questions.TokenIds.ToArray().AsSpan(8, length), [1, length]));
        GeneratedText expected = model.Answer(images.Slice(1, 1), alone, greedy).Texts[0], found = model.Answer(images, questions, greedy).Texts[1];
        Assert.Equal(expected.Tokens, found.Tokens);
        Assert.Equal(expected.Score, found.Score, 1e-4f);
        Assert.NotEqual(expected.Score, model.Answer(images, questions, greedy, attendToPadding: true).Texts[1].Score, 1e-3f);
    }

    /// <summary>
    /// Σ weight · cross-entropy / batch, an answer's word pieces summed with a smoothing of 0.1, against the formula in double precision; and for one answer
    /// each the mean over word pieces that transformers gives, times their number.
    /// </summary>
    [Fact]
    public void TheWeightedLossCountsEveryAnswerOfAQuestion()
    {
        using BlipQuestionAnswering plain = BlipQuestionAnswering.FromPretrained(Goldens.Folder("blip_vqa"));
        using BlipQuestionAnswering model = new(plain.Config with { Text = plain.Config.Text with { LabelSmoothing = 0.1f } });
        model.Initialize(Device.Cpu);
        StateDict.Copy(plain, model, name => name);
        using SafetensorsFile inputs = SafetensorsFile.Open(Path.Combine(Goldens.Folder("blip_vqa"), "inputs.safetensors"));
        using TensorScope scope = new();
        Tensor images = Floats(inputs, "pixel_values");
        TextBatch questions = new(Ints(inputs, "input_ids"), Ints(inputs, "attention_mask"));
        int[][] answers = [[50, 9, 6], [50, 10, 11, 6], [50, 13, 14, 15, 6]];
        int[] owners = [1, 0, 1];
        float[] weights = [0.25f, 1, 0.75f];
        TextBatch padded = new(
            IndexTensor.FromArray([.. answers.SelectMany(answer => answer.Concat(new int[5 - answer.Length]))], [3, 5]),
            IndexTensor.FromArray([.. answers.SelectMany(answer => Enumerable.Repeat(1, answer.Length).Concat(new int[5 - answer.Length]))], [3, 5]));
        Tensor states = model.Ask(images, questions);
        double expected = 0, unweighted = 0;
        for (int i = 0; i < 3; i++)
        {
            int row = owners[i], tokens = answers[i].Length;
            TextBatch text = new(IndexTensor.FromArray([.. answers[i], .. answers[i]], [2, tokens]));
            float[] logits = model.AnswerLogits(text, states, questions.Mask).ToArray();
            int vocabulary = model.Config.Text.VocabularySize;
            double loss = 0;
            for (int t = 0; t + 1 < tokens; t++)
            {
                double[] scores = [.. logits.AsSpan(((row * tokens) + t) * vocabulary, vocabulary).ToArray().Select(value => (double)value)];
                double normalizer = Math.Log(scores.Sum(Math.Exp));
                loss += normalizer - (0.9 * scores[answers[i][t + 1]]) - (0.1 * scores.Average());
            }

            expected += weights[i] * loss / 2;
            if (i < 2) unweighted += loss / 2;
        }

        Assert.Equal(expected, model.WeightedLoss(images, questions, padded, owners, weights).Item(), 1e-4);

        // Answers 1 and 0 are those of questions 0 and 1: five word pieces are predicted.
        TextBatch two = new(IndexTensor.FromArray([.. answers[1], .. answers[0], 0], [2, 4]), IndexTensor.FromArray([1, 1, 1, 1, 1, 1, 1, 0], [2, 4]));
        Assert.Equal(unweighted, model.WeightedLoss(images, questions, two).Item(), 1e-4);
        Assert.Equal(unweighted * 2 / 5, model.Loss(images, questions, two).Item(), 1e-4);
        Assert.Throws<ShapeException>(() => model.WeightedLoss(images, questions, padded));
        Assert.Throws<ShapeException>(() => model.WeightedLoss(images, questions, padded, owners, [1f]));
    }

    [Fact]
    public void AnswersAreRankedByTheirLikelihood()
    {
        using BlipQuestionAnswering model = BlipQuestionAnswering.FromPretrained(Goldens.Folder("blip_vqa"));
        using SafetensorsFile inputs = SafetensorsFile.Open(Path.Combine(Goldens.Folder("blip_vqa"), "inputs.safetensors"));
        using TensorScope scope = new();
        Tensor images = Floats(inputs, "pixel_values");
        TextBatch questions = new(Ints(inputs, "input_ids"), Ints(inputs, "attention_mask"));
        int[][] answers = [[9, 6], [10, 11, 6], [12, 6], [13, 14, 15, 6]];
        IReadOnlyList<RankedAnswer>[] ranked = model.Rank(images, questions, answers);
        Tensor states = model.Ask(images, questions);
        for (int row = 0; row < 2; row++)
        {
            Assert.Equal([0, 1, 2, 3], ranked[row].Select(answer => answer.Answer).Order());
            Assert.Equal(ranked[row].OrderByDescending(answer => answer.LogLikelihood), ranked[row]);
            foreach (RankedAnswer answer in ranked[row])
            {
                int[] ids = [50, .. answers[answer.Answer][..^1]];
                TextBatch text = new(IndexTensor.FromArray([.. ids, .. ids], [2, ids.Length]));
                float[] logs = model.AnswerLogits(text, states, questions.Mask).LogSoftmax().ToArray();
                float expected = answers[answer.Answer].Select((token, i) => logs[(((row * ids.Length) + i) * 53) + token]).Sum();
                Assert.Equal(expected, answer.LogLikelihood, 1e-3f);
            }
        }
    }

    [Fact]
    public void TheDecoderSeesNoLaterToken()
    {
        using BlipCaptioning model = BlipCaptioning.FromPretrained(Goldens.Folder("blip_captioning"));
        using TensorScope scope = new();
        Tensor images = Images(2);
        float[] before = model.Forward(images, new TextBatch(IndexTensor.FromArray(Captions, [2, 5]))).ToArray();
        int[] changed = [.. Captions];
        changed[3] = 20;
        float[] after = model.Forward(images, new TextBatch(IndexTensor.FromArray(changed, [2, 5]))).ToArray();
        Assert.Equal(before[..(3 * 53)], after[..(3 * 53)]);
        Assert.NotEqual(before[(3 * 53)..(4 * 53)], after[(3 * 53)..(4 * 53)]);
        Assert.Equal(before[(5 * 53)..], after[(5 * 53)..]);
    }

    [Fact]
    public void TheCaptionLossPutsDecInFirstPlaceSmoothsAndLeavesPaddingOut()
    {
        using BlipCaptioning model = BlipCaptioning.FromPretrained(Goldens.Folder("blip_captioning"));
        using TensorScope scope = new();
        Tensor images = Images(2);
        TextBatch text = new(IndexTensor.FromArray(Captions, [2, 5]), IndexTensor.FromArray(CaptionMask, [2, 5]));
        int[] decoded = [.. Captions];
        (decoded[0], decoded[5]) = (50, 50);
        float[] logits = model.Forward(images, text with { TokenIds = IndexTensor.FromArray(decoded, [2, 5]) }).ToArray();
        Assert.Equal(BlipReference.LanguageLoss(logits, decoded, rows: 2, vocabulary: 53, padding: 0, smoothing: 0.1), model.Loss(images, text).Item(), 1e-5);
    }

    [Fact]
    public void AMatchIsTheDifferenceOfTheLogits()
    {
        using BlipRetrieval model = BlipRetrieval.FromPretrained(Goldens.Folder("blip_retrieval"));
        using TensorScope scope = new();
        TextBatch text = new(IndexTensor.FromArray(Captions, [2, 5]), IndexTensor.FromArray(CaptionMask, [2, 5]));
        EncodedImages images = model.EncodeImages(Images(2));
        EncodedTexts texts = model.EncodeTexts(text);
        float[] logits = model.PredictMatch(model.Ground(images.States, text)).ToArray();
        float[] match = model.Match(images, texts).ToArray();
        Assert.Equal(logits[1] - logits[0], match[0], 1e-6f);
        Assert.Equal(logits[3] - logits[2], match[1], 1e-6f);
        Assert.Equal(model.EncodeText(text).ToArray(), texts.Embeddings!.ToArray());
        Assert.All(images.Embeddings!.Square().Sum(1).ToArray(), norm => Assert.Equal(1f, norm, 1e-5f));
    }

    [Fact]
    public void AGroundedTextStartsWithEncWhereTheConfigNamesIt()
    {
        using BlipRetrieval model = new(BlipConfig.Tiny);
        model.Initialize(Device.Cpu, 1);
        using TensorScope scope = new();
        Tensor tokens = model.VisionEncoder.Forward(Tensor.RandomNormal([1, 3, 32, 32], 0, 1, new Generator(1), Device.Cpu));
        TextBatch classStart = new(IndexTensor.FromArray([2, 11, 3], [1, 3])), encodeStart = new(IndexTensor.FromArray([257, 11, 3], [1, 3]));
        Assert.Equal(model.TextEncoder.Forward(encodeStart, tokens).ToArray(), model.Ground(tokens, classStart).ToArray());
        Assert.NotEqual(model.TextEncoder.Forward(classStart, tokens).ToArray(), model.Ground(tokens, classStart).ToArray());
        Assert.NotEqual(model.EncodeText(encodeStart).ToArray(), model.EncodeText(classStart).ToArray());
    }

    [Theory]
    [InlineData("text_config", "hidden_size", "18", "vision_config")]
    [InlineData("text_config", "bos_token_id", "53", "vocab_size")]
    [InlineData("text_config", "sep_token_id", "-1", "sep_token_id")]
    [InlineData("text_config", "enc_token_id", "530", "vocab_size")]
    [InlineData("text_config", "label_smoothing", "2", "label_smoothing")]
    [InlineData("vision_config", "image_size", "16", "patch_size")]
    [InlineData("vision_config", "num_attention_heads", "3", "num_attention_heads")]
    public void NamesTheWrongFieldOfAConfig(string part, string field, string value, string expected)
    {
        using TemporaryFolder folder = Goldens.Copy("blip_vqa");
        JsonObject config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        config[part]![field] = JsonNode.Parse(value);
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        string message = Assert.Throws<ModelFormatException>(() => BlipQuestionAnswering.FromPretrained(folder.Path)).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.Contains("config.json", message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATextThatIsTooLongIsRefused()
    {
        using BlipRetrieval model = BlipRetrieval.FromPretrained(Goldens.Folder("blip_retrieval"));
        Assert.Contains("24", Assert.Throws<ShapeException>(() => model.EncodeText(new TextBatch(IndexTensor.FromArray(new int[25], [1, 25])))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new BlipQuestionAnswering(BlipConfig.Tiny with { Text = BlipConfig.Tiny.Text with { Width = 32 } }));
    }

    private static Tensor Images(int count) => Tensor.RandomNormal([count, 3, 15, 15], 0, 1, new Generator(5), Device.Cpu);

    private static void AssertTexts(SafetensorsFile outputs, string name, GenerationResult result, int prompt, int end)
    {
        int[] expected = Ints(outputs, name + ".sequences").ToArray();
        int length = expected.Length / result.Texts.Count;
        for (int row = 0; row < result.Texts.Count; row++)
        {
            int[] written = expected.AsSpan((row * length) + prompt, length - prompt).ToArray();
            int stop = Array.IndexOf(written, end);
            Assert.Equal(stop < 0 ? written : written[..(stop + 1)], result.Texts[row].Tokens);
        }
    }

    private static Tensor Floats(SafetensorsFile file, string name) => Tensor.FromArray(ValuesOf(file, file.Entry(name)), Shape.Create([.. file.Entry(name).Shape.Select(size => (int)size)]));

    private static IndexTensor Ints(SafetensorsFile file, string name)
    {
        int[] values = new int[file.Entry(name).ElementCount];
        file.ReadInt32(name, values);
        return IndexTensor.FromArray(values, Shape.Create([.. file.Entry(name).Shape.Select(size => (int)size)]));
    }

    private static float[] ValuesOf(SafetensorsFile file, TensorEntry entry)
    {
        float[] values = new float[entry.ElementCount];
        file.ReadFloat32(entry.Name, values);
        return values;
    }

    private static void AssertSame(JsonObject theirs, JsonObject ours, string path)
    {
        Assert.Equal(theirs.Select(field => field.Key).Order(StringComparer.Ordinal), ours.Select(field => field.Key).Order(StringComparer.Ordinal));
        foreach ((string field, JsonNode? reference) in theirs)
        {
            JsonNode? value = ours[field];
            if (reference is JsonObject inner) AssertSame(inner, value!.AsObject(), $"{path}{field}.");
            else if (reference is JsonValue number && number.TryGetValue(out double expected)) Assert.True(Math.Abs(value!.GetValue<double>() - expected) <= 1e-6 * Math.Abs(expected), $"{path}{field}: {value}, expected {expected}");
            else Assert.True(JsonNode.DeepEquals(reference, value), $"{path}{field}: {value}, expected {reference}");
        }
    }
}

/// <summary>BLIP's losses in double precision, written from their formulas.</summary>
internal static class BlipReference
{
    /// <summary>Mean over the positions whose next token is no padding of -Σ t log p, t = (1 - ε) onehot + ε / vocabulary.</summary>
    public static double LanguageLoss(float[] logits, int[] ids, int rows, int vocabulary, int padding, double smoothing)
    {
        int tokens = ids.Length / rows, count = 0;
        double sum = 0;
        for (int row = 0; row < rows; row++)
        {
            for (int t = 0; t + 1 < tokens; t++)
            {
                int next = ids[(row * tokens) + t + 1];
                if (next == padding) continue;
                double[] logs = LogSoftmax(logits.AsSpan(((row * tokens) + t) * vocabulary, vocabulary));
                sum -= ((1 - smoothing) * logs[next]) + (smoothing / vocabulary * logs.Sum());
                count++;
            }
        }

        return sum / count;
    }

    /// <summary>
    /// One direction of the contrastive loss: mean over rows of -Σ_j y_ij log softmax_j(s_ij), with the batch's momentum features and then the queue as
    /// columns; y mixes the teacher's softmax, by α, with equal shares of the columns of equal id.
    /// </summary>
    public static double ContrastiveLoss(float[] rows, float[] teacher, float[] columns, int[] ids, int[] columnIds, int width, double temperature, double alpha)
    {
        int count = rows.Length / width, candidates = columns.Length / width;
        double sum = 0;
        for (int i = 0; i < count; i++)
        {
            double[] logs = LogSoftmax(Scores(rows, i)), soft = LogSoftmax(Scores(teacher, i));
            int positives = Enumerable.Range(0, candidates).Count(j => columnIds[j] == ids[i]);
            for (int j = 0; j < candidates; j++)
                sum -= ((alpha * Math.Exp(soft[j])) + (columnIds[j] == ids[i] ? (1 - alpha) / positives : 0)) * logs[j];
        }

        return sum / count;

        double[] Scores(float[] from, int row)
            => [.. Enumerable.Range(0, candidates).Select(j => Enumerable.Range(0, width).Sum(k => (double)from[(row * width) + k] * columns[(j * width) + k]) / temperature)];
    }

    public static double[] LogSoftmax(ReadOnlySpan<float> logits) => LogSoftmax([.. logits.ToArray().Select(x => (double)x)]);

    public static double[] LogSoftmax(double[] logits)
    {
        double largest = logits.Max(), sum = Math.Log(logits.Sum(x => Math.Exp(x - largest))) + largest;
        return [.. logits.Select(x => x - sum)];
    }
}
