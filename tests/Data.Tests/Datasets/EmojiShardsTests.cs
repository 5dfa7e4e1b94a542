using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Skia;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

public class EmojiShardsTests
{
    [Theory]
    [InlineData("SMILING FACE WITH OPEN MOUTH", "face-smiling", "smiling face with open mouth")]
    [InlineData("St. Kitts & Nevis Flag", "country-flag", "flag of Saint Kitts and Nevis")]
    [InlineData("Cocos (Keeling) Islands Flag", "country-flag", "flag of Cocos (Keeling) Islands")]
    [InlineData("Hong Kong SAR China Flag", "country-flag", "flag of Hong Kong")]
    [InlineData("Myanmar (Burma) Flag", "country-flag", "flag of Myanmar")]
    [InlineData("KEYCAP 3", "keycap", "keycap with the digit three")]
    [InlineData("KEYCAP TEN", "keycap", "keycap with the number ten")]
    [InlineData("HASH KEY", "keycap", "keycap with the number sign")]
    [InlineData("CLOCK FACE TWO OCLOCK", "time", "clock showing two o'clock")]
    [InlineData("CLOCK FACE TWO-THIRTY", "time", "clock showing two-thirty")]
    [InlineData("ARIES", "zodiac", "aries zodiac sign")]
    [InlineData("WOMAN: RED HAIR", "person", "woman with red hair")]
    [InlineData("MAN: BALD", "person", "bald man")]
    [InlineData("WOMAN: BEARD", "person", "woman with a beard")]
    [InlineData("KISS: WOMAN, MAN", "family", "kiss between a woman and a man")]
    [InlineData("COUPLE WITH HEART: MAN, MAN", "family", "couple with heart, two men")]
    [InlineData("RESCUE WORKER\u2019S HELMET", "clothing", "rescue worker's helmet")]
    [InlineData("FAMILY: MAN, BOY", "family", null)]
    [InlineData("SQUARED CJK UNIFIED IDEOGRAPH-7121", "alphanum", null)]
    public void CaptionsAreWordsFromTheName(string name, string subcategory, string? expected)
    {
        Assert.Equal(expected, EmojiCaption.From(name, subcategory));
    }

    [Theory]
    [InlineData("1F3C3", "1F3C3-200D-2642-FE0F", "1F3C3-1F3FD-200D-2640-FE0F", "1F3C3-200D-2640-FE0F-200D-27A1-FE0F")]
    [InlineData("1F468-200D-1F373", "1F9D1-1F3FB-200D-1F373", "1F469-200D-1F373")]
    [InlineData("1F466", "1F467-1F3FF", "1F9D2")]
    [InlineData("1F48F", "1F468-200D-2764-FE0F-200D-1F48B-200D-1F468", "1F469-200D-2764-FE0F-200D-1F48B-200D-1F468")]
    [InlineData("1F46B", "1F46C-1F3FB", "1F9D1-200D-1F91D-200D-1F9D1")]
    public void VariantsOfAConceptAreOneFamily(params string[] codes)
    {
        Assert.Single(codes.Select(code => Concept(code).Family).Distinct());
        Assert.NotEqual(Concept("1F600").Family, Concept(codes[0]).Family);
        Assert.Single(codes.Select(code => Concept(code).IsValidation(0.5)).Distinct());
    }

