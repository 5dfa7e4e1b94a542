using System.Runtime.InteropServices;
using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Tests.Images;

/// <summary>Pictures in and out as Pillow and transformers made them: Goldens/Images/images.json and images.safetensors.</summary>
internal static class ImageGoldens
{
    private static readonly string Folder = Path.Combine(RepositoryRoot(), "tests", "Data.Tests", "Goldens", "Images");
    private static readonly byte[] File = System.IO.File.ReadAllBytes(Path.Combine(Folder, "images.safetensors"));
    private static readonly int HeaderLength = (int)BitConverter.ToInt64(File, 0);
    private static readonly JsonElement Header = JsonDocument.Parse(File.AsMemory(8, HeaderLength)).RootElement;

    public static IReadOnlyList<JsonElement> Cases { get; } = [.. JsonDocument
        .Parse(System.IO.File.ReadAllText(Path.Combine(Folder, "images.json"))).RootElement.GetProperty("cases").EnumerateArray()];

    public static JsonElement Case(string name)
    {
        return Cases.Single(c => c.GetProperty("case").GetString() == name);
    }

    public static IEnumerable<string> Names(params string[] ops)
    {
        return Cases.Where(c => ops.Contains(c.GetProperty("op").GetString())).Select(c => c.GetProperty("case").GetString()!);
    }

    public static (int[] Shape, byte[] Bytes) Tensor(JsonElement golden, string role, string name)
    {
        JsonElement tensor = Header.GetProperty(golden.GetProperty(role).GetProperty(name).GetString()!);
        int[] shape = [.. tensor.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32())];
        int start = tensor.GetProperty("data_offsets")[0].GetInt32();
        int end = tensor.GetProperty("data_offsets")[1].GetInt32();
        return (shape, File[(8 + HeaderLength + start)..(8 + HeaderLength + end)]);
    }

    public static RgbImage Image(JsonElement golden, string role, string name = "image")
    {
        (int[] shape, byte[] bytes) = Tensor(golden, role, name);
        return new RgbImage(shape[1], shape[0], bytes);
    }

    public static float[] Floats(JsonElement golden, string role, string name)
    {
        return MemoryMarshal.Cast<byte, float>(Tensor(golden, role, name).Bytes).ToArray();
    }

    public static string RepositoryRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !System.IO.File.Exists(Path.Combine(folder, "MiniVlp.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new DirectoryNotFoundException($"No MiniVlp.sln above {AppContext.BaseDirectory}.");
    }
}
