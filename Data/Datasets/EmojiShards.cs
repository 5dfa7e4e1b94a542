using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using MiniVlp.Data.Images;
using MiniVlp.Tensors;

namespace MiniVlp.Data.Datasets;

/// <summary>What <see cref="EmojiShards.Build"/> makes.</summary>
public sealed record EmojiOptions
{
    /// <summary>Share of the families, not of the pictures, that go into the validation shards, in (0, 1).</summary>
    public double ValidationShare { get; init; } = 0.165;

    /// <summary>Adds the five skin tones of people and hands, with the tone in the caption.</summary>
    public bool SkinTones { get; init; }

    /// <summary>Most samples in one shard.</summary>
    public int SamplesPerShard { get; init; } = 500;
}

/// <summary>What <see cref="EmojiShards.Build"/> made.</summary>
/// <param name="TrainSamples">Pictures in the training shards, both vendors together.</param>
/// <param name="ValidationSamples">Pictures in the validation shards.</param>
/// <param name="Shards">Paths of the shards.</param>
/// <param name="LeftOut">One line for each concept that was dropped because another has the same drawing or caption.</param>
public sealed record EmojiReport(int TrainSamples, int ValidationSamples, IReadOnlyList<string> Shards, IReadOnlyList<string> LeftOut);

/// <summary>
/// Turns the npm packages emoji-datasource-google (Noto Emoji, Apache-2.0) and emoji-datasource-twitter (Twemoji, CC-BY-4.0) into tar
/// shards <c>train-noto</c>, <c>train-twemoji</c>, <c>val-noto</c> and <c>val-twemoji</c>: 64x64 RGB on white with a caption made from the name.
/// The split is by family, so that no skin tone, gender or direction of a training picture is a validation picture.
/// </summary>
public static class EmojiShards
{
    private const int Side = 64;
    private const long JsonLimit = 64L << 20;

    private static readonly Vendor[] Vendors =
    [
        new("noto", "emoji-datasource-google", "google", "Apache-2.0"),
        new("twemoji", "emoji-datasource-twitter", "twitter", "CC-BY-4.0"),
    ];

