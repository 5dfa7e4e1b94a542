using Xunit;

namespace MiniVlp.Data.Tests;

/// <summary>Optional data beside the repository: a folder named "shared" next to some folder above the test binary.</summary>
internal static class SharedFolder
{
    /// <summary>The path of a file or folder under it; skips the test, naming what is absent.</summary>
    public static string Require(string relativePath)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string path = Path.Combine(folder.FullName, "shared", relativePath);
            if (Path.Exists(path))
            {
                return path;
            }
        }

        Assert.Skip($"shared/{relativePath} is absent.");
        return string.Empty;
    }
}
