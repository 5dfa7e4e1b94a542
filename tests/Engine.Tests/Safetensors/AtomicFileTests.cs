using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

public sealed class AtomicFileTests
{
    [Fact]
    public void Commit_replaces_the_old_file_and_leaves_no_temporary()
    {
        using TemporaryDirectory directory = new();
        AtomicFile.WriteAllText(directory["a.json"], "old");
        AtomicFile.WriteAllText(directory["a.json"], "né");

        Assert.Equal("né"u8.ToArray(), File.ReadAllBytes(directory["a.json"]));
        Assert.Equal(["a.json"], directory.Names);
    }

    [Fact]
    public void The_new_content_is_invisible_until_commit()
    {
        using TemporaryDirectory directory = new();
        File.WriteAllText(directory["a"], "old");
        using AtomicFile file = new(directory["a"]);
        file.Stream.Write("new"u8);
        file.Stream.Flush();

        Assert.Equal("old", File.ReadAllText(directory["a"]));
        file.Commit();
        Assert.Equal("new", File.ReadAllText(directory["a"]));
        Assert.Throws<ObjectDisposedException>(file.Commit);
    }

    [Fact]
    public void An_exception_keeps_the_old_file_and_removes_the_temporary()
    {
        using TemporaryDirectory directory = new();
        File.WriteAllText(directory["a"], "old");

        Assert.Throws<NotSupportedException>(() => AtomicFile.Write(directory["a"], stream =>
        {
            stream.Write("half"u8);
            throw new NotSupportedException();
        }));

        Assert.Equal("old", File.ReadAllText(directory["a"]));
        Assert.Equal(["a"], directory.Names);
    }

    [Fact]
    public void A_directory_or_a_missing_parent_is_named()
    {
        using TemporaryDirectory directory = new();
        Assert.Contains("is a directory", Assert.Throws<IOException>(() => AtomicFile.WriteAllText(directory.Path, "")).Message, StringComparison.Ordinal);
        DirectoryNotFoundException missing = Assert.Throws<DirectoryNotFoundException>(() => AtomicFile.WriteAllText(directory["no/such"], ""));
        Assert.Contains(directory["no"], missing.Message, StringComparison.Ordinal);
        Assert.Empty(directory.Names);
    }

    [Fact]
    public void A_target_that_became_a_directory_fails_without_a_leftover()
    {
        using TemporaryDirectory directory = new();
        using AtomicFile file = new(directory["a"]);
        Directory.CreateDirectory(directory["a"]);

        Assert.ThrowsAny<SystemException>(file.Commit);
        Assert.Equal(["a"], directory.Names);
    }
}