    [Fact]
    public void BuildsSplitShardsWithoutDoubles()
    {
        using TemporaryFolder folder = new();
        MakePackages(folder, 40);
        EmojiReport report = EmojiShards.Build(folder.File("in"), folder.File("out"), new SkiaImageDecoder(), new EmojiOptions { ValidationShare = 0.4, SamplesPerShard = 7, SkinTones = true });
        IImageTextDataset train = ImageTextDataset.Open(folder.File("out/train-*.tar"), new SkiaImageDecoder());
        IImageTextDataset val = ImageTextDataset.Open(folder.File("out/val-*.tar"), new SkiaImageDecoder());
        Assert.Equal((report.TrainSamples, report.ValidationSamples), (train.Count, val.Count));

        // Forty emoji with one skin tone each and two vendors, less the one drawn like another (twice) and its tone's twin.
        Assert.Equal(2 * ((2 * 40) - report.LeftOut.Count), train.Count + val.Count);
        Assert.Contains("same drawing as", Assert.Single(report.LeftOut), StringComparison.Ordinal);
        HashSet<string> trainFamilies = [.. Enumerable.Range(0, train.Count).Select(i => train.Get(i).Metadata!.Value.GetProperty("family").GetString()!)];
        Assert.NotEmpty(trainFamilies);
        for (int i = 0; i < val.Count; i++)
        {
            ImageTextSample sample = val.Get(i);
            Assert.DoesNotContain(sample.Metadata!.Value.GetProperty("family").GetString()!, trainFamilies);
            Assert.Equal((64, 64), (sample.Image.Width, sample.Image.Height));
        }

        byte[][] first = [.. report.Shards.Select(File.ReadAllBytes)];
        folder.Write("out/train-noto-000099.tar", "left over from a run with other options");
        folder.Write("out/train-noto-mine.tar", "somebody else's");
        EmojiShards.Build(folder.File("in"), folder.File("out"), new SkiaImageDecoder(), new EmojiOptions { ValidationShare = 0.4, SamplesPerShard = 7, SkinTones = true });
        Assert.False(File.Exists(folder.File("out/train-noto-000099.tar")));
        Assert.True(File.Exists(folder.File("out/train-noto-mine.tar")));
        Assert.Equal(first, report.Shards.Select(File.ReadAllBytes));
        Assert.Contains("CC-BY", File.ReadAllText(folder.File("out/ATTRIBUTION.txt")), StringComparison.Ordinal);
    }

    [Fact]
    public void SaysWhichPackageIsMissing()
    {
        using TemporaryFolder folder = new();
        DirectoryNotFoundException error = Assert.Throws<DirectoryNotFoundException>(() => EmojiShards.Build(folder.Path, folder.File("out"), new SkiaImageDecoder()));
        Assert.Contains("npm install", error.Message, StringComparison.Ordinal);
        MakePackages(folder, 2);
        folder.Write("in/emoji-datasource-google/emoji.json", "[{\"name\":3}]");
        Assert.Contains("[0]: the field 'name'", Assert.Throws<InvalidDataException>(() => EmojiShards.Build(folder.File("in"), folder.File("out"), new SkiaImageDecoder())).Message, StringComparison.Ordinal);
    }

    private static EmojiConcept Concept(string code)
    {
        return new EmojiConcept(code, "x.png", "X", "x", [], "People & Body", "person");
    }

    private static void MakePackages(TemporaryFolder folder, int count)
    {
        object[] entries = [.. Enumerable.Range(0, count).Select(i => new
        {
            name = $"THING {(char)('A' + (i % 26))}{i}",
            unified = $"{0x1F300 + i:X}",
            image = $"{0x1F300 + i:x}.png",
            short_names = new[] { $"thing{i}" },
            category = "Objects",
            subcategory = "tool",
            sort_order = i,
            skin_variations = new Dictionary<string, object> { ["1F3FD"] = new { unified = $"{0x1F300 + i:X}-1F3FD", image = $"{0x1F300 + i:x}-1f3fd.png" } },
        })];
        foreach ((string package, string vendor, byte blue) in new[] { ("emoji-datasource-google", "google", (byte)1), ("emoji-datasource-twitter", "twitter", (byte)2) })
        {
            folder.Write($"in/{package}/emoji.json", JsonSerializer.Serialize(entries));
            Directory.CreateDirectory(folder.File($"in/{package}/img/{vendor}/64"));
            for (int i = 0; i < count; i++)
            {
                for (int tone = 0; tone < 2; tone++)
                {
                    // The second emoji is drawn exactly like the first.
                    RgbImage image = new(64, 64);
                    image[1, 1] = ((byte)(i == 1 && tone == 0 ? 0 : i), (byte)tone, blue);
                    File.WriteAllBytes(folder.File($"in/{package}/img/{vendor}/64/{0x1F300 + i:x}{(tone == 1 ? "-1f3fd" : string.Empty)}.png"), PngWriter.Encode(image));
                }
            }
        }
    }
}
