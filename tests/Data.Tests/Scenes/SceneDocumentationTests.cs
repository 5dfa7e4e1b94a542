using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Skia;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

/// <summary>docs/scenes.md shows what the code draws. After a wanted change, run these tests with MINIVLP_WRITE_DOCS=1 to draw the sheet anew.</summary>
public sealed class SceneDocumentationTests
{
    private const int Columns = 8;
    private const int Rows = 4;

    private static readonly SceneDataset Data = new(new SceneDatasetOptions
    {
        World = new SceneOptions(),
        Count = Columns * Rows,
        ImageSize = 80,
    });

    private static string Folder
    {
        get
        {
            string? folder = AppContext.BaseDirectory;
            while (folder is not null && !File.Exists(Path.Combine(folder, "MiniVlp.sln")))
            {
                folder = Path.GetDirectoryName(folder);
            }

            return Path.Combine(folder ?? throw new DirectoryNotFoundException("No MiniVlp.sln above the tests."), "docs");
        }
    }

    [Fact]
    public void TheSheetIsWhatTheCodeDraws()
    {
        RgbImage sheet = new SceneRenderer(80).RenderSheet([.. Enumerable.Range(0, Data.Count).Select(Data.SceneAt)], Columns);
        string path = Path.Combine(Folder, "images", "scenes.png");
        if (Environment.GetEnvironmentVariable("MINIVLP_WRITE_DOCS") == "1")
        {
            File.WriteAllBytes(path, PngWriter.Encode(sheet));
        }

        byte[] file = File.ReadAllBytes(path);
        Assert.InRange(file.Length, 1, 60_000);
        Assert.Equal(sheet.Pixels, new SkiaImageDecoder().Decode(file, path).Pixels);
    }

    [Fact]
    public void TheCaptionsBelowTheSheetAreThoseOfItsFirstRow()
    {
        string page = File.ReadAllText(Path.Combine(Folder, "scenes.md"));
        Assert.All(Enumerable.Range(0, Columns), i => Assert.Contains(Data.GetCaption(i), page));
    }
}
