using System.Diagnostics;

namespace MiniVlp.Bench.Startup;

/// <summary>A way to publish the tool and the probe.</summary>
/// <param name="Name">For the table, and as a folder.</param>
/// <param name="Options">Of <c>dotnet publish</c>.</param>
internal sealed record Variant(string Name, params string[] Options)
{
    /// <summary>From what <c>dotnet build</c> gives to everything, the runtime included, in one compiled image.</summary>
    public static IReadOnlyList<Variant> All { get; } =
    [
        new("jit", "--no-self-contained", "-p:PublishReadyToRun=false"),
        new("r2r", "--no-self-contained", "-p:PublishReadyToRun=true"),
        new("r2r-avx2", "--no-self-contained", "-p:PublishReadyToRun=true", "-p:PublishReadyToRunCrossgen2ExtraArgs=--instruction-set:x86-64-v3"),
        new("r2r-composite", "--no-self-contained", "-p:PublishReadyToRun=true", "-p:PublishReadyToRunComposite=true"),
        new("self-contained-composite", "--self-contained", "-p:PublishReadyToRun=true", "-p:PublishReadyToRunComposite=true"),
    ];

    /// <summary>Publishes both programs; outputs and lock files of the solution stay as they are.</summary>
    /// <param name="root">Gets a folder for this variant.</param>
    /// <returns>The folder with the programs.</returns>
    public string Publish(string root)
    {
        string folder = Path.Combine(root, Name, "app"), build = Path.Combine(root, Name, "build");
        foreach (string project in (string[])["Cli", "bench/MiniVlp.Bench.Startup"])
        {
            using Process process = Process.Start("dotnet",
            [
                "publish", project, "-c", "Release", "--use-current-runtime", "--artifacts-path", build, "-o", folder, "-v", "quiet", "-nologo",
                $"-p:NuGetLockFilePath={build}/$(MSBuildProjectName).lock.json", "-p:ErrorOnDuplicatePublishOutputFiles=false", "-p:RunAnalyzers=false", .. Options,
            ]);
            process.WaitForExit();
            if (process.ExitCode != 0) throw new InvalidOperationException($"dotnet publish {project} for {Name} ended with {process.ExitCode}.");
        }

        return folder;
    }
}