    /// <summary>
    /// Reads the packages and writes the shards and an <c>ATTRIBUTION.txt</c>; the same packages give the same bytes. Shards of these names
    /// that an earlier run with other options left in the folder are removed: a validation picture of now may be in them.
    /// </summary>
    /// <param name="packages">Folder with both packages, or with the <c>node_modules</c> that npm put them into.</param>
    /// <param name="output">Folder for the shards; made when absent.</param>
    /// <param name="decoder">Decodes the PNG files.</param>
    /// <param name="options">Split, skin tones, shard size; null for the defaults.</param>
    /// <exception cref="DirectoryNotFoundException">A package is not there; the message says how to get it.</exception>
    /// <exception cref="InvalidDataException">A package is damaged; the message names file and field.</exception>
    public static EmojiReport Build(string packages, string output, IImageDecoder decoder, EmojiOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(packages);
        ArgumentException.ThrowIfNullOrEmpty(output);
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= new EmojiOptions();
        if (!(options.ValidationShare is > 0 and < 1))
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.ValidationShare, "The validation share must lie between 0 and 1.");
        }

        string[] folders = [.. Vendors.Select(vendor => Find(packages, vendor.Package))];
        List<string> leftOut = [];
        List<EmojiConcept> concepts = Distinct(EmojiConcept.Read(Path.Combine(folders[0], "emoji.json"), options.SkinTones, JsonLimit), folders, decoder, leftOut);
        Directory.CreateDirectory(output);
        int number = 0;
        List<string> shards = [];
        Dictionary<string, int> samples = [];
        foreach (string split in new[] { "train", "val" })
        {
            for (int vendor = 0; vendor < Vendors.Length; vendor++)
            {
                Vendor by = Vendors[vendor];
                using TarShardWriter writer = new(Path.Combine(output, $"{split}-{by.Name}"), options.SamplesPerShard);
                foreach (EmojiConcept concept in concepts
                    .Where(concept => concept.IsValidation(options.ValidationShare) == (split == "val"))
                    .OrderBy(concept => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(by.Name + concept.Code))), StringComparer.Ordinal))
                {
                    string key = number++.ToString("D6", CultureInfo.InvariantCulture);
                    RgbImage image = Picture(folders[vendor], by, concept, decoder);
                    writer.Write(key, PngWriter.Encode(image), concept.Caption, Metadata(concept, by, split));
                }

                writer.Complete();
                RemoveOlder(output, $"{split}-{by.Name}-", writer.Paths);
                shards.AddRange(writer.Paths);
                samples[split] = samples.GetValueOrDefault(split) + writer.Count;
            }
        }

        AtomicFile.WriteAllText(Path.Combine(output, "ATTRIBUTION.txt"), Attribution);
        return new EmojiReport(samples["train"], samples["val"], shards, leftOut);
    }

    private const string Attribution = """
        Noto Emoji, (c) Google, Apache License 2.0, from the npm package emoji-datasource-google.
        Twemoji, (c) Twitter, Inc and other contributors, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/), from the npm package
        emoji-datasource-twitter. Both packages: MIT, (c) Cal Henderson.
        Changes: transparency laid over white, saved as RGB; captions made from the names.

        """;

    private static string Find(string packages, string name)
    {
        string[] places = [Path.Combine(packages, name), Path.Combine(packages, "node_modules", name)];
        return places.FirstOrDefault(place => File.Exists(Path.Combine(place, "emoji.json")))
            ?? throw new DirectoryNotFoundException(
                $"{packages}: no package '{name}' with an emoji.json here or in node_modules. Get both with: npm install --prefix {packages} {string.Join(' ', Vendors.Select(vendor => vendor.Package))}");
    }

    /// <summary>
    /// The concepts that every vendor draws, less those that a picture cannot tell from an earlier one: same drawing or same caption.
    /// </summary>
    private static List<EmojiConcept> Distinct(List<EmojiConcept> concepts, string[] folders, IImageDecoder decoder, List<string> leftOut)
    {
        List<EmojiConcept> kept = [];
        Dictionary<string, string> seen = new(StringComparer.Ordinal);
        foreach (EmojiConcept concept in concepts)
        {
            if (!Vendors.Select((vendor, i) => File.Exists(PicturePath(folders[i], vendor, concept))).All(exists => exists))
            {
                continue;
            }

            List<string> marks = [concept.Caption];
            for (int i = 0; i < Vendors.Length; i++)
            {
                marks.Add(Vendors[i].Name + Convert.ToHexString(SHA256.HashData(Picture(folders[i], Vendors[i], concept, decoder).Pixels)));
            }

            if (marks.FirstOrDefault(seen.ContainsKey) is { } mark)
            {
                leftOut.Add($"{concept.Code} '{concept.Caption}': same {(mark == concept.Caption ? "caption" : "drawing")} as {seen[mark]}");
                continue;
            }

            marks.ForEach(m => seen.Add(m, $"{concept.Code} '{concept.Caption}'"));
            kept.Add(concept);
        }

        return kept.Count > 0 ? kept : throw new InvalidDataException($"{folders[0]}: no emoji has a picture in both packages.");
    }

    private static void RemoveOlder(string folder, string prefix, IReadOnlyList<string> written)
    {
        HashSet<string?> names = [.. written.Select(Path.GetFileName)];
        foreach (string path in Directory.EnumerateFiles(folder, prefix + "??????.tar"))
        {
            string name = Path.GetFileName(path);
            if (!names.Contains(name) && !name.AsSpan(prefix.Length, 6).ContainsAnyExceptInRange('0', '9'))
            {
                File.Delete(path);
            }
        }
    }

    private static string PicturePath(string folder, Vendor vendor, EmojiConcept concept)
    {
        return Path.Combine(folder, "img", vendor.Folder, Side.ToString(CultureInfo.InvariantCulture), concept.ImageFile);
    }

    private static RgbImage Picture(string folder, Vendor vendor, EmojiConcept concept, IImageDecoder decoder)
    {
        string path = PicturePath(folder, vendor, concept);
        RgbImage image = decoder.DecodeFile(path);
        return image.Width == Side && image.Height == Side
            ? image
            : throw new InvalidDataException($"{path}: should be {Side}x{Side} pixels, is {image.Width}x{image.Height}.");
    }

    private static JsonElement Metadata(EmojiConcept concept, Vendor vendor, string split)
    {
        return ImageFiles.Json(writer =>
        {
            writer.WriteString("unicode", concept.Code);
            writer.WriteString("caption", concept.Caption);
            writer.WriteString("name", concept.Name);
            writer.WriteStartArray("short_names");
            foreach (string name in concept.ShortNames)
            {
                writer.WriteStringValue(name);
            }

            writer.WriteEndArray();
            writer.WriteString("category", concept.Category);
            writer.WriteString("subcategory", concept.Subcategory);
            writer.WriteString("family", concept.Family);
            writer.WriteString("concept_split", split);
            writer.WriteString("vendor", vendor.Name);
            writer.WriteString("license", vendor.License);
        });
    }

    private sealed record Vendor(string Name, string Package, string Folder, string License);
}
