using System.Diagnostics;
using System.Text.Json;
using MiniVlp.Data.Images;
using MiniVlp.Data.Skia;
using Xunit;

namespace MiniVlp.Data.Tests.Images;

/// <summary>Every file of the shared collection of odd and broken pictures behaves as its manifest says.</summary>
public sealed class BadImageTests
{
    private static readonly string Folder = Path.Combine(ImageGoldens.RepositoryRoot(), "..", "shared", "data", "bad-images");
    private readonly SkiaImageDecoder _decoder = new();

    [Fact]
    public void TheManifestHolds()
    {
        string manifest = Path.Combine(Folder, "manifest.json");
        if (!File.Exists(manifest))
        {
            Assert.Skip("shared/data/bad-images is not beside the repository.");
        }

        // The native library is loaded and warmed up outside of the timed part.
        _decoder.DecodeFile(Path.Combine(Folder, "good.png"));
        List<string> wrong = [];
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(manifest));
        foreach (JsonElement entry in document.RootElement.EnumerateArray())
        {
            string file = entry.GetProperty("file").GetString()!;
            long before = GC.GetAllocatedBytesForCurrentThread();
            Stopwatch clock = Stopwatch.StartNew();
            string outcome = Decode(entry, file);
            if (outcome.Length > 0)
            {
                wrong.Add($"{file}: {outcome}");
            }

            if (clock.ElapsedMilliseconds > 1000)
            {
                wrong.Add($"{file}: took {clock.ElapsedMilliseconds} ms");
            }

            if (GC.GetAllocatedBytesForCurrentThread() - before > 4_000_000)
            {
                wrong.Add($"{file}: allocated {GC.GetAllocatedBytesForCurrentThread() - before} bytes");
            }
        }

        Assert.True(wrong.Count == 0, string.Join(Environment.NewLine, wrong));
    }

    /// <summary>Empty when the file behaves.</summary>
    private string Decode(JsonElement entry, string file)
    {
        string expect = entry.GetProperty("expect").GetString()!;
        RgbImage image;
        try
        {
            image = _decoder.DecodeFile(Path.Combine(Folder, file));
        }
        catch (ImageFormatException error)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(error.Message.Replace(Folder, "", StringComparison.Ordinal));
            return expect == "ok" ? error.Message : error.Message.Contains(file, StringComparison.Ordinal) ? "" : "the error does not name the file";
        }

        if (expect == "error")
        {
            return "was decoded";
        }

        if (expect == "either")
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"{file}: decoded");
        }

        (int, int) size = (entry.GetProperty("width").GetInt32(), entry.GetProperty("height").GetInt32());
        if ((image.Width, image.Height) != size)
        {
            return $"is {image.Width}x{image.Height}";
        }

        return expect == "ok" ? string.Concat(entry.GetProperty("points").EnumerateArray().Select(p => Difference(p, image, entry))) : "";
    }

    private static string Difference(JsonElement point, RgbImage image, JsonElement entry)
    {
        int tolerance = entry.GetProperty("tolerance").GetInt32();
        int[] p = [.. point.EnumerateArray().Select(v => v.GetInt32())];
        (byte red, byte green, byte blue) = image[p[0], p[1]];
        int difference = Math.Max(Math.Abs(red - p[2]), Math.Max(Math.Abs(green - p[3]), Math.Abs(blue - p[4])));
        return difference <= tolerance ? "" : $"({p[0]},{p[1]}) is {red},{green},{blue} instead of {p[2]},{p[3]},{p[4]}; ";
    }
}
