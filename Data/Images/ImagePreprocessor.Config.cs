using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Tensors;

namespace MiniVlp.Data.Images;

public sealed partial class ImagePreprocessor
{
    private const string FileName = "preprocessor_config.json";
    private const string CombinedFileName = "processor_config.json";
    private const long FileLimit = 1 << 20;
    private const int MostPixelsPerSide = 16384;

    private static readonly JsonWriterOptions Indented = new() { Indented = true };

    /// <summary>
    /// Reads <c>preprocessor_config.json</c> of a Hugging Face folder (or the image part of <c>processor_config.json</c>, where newer
    /// versions put it). Fields that are absent take the defaults of the processor that the file names.
    /// </summary>
    /// <param name="directory">The model's folder.</param>
    /// <exception cref="FileNotFoundException">The folder has neither file.</exception>
    /// <exception cref="InvalidDataException">A field is wrong, or the processor is one that works differently; names file and field.</exception>
    public static ImagePreprocessor FromPretrained(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        string path = Path.Combine(directory, FileName);
        string combined = Path.Combine(directory, CombinedFileName);
        if (File.Exists(path) || !File.Exists(combined))
        {
            using JsonDocument document = InputFile.ParseJson(InputFile.ReadAllBytes(path, FileLimit), path);
            return Read(document.RootElement, path);
        }

        using JsonDocument parts = InputFile.ParseJson(InputFile.ReadAllBytes(combined, FileLimit), combined);
        return Read(InputFile.Field(parts.RootElement, "image_processor", JsonValueKind.Object, combined), combined);
    }

    /// <summary>Writes <c>preprocessor_config.json</c> into the folder, as transformers reads it.</summary>
    /// <param name="directory">The model's folder; made if it is not there.</param>
    public void Save(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        Directory.CreateDirectory(directory);
        AtomicFile.Write(Path.Combine(directory, FileName), stream =>
        {
            using Utf8JsonWriter writer = new(stream, Indented);
            writer.WriteStartObject();
            if (DoCenterCrop)
            {
                WriteSize(writer, "crop_size", ResizeTarget.Exact(CropSize.Width, CropSize.Height));
            }

            writer.WriteBoolean("do_center_crop", DoCenterCrop);
            writer.WriteBoolean("do_convert_rgb", true);
            writer.WriteBoolean("do_normalize", DoNormalize);
            writer.WriteBoolean("do_rescale", DoRescale);
            writer.WriteBoolean("do_resize", DoResize);
            WriteChannels(writer, "image_mean", Mean);
            writer.WriteString("image_processor_type", ProcessorType);
            WriteChannels(writer, "image_std", Std);
            writer.WriteNumber("resample", (int)Resample);
            writer.WriteNumber("rescale_factor", RescaleFactor);
            WriteSize(writer, "size", Size);
            writer.WriteEndObject();
        });
    }

