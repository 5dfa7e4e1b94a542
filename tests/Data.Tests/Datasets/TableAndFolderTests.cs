using System.Text.Json;
using MiniVlp.Data.Datasets;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

public class TableAndFolderTests
{
    [Fact]
    public void CsvFollowsRfc4180()
    {
        using TemporaryFolder folder = new();
        folder.Write("img/a.png", "A");
        folder.Write("img/b.png", "B");
        folder.Write("t.csv", "caption,image,source\r\n\"two, \"\"quoted\"\"\nlines\",img/a.png,x\r\nplain \"inside\" text,img/b.png,\r\n");
        IImageTextDataset data = ImageTextDataset.Open(folder.File("t.csv"), new StubDecoder());
        Assert.Equal(2, data.Count);
        Assert.Equal("two, \"quoted\"\nlines", data.GetCaption(0));
        Assert.Equal("plain \"inside\" text", data.Get(1).Caption);
        Assert.Equal((byte)'B', data.Get(1).Image.Pixels[0]);
        Assert.Equal("x", data.Get(0).Metadata!.Value.GetProperty("source").GetString());
        Assert.Equal("t.csv:4/img/b.png", data.Get(1).Key);
    }

    [Fact]
    public void TsvWithChosenColumnsAndFolder()
    {
        using TemporaryFolder folder = new();
        folder.Write("pictures/a.png", "A");
        folder.Write("t.tsv", "id\turl\talt, text\n1\ta.png\ta, b\n\n2\ta.png\t\"c\"\n");
        ImageTextOptions options = new() { ImageColumn = "URL", CaptionColumn = "alt, text", ImageRoot = folder.File("pictures") };
        IImageTextDataset data = ImageTextDataset.Open(folder.File("t.tsv"), new StubDecoder(), options);
        Assert.Equal(["a, b", "c"], [data.GetCaption(0), data.GetCaption(1)]);
        Assert.Equal((byte)'A', data.Get(0).Image.Pixels[0]);
    }

