namespace MiniVlp.Models.Tests;

/// <summary>The reference models beside the test assembly.</summary>
internal static class Goldens
{
    public static readonly string[] Names =
    [
        "vit_model", "vit_image_classification", "bert_model", "bert_masked_lm", "bert_pretraining", "clip_model", "vision_text_dual_encoder", "siglip_model",
        "vit_mae_pretraining",
        "blip_captioning", "blip_vqa", "blip_retrieval",
        "vilt_masked_lm", "vilt_retrieval", "vilt_question_answering",
    ];

    public static string Folder(string name) => Path.Combine(AppContext.BaseDirectory, "Goldens", name);

    /// <summary>A copy of a reference model that a test may damage.</summary>
    public static TemporaryFolder Copy(string name)
    {
        TemporaryFolder copy = new();
        foreach (string file in Directory.EnumerateFiles(Folder(name))) File.Copy(file, copy.File(Path.GetFileName(file)));
        return copy;
    }
}

/// <summary>A folder that goes away with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("minivlp-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