    private static ImagePreprocessor Read(JsonElement json, string path)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw new InvalidDataException($"{path}: should be a json object, is {InputFile.Name(json.ValueKind)}.");
        }

        ConfigFields fields = new(json, path);
        ImagePreprocessor defaults = Defaults(fields);
        (int width, int height) = (defaults.CropSize.Width, defaults.CropSize.Height);
        if (fields.Find("crop_size") is { } crop)
        {
            ResizeTarget size = fields.Size(crop, "crop_size", keepAspect: false);
            (width, height) = size.Edge is null
                ? (size.Width, size.Height)
                : throw fields.Wrong("crop_size", "a whole number or {\"height\", \"width\"}", crop.GetRawText());
        }

        return new ImagePreprocessor
        {
            ProcessorType = defaults.ProcessorType,
            DoResize = fields.Boolean("do_resize", defaults.DoResize),
            Size = fields.Find("size") is { } target ? fields.Size(target, "size", defaults.Size.Edge is not null) : defaults.Size,
            Resample = fields.Filter("resample", defaults.Resample),
            DoCenterCrop = fields.Boolean("do_center_crop", defaults.DoCenterCrop),
            CropSize = (width, height),
            DoRescale = fields.Boolean("do_rescale", defaults.DoRescale),
            RescaleFactor = fields.Number("rescale_factor", defaults.RescaleFactor),
            DoNormalize = fields.Boolean("do_normalize", defaults.DoNormalize),
            Mean = fields.Channels("image_mean", defaults.Mean, mayBeZero: true),
            Std = fields.Channels("image_std", defaults.Std, mayBeZero: false),
        };
    }

    private static ImagePreprocessor Defaults(ConfigFields fields)
    {
        string field = fields.Find("image_processor_type") is null ? "feature_extractor_type" : "image_processor_type";
        string? type = fields.Text(field);
        if (type is null)
        {
            // Files from before the field existed: of the two kinds there were, only CLIP's cropped.
            return fields.Find("crop_size") is null ? Vit() : Clip();
        }

        // Older files say FeatureExtractor; Fast and Pil name other bodies of the same steps.
        string family = type;
        foreach (string suffix in (ReadOnlySpan<string>)["Fast", "Pil", "ImageProcessor", "FeatureExtractor"])
        {
            family = family.EndsWith(suffix, StringComparison.Ordinal) ? family[..^suffix.Length] : family;
        }

        return family switch
        {
            "CLIP" => Clip(),
            "ViT" => Vit(),
            "Blip" => Blip(),
            "Siglip" => Siglip(),
            _ => throw fields.Wrong(field, "CLIPImageProcessor, ViTImageProcessor, BlipImageProcessor or SiglipImageProcessor", $"\"{type}\""),
        };
    }

    private static void WriteSize(Utf8JsonWriter writer, string field, ResizeTarget size)
    {
        writer.WriteStartObject(field);
        if (size.Edge is { } edge)
        {
            writer.WriteNumber("shortest_edge", edge);
        }
        else
        {
            writer.WriteNumber("height", size.Height);
            writer.WriteNumber("width", size.Width);
        }

        writer.WriteEndObject();
    }

    private static void WriteChannels(Utf8JsonWriter writer, string field, IReadOnlyList<double> values)
    {
        writer.WriteStartArray(field);
        foreach (double value in values)
        {
            writer.WriteNumberValue(value);
        }

        writer.WriteEndArray();
    }

    /// <summary>The fields of one file; every complaint names the file, the field, what was expected and what is there.</summary>
    private readonly struct ConfigFields(JsonElement json, string path)
    {
        /// <summary>The field, or null where it is absent or null: both mean the processor's default.</summary>
        public JsonElement? Find(string field)
        {
            return json.TryGetProperty(field, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
        }

        public string? Text(string field)
        {
            if (Find(field) is not { } value)
            {
                return null;
            }

            return value.ValueKind == JsonValueKind.String
                ? value.GetString()!
                : throw Wrong(field, "a string", value.GetRawText());
        }

        public bool Boolean(string field, bool absent)
        {
            return Find(field) is not { } value ? absent : value.ValueKind switch
            {
                JsonValueKind.True => true,
                JsonValueKind.False => false,
                _ => throw Wrong(field, "true or false", value.GetRawText()),
            };
        }

        public double Number(string field, double absent)
        {
            return Find(field) is not { } value ? absent : Number(value, field);
        }

        public ResampleFilter Filter(string field, ResampleFilter absent)
        {
            if (Find(field) is not { } value)
            {
                return absent;
            }

            return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int code) && Enum.IsDefined((ResampleFilter)code)
                ? (ResampleFilter)code
                : throw Wrong(field, "0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic) or 4 (box)", value.GetRawText());
        }

        public IReadOnlyList<double> Channels(string field, IReadOnlyList<double> absent, bool mayBeZero)
        {
            if (Find(field) is not { } value)
            {
                return absent;
            }

            string expected = mayBeZero ? "3 numbers" : "3 numbers above zero";
            if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() != 3)
            {
                throw Wrong(field, expected, value.GetRawText());
            }

            double[] channels = [Number(value[0], field), Number(value[1], field), Number(value[2], field)];
            return mayBeZero || Array.TrueForAll(channels, c => c > 0) ? channels : throw Wrong(field, expected, value.GetRawText());
        }

        /// <summary>A size: {"shortest_edge"}, {"height", "width"}, or one number, which is the shorter side or the side of a square.</summary>
        public ResizeTarget Size(JsonElement value, string field, bool keepAspect)
        {
            if (value.ValueKind == JsonValueKind.Number)
            {
                int side = Side(value, field);
                return keepAspect ? ResizeTarget.ShortestEdge(side) : ResizeTarget.Exact(side, side);
            }

            if (value.ValueKind == JsonValueKind.Object)
            {
                JsonElement edge = default;
                bool hasEdge = value.TryGetProperty("shortest_edge", out edge);
                bool hasHeight = value.TryGetProperty("height", out JsonElement height);
                bool hasWidth = value.TryGetProperty("width", out JsonElement width);
                int count = value.EnumerateObject().Count();
                if (hasEdge && count == 1)
                {
                    return ResizeTarget.ShortestEdge(Side(edge, field + ".shortest_edge"));
                }

                if (hasHeight && hasWidth && count == 2)
                {
                    return ResizeTarget.Exact(Side(width, field + ".width"), Side(height, field + ".height"));
                }
            }

            throw Wrong(field, "a whole number, {\"shortest_edge\"} or {\"height\", \"width\"}", value.GetRawText());
        }

        public InvalidDataException Wrong(string field, string expected, string found)
        {
            const int most = 80;
            return new InvalidDataException(
                $"{path}: the field '{field}' should be {expected}, and is {(found.Length > most ? found[..most] + "..." : found)}.");
        }

        private double Number(JsonElement value, string field)
        {
            return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number)
                ? number
                : throw Wrong(field, "a number", value.GetRawText());
        }

        private int Side(JsonElement value, string field)
        {
            return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int side) && side is >= 1 and <= MostPixelsPerSide
                ? side
                : throw Wrong(field, $"a whole number from 1 to {MostPixelsPerSide}", value.GetRawText());
        }
    }
}