    [Theory]
    [InlineData("", "empty file")]
    [InlineData("image,caption\n", "no rows after the header")]
    [InlineData("picture,caption\na.png,x\n", "no column 'image', 'image_path'")]
    [InlineData("image,words\na.png,x\n", "for the captions; the columns are 'image', 'words'")]
    [InlineData("image,caption\na.png\n", "line 2 has 1 fields, the header has 2")]
    [InlineData("image,caption\na.png,x\nb.png,x,y\n", "line 3 has 3 fields")]
    [InlineData("image,caption\na.png,\"x\n\n", "the quote opened on line 2 is never closed")]
    [InlineData("image,caption\na.png,\"x\"y\n", "a closing quote is followed by 'y'")]
    [InlineData("image,caption\n,x\n", "the field 'image' is not a path")]
    public void BadTablesNameLineAndColumn(string text, string message)
    {
        using TemporaryFolder folder = new();
        folder.Write("t.csv", text);
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => ImageTextDataset.Open(folder.File("t.csv"), new StubDecoder()));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains("t.csv", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MissingPicturesAreNamed()
    {
        using TemporaryFolder folder = new();
        folder.Write("a.png", "A");
        folder.Write("t.csv", "image,caption\na.png,x\nb.png,y\n");
        IImageTextDataset data = ImageTextDataset.Open(folder.File("t.csv"), new StubDecoder());
        Assert.Contains("t.csv:3/b.png: the picture", Assert.Throws<FileNotFoundException>(() => data.Get(1)).Message, StringComparison.Ordinal);
        folder.Write("t.csv", "image,caption\nb.png,y\n");
        Assert.Contains("ImageRoot", Assert.Throws<FileNotFoundException>(() => ImageTextDataset.Open(folder.File("t.csv"), new StubDecoder())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void CocoGivesOneSamplePerCaption()
    {
        using TemporaryFolder folder = new();
        folder.Write("val/a.jpg", "A");
        folder.Write("val/b.jpg", "B");
        folder.Write("captions.json", JsonSerializer.Serialize(new
        {
            info = new { year = 2015 },
            images = new[] { new { id = 7, file_name = "b.jpg" }, new { id = 5, file_name = "a.jpg" } },
            annotations = new[] { new { id = 1, image_id = 5, caption = "one " }, new { id = 2, image_id = 7, caption = "two" }, new { id = 3, image_id = 5, caption = "three" } },
        }));
        IImageTextDataset data = ImageTextDataset.Open(folder.File("captions.json"), new StubDecoder(), new ImageTextOptions { ImageRoot = folder.File("val") });
        Assert.Equal(["one", "two", "three"], Enumerable.Range(0, data.Count).Select(data.GetCaption));
        Assert.Equal("ABA", string.Concat(Enumerable.Range(0, 3).Select(i => (char)data.Get(i).Image.Pixels[0])));
        Assert.Equal(5, data.Get(2).Metadata!.Value.GetProperty("image_id").GetInt32());
        Assert.Equal("captions.json/a.jpg#3", data.Get(2).Key);
    }

    [Fact]
    public void CaptionsOfOnePictureAreToldToBelongTogether()
    {
        using TemporaryFolder folder = new();
        folder.Write("a.png", "A");
        folder.Write("b.png", "B");
        folder.Write("t.csv", "image,caption\na.png,one\nb.png,two\na.png,three\n");
        folder.Write("captions.json", """{"images":[{"id":7,"file_name":"b.png"},{"id":5,"file_name":"a.png"}],"annotations":[{"image_id":5,"caption":"x"},{"image_id":7,"caption":"y"},{"image_id":5,"caption":"z"}]}""");
        IImageTextDataset table = ImageTextDataset.Open(folder.File("t.csv"), new StubDecoder()), coco = ImageTextDataset.Open(folder.File("captions.json"), new StubDecoder());
        Assert.Equal([0, 1, 0], Enumerable.Range(0, 3).Select(table.PictureOf));
        Assert.Equal([0, 1, 0], Enumerable.Range(0, 3).Select(coco.PictureOf));
        Assert.Equal([0, 1, 0, 3, 4, 3], Enumerable.Range(0, 6).Select(new ConcatenatedDataset([table, coco]).PictureOf));
    }

    [Theory]
    [InlineData("""{"annotations":[]}""", "'images' is missing")]
    [InlineData("""{"images":{},"annotations":[]}""", "'images' should be a json array and is object")]
    [InlineData("""{"images":[],"annotations":[]}""", "'annotations' is empty")]
    [InlineData("""{"images":[{"id":1}],"annotations":[]}""", "images[0]: the field 'file_name' is missing")]
    [InlineData("""{"images":[{"id":1,"file_name":"../a.png"}],"annotations":[]}""", "images[0]: '../a.png' is not a path inside")]
    [InlineData("""{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"image_id":2,"caption":"x"}]}""", "annotations[0]: 'image_id' is 2")]
    [InlineData("""{"images":[{"id":1.5,"file_name":"a.png"}],"annotations":[]}""", "'id' is not a whole number")]
    [InlineData("""{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"image_id":1,"caption":3}]}""", "'caption' should be a json string and is number")]
    [InlineData("""{"images":[""", "not valid json")]
    [InlineData("[]", "'images' is missing")]
    public void BadCocoNamesTheField(string json, string message)
    {
        using TemporaryFolder folder = new();
        folder.Write("c.json", json);
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => ImageTextDataset.Open(folder.File("c.json"), new StubDecoder()));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains("c.json", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DeepJsonIsRefusedAtOnce()
    {
        using TemporaryFolder folder = new();
        folder.Write("c.json", "{\"images\":" + new string('[', 1_000_000));
        Assert.Throws<InvalidDataException>(() => ImageTextDataset.Open(folder.File("c.json"), new StubDecoder()));
    }

    [Fact]
    public void FolderTakesTextFilesAndClassFolders()
    {
        using TemporaryFolder folder = new();
        folder.Write("b.png", "B");
        folder.Write("b.txt", "own words\n");
        folder.Write("red_ball/x.jpg", "X");
        folder.Write("notes.md", "no picture");
        IImageTextDataset data = ImageTextDataset.Open(folder.Path, new StubDecoder());
        Assert.Equal(["own words", "a photo of a red ball"], [data.GetCaption(0), data.GetCaption(1)]);
        Assert.Equal("red ball", data.Get(1).Metadata!.Value.GetProperty("label").GetString());
        Assert.Equal("red_ball/x.jpg", data.Get(1).Key);
        folder.Write("c.png", "C");
        Assert.Contains("'c.png' has no caption", Assert.Throws<InvalidDataException>(() => ImageTextDataset.Open(folder.Path, new StubDecoder())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownOrAbsentPathsSaySo()
    {
        using TemporaryFolder folder = new();
        StubDecoder decoder = new();
        Assert.Throws<FileNotFoundException>(() => ImageTextDataset.Open(folder.File("none.tar"), decoder));
        Assert.Throws<FileNotFoundException>(() => ImageTextDataset.Open(folder.File("none-*.tar"), decoder));
        Assert.Throws<FileNotFoundException>(() => ImageTextDataset.Open(folder.File("none"), decoder));
        Assert.Throws<InvalidDataException>(() => ImageTextDataset.Open(folder.Path, decoder));
        folder.Write("a.parquet", "x");
        Assert.Contains(".csv", Assert.Throws<ArgumentException>(() => ImageTextDataset.Open(folder.File("a.parquet"), decoder)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => ImageTextDataset.Open(folder.File("{0..2000000000}.tar"), decoder));
    }

    [Fact]
    public void SeveralSourcesFollowOneAnother()
    {
        using TemporaryFolder folder = new();
        folder.Write("a.png", "A");
        folder.Write("t.csv", "image,caption\na.png,table\n");
        folder.Write("pets/cats/x.png", "X");
        using (TarShardWriter writer = new(folder.File("s")))
        {
            writer.Write("1", [65], "shard one");
            writer.Write("2", [66], "shard two");
            writer.Complete();
        }

        IImageTextDataset data = ImageTextDataset.Open([folder.File("t.csv"), folder.File("s-000000.tar"), folder.File("pets"), folder.File("t.csv")], new StubDecoder(), new ImageTextOptions { FolderCaption = "f" });
        Assert.Equal(["table", "shard one", "shard two", "f", "table"], Enumerable.Range(0, data.Count).Select(data.GetCaption));
        Assert.Equal((byte)66, data.Get(2).Image.Pixels[0]);
    }
}
