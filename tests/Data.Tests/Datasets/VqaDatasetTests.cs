using System.Text.Json;
using MiniVlp.Data.Datasets;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

public sealed class VqaDatasetTests
{
    private const string Questions = """
        {"data_subtype":"val2014","questions":[
          {"question_id":30,"image_id":3,"question":"How many? "},
          {"question_id":10,"image_id":1,"question":"What color?"},
          {"question_id":11,"image_id":1,"question":"Nobody knows?"},
          {"question_id":20,"image_id":2,"question":"Where?","image":"own/b.png"}]}
        """;

    private const string Annotations = """
        {"annotations":[
          {"question_id":10,"image_id":1,"answer_type":"other","answers":[{"answer":"red","answer_id":1},{"answer":"Dark red","answer_id":2}]},
          {"question_id":20,"answers":[{"answer":"there"}]},
          {"question_id":30,"answer_type":"number","answers":[{"answer":"2"},{"answer":"2"},{"answer":"two"}]}]}
        """;

    [Fact]
    public void QuestionsComeWithTheAnswersOfAllAnnotators()
    {
        using TemporaryFolder folder = new();
        folder.Write("images/COCO_val2014_000000000001.jpg", "A");
        folder.Write("images/own/b.png", "B");
        folder.Write("images/000000000003.jpg", "C");
        VqaDataset data = new(
            folder.Write("q.json", Questions), folder.Write("a.json", Annotations), new StubDecoder(), new ImageTextOptions { ImageRoot = folder.File("images") });
        Assert.Equal(["How many?", "What color?", "Where?"], Enumerable.Range(0, data.Count).Select(data.GetCaption));
        Assert.Equal("CAB", string.Concat(Enumerable.Range(0, 3).Select(i => (char)data.Get(i).Image.Pixels[0])));
        JsonElement metadata = data.Get(1).Metadata!.Value;
        Assert.Equal(["red", "Dark red"], metadata.GetProperty("answers").EnumerateArray().Select(answer => answer.GetString()!));
        Assert.Equal("other", metadata.GetProperty("kind").GetString());
        Assert.Equal((10, 1), (metadata.GetProperty("question_id").GetInt32(), metadata.GetProperty("image_id").GetInt32()));
        Assert.False(data.Get(2).Metadata!.Value.TryGetProperty("kind", out _));
        Assert.Equal("q.json/own/b.png#20", data.Get(2).Key);
        Assert.Throws<ArgumentOutOfRangeException>(() => data.Get(3));
        Assert.Equal([0, 1, 2], Enumerable.Range(0, 3).Select(data.PictureOf));
    }

    [Theory]
    [InlineData("""{"questions":[]}""", Annotations, "no question has an answer")]
    [InlineData("""{"annotations":[]}""", Annotations, "'questions' is missing")]
    [InlineData("""{"questions":[{"question_id":1,"image_id":1}]}""", Annotations, "questions[0]: the field 'question' is missing")]
    [InlineData("""{"questions":[{"question_id":"x","image_id":1,"question":"?"}]}""", Annotations, "'question_id' should be a json number")]
    [InlineData("""{"questions":[{"question_id":10,"image_id":1,"question":"?","image":"../x"}]}""", Annotations, "'../x' is not a path inside")]
    [InlineData("""{"questions":[{"question_id":1,"image_id":1,"question":"?"},{"question_id":1,"image_id":1,"question":"?"}]}""", Annotations, "questions[1]: another question")]
    [InlineData(Questions, """{"annotations":[{"question_id":1,"answers":[]}]}""", "annotations[0]: 'answers' has 0 entries")]
    [InlineData(Questions, """{"annotations":[{"question_id":1,"answers":[{"text":"x"}]}]}""", "the field 'answer' is missing")]
    [InlineData(Questions, """{"annotations":[{"question_id":1,"answers":[{"answer":"x"}]},{"question_id":1,"answers":[{"answer":"x"}]}]}""", "annotations[1]: another annotation")]
    [InlineData(Questions, """{"annotations":[{"question_id":1.5,"answers":[{"answer":"x"}]}]}""", "'question_id' is not a whole number")]
    public void BadFilesAreNamedWithTheField(string questions, string annotations, string message)
    {
        using TemporaryFolder folder = new();
        InvalidDataException error = Assert.Throws<InvalidDataException>(
            () => new VqaDataset(folder.Write("q.json", questions), folder.Write("a.json", annotations), new StubDecoder()));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains(".json", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingPictureSaysWhereItWasLookedFor()
    {
        using TemporaryFolder folder = new();
        FileNotFoundException error = Assert.Throws<FileNotFoundException>(
            () => new VqaDataset(folder.Write("q.json", Questions), folder.Write("a.json", Annotations), new StubDecoder()));
        Assert.Contains("COCO_val2014_000000000003.jpg", error.Message, StringComparison.Ordinal);
    }
}
