using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// Visual question answering in the format of VQA v2 (arXiv 1612.00837): a file of questions, <c>questions[].question_id, image_id, question</c>, and one of
/// annotations, <c>annotations[].question_id, answers[].answer</c> and optionally <c>question_type</c> and <c>answer_type</c>. A sample's caption is the
/// question, its metadata has <c>question_id</c>, <c>image_id</c>, the list <c>answers</c> and, where it is known, <c>kind</c>, the answer's type.
/// A picture is the question's <c>image</c> when it has one, else <c>COCO_{data_subtype}_{image_id}.jpg</c> or <c>{image_id}.jpg</c> with twelve digits.
/// </summary>
public sealed class VqaDataset : IImageTextDataset
{
    private const long FileLimit = 1L << 30;
    private const int MostAnswers = 1000;

    private readonly List<Entry> _entries = [];
    private readonly Dictionary<string, int> _firstOfPicture = new(StringComparer.Ordinal);
    private readonly IImageDecoder _decoder;
    private readonly ImageLimits _limits;
    private readonly string _root;

    /// <summary>Reads both files; the pictures are opened when asked for.</summary>
    /// <param name="questions">The json file of questions.</param>
    /// <param name="annotations">The json file of answers; questions without one are left out.</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="options">Where the pictures are and how large they may be; null for the defaults.</param>
    /// <exception cref="InvalidDataException">A file is damaged, a field is missing, an id occurs twice, or no question has an answer.</exception>
    /// <exception cref="FileNotFoundException">A json file or the first picture does not exist.</exception>
    public VqaDataset(string questions, string annotations, IImageDecoder decoder, ImageTextOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(questions);
        ArgumentException.ThrowIfNullOrEmpty(annotations);
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= ImageTextOptions.Default;
        Name = questions;
        _decoder = decoder;
        _limits = options.Limits;
        _root = options.ImageRoot ?? Path.GetDirectoryName(Path.GetFullPath(questions))!;
        Dictionary<long, (string? Kind, string[] Answers)> answers = ReadAnswers(annotations);
        using (JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(questions, FileLimit), questions))
        {
            ReadQuestions(document.RootElement, answers);
        }

        if (_entries.Count == 0)
        {
            throw new InvalidDataException($"{questions}: no question has an answer in {annotations}.");
        }

        string first = Path.Combine(_root, _entries[0].File);
        if (!File.Exists(first))
        {
            throw new FileNotFoundException($"{questions}: the first picture '{first}' does not exist; say which folder the pictures are in (ImageRoot).", first);
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => _entries.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        Entry entry = _entries[index];
        string key = string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(Name)}/{entry.File}#{entry.QuestionId}");
        RgbImage image = ImageFiles.Decode(_decoder, Path.Combine(_root, entry.File), key, _limits);
        JsonElement metadata = ImageFiles.Json(writer =>
        {
            writer.WriteNumber("question_id", entry.QuestionId);
            writer.WriteNumber("image_id", entry.ImageId);
            if (entry.Kind is not null)
            {
                writer.WriteString("kind", entry.Kind);
            }

            writer.WriteStartArray("answers");
            foreach (string answer in entry.Answers)
            {
                writer.WriteStringValue(answer);
            }

            writer.WriteEndArray();
        });
        return new ImageTextSample(key, image, entry.Question, metadata);
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _entries[index].Question;
    }

    /// <inheritdoc/>
    public int PictureOf(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _firstOfPicture[_entries[index].File];
    }

    /// <summary>
    /// The answers that were given most often, most frequent first: what a model that ranks or classifies chooses from (arXiv 1505.00468, section 4.1).
    /// </summary>
    /// <param name="annotations">The json file of answers to the questions that a model is trained on.</param>
    /// <param name="most">How many at most; ALBEF and BLIP choose from 3128.</param>
    /// <exception cref="InvalidDataException">The file is damaged or has no annotation.</exception>
    public static IReadOnlyList<string> FrequentAnswers(string annotations, int most = 3128)
    {
        ArgumentException.ThrowIfNullOrEmpty(annotations);
        ArgumentOutOfRangeException.ThrowIfLessThan(most, 1);
        string[] answers =
        [
            .. ReadAnswers(annotations).Values.SelectMany(annotation => annotation.Answers).GroupBy(answer => answer, StringComparer.Ordinal)
                .OrderByDescending(same => same.Count()).ThenBy(same => same.Key, StringComparer.Ordinal).Select(same => same.Key).Take(most),
        ];
        return answers.Length > 0 ? answers : throw new InvalidDataException($"{annotations}: there is no annotation.");
    }

    private static Dictionary<long, (string? Kind, string[] Answers)> ReadAnswers(string path)
    {
        Dictionary<long, (string? Kind, string[] Answers)> answers = [];
        using JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(path, FileLimit), path);
        int position = 0;
        foreach (JsonElement annotation in InputFile.Field(document.RootElement, "annotations", JsonValueKind.Array, path).EnumerateArray())
        {
            string where = $"{path}: annotations[{position++}]";
            JsonElement list = InputFile.Field(annotation, "answers", JsonValueKind.Array, where);
            int count = list.GetArrayLength();
            if (count is 0 or > MostAnswers)
            {
                throw new InvalidDataException($"{where}: 'answers' has {count} entries; 1 to {MostAnswers} are read.");
            }

            string[] texts = [.. list.EnumerateArray().Select(answer => InputFile.Field(answer, "answer", JsonValueKind.String, where + ": answers").GetString()!)];
            string? kind = annotation.TryGetProperty("answer_type", out _) ? InputFile.Field(annotation, "answer_type", JsonValueKind.String, where).GetString() : null;
            if (!answers.TryAdd(InputFile.WholeNumber(annotation, "question_id", where), (kind, texts)))
            {
                throw new InvalidDataException($"{where}: another annotation has the same question_id.");
            }
        }

        return answers;
    }

    private void ReadQuestions(JsonElement root, Dictionary<long, (string? Kind, string[] Answers)> answers)
    {
        string? subtype = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("data_subtype", out _)
            ? InputFile.Field(root, "data_subtype", JsonValueKind.String, Name).GetString()
            : null;
        HashSet<long> seen = [];
        int position = 0;
        foreach (JsonElement question in InputFile.Field(root, "questions", JsonValueKind.Array, Name).EnumerateArray())
        {
            string where = $"{Name}: questions[{position++}]";
            long id = InputFile.WholeNumber(question, "question_id", where), image = InputFile.WholeNumber(question, "image_id", where);
            string text = InputFile.Field(question, "question", JsonValueKind.String, where).GetString()!.Trim();
            if (!seen.Add(id))
            {
                throw new InvalidDataException($"{where}: another question has the same question_id.");
            }

            string file = question.TryGetProperty("image", out _)
                ? InputFile.Field(question, "image", JsonValueKind.String, where).GetString()!
                : FileOf(image, subtype);
            ImageFiles.Below(_root, file, where);
            if (answers.TryGetValue(id, out (string? Kind, string[] Answers) given))
            {
                _firstOfPicture.TryAdd(file, _entries.Count);
                _entries.Add(new Entry(id, image, file, text, given.Kind, given.Answers));
            }
        }
    }

    private string FileOf(long image, string? subtype)
    {
        string plain = string.Create(CultureInfo.InvariantCulture, $"{image:D12}.jpg");
        return subtype is null || File.Exists(Path.Combine(_root, plain)) ? plain : $"COCO_{subtype}_{plain}";
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Entry(long QuestionId, long ImageId, string File, string Question, string? Kind, string[] Answers);
}
