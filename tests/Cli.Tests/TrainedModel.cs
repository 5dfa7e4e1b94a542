namespace MiniVlp.Cli.Tests;

/// <summary>A model trained for a few steps through the tool, for all tests that need one.</summary>
public sealed class TrainedModel : IDisposable
{
    public const string Data = "scenes:train:96";

    private readonly TemporaryFolder _folder = new();

    public TrainedModel()
    {
        Folder = _folder["model"];
        ToolRun.Of(Arguments(Folder, "--steps", "6")).Succeeds();
    }

    /// <summary>The model folder; not to be changed.</summary>
    public string Folder { get; }

    /// <summary>The command that trained it, for another folder and length; what is resumed has its model.</summary>
    public static string[] Arguments(string folder, params string[] more)
        => ["train", "--data", Data, .. more.Contains("--resume") ? [] : (string[])["--model", "tiny"], "--batch", "16", "--threads", "1", "--seed", "3", "--json", "--out", folder, .. more];

    public void Dispose() => _folder.Dispose();
}
