using System.Collections.Concurrent;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Files of compiled kernels.</summary>
public sealed class KernelCacheTests : IDisposable
{
    private static readonly GpuKernelInfo Kernel = GpuKernelInfo.Of<GpuBackend.UnaryKernel<Relu>>();
    private readonly string _folder = Path.Combine(Directory.CreateTempSubdirectory("minivlp-cache-").FullName, "kernels");

    public void Dispose() => Directory.Delete(Path.GetDirectoryName(_folder)!, recursive: true);

    [Fact]
    public void SecondProcess_CompilesNothing()
    {
        using KernelCache first = new(PtxTarget.Sm80, _folder), second = new(PtxTarget.Sm80, _folder);
        PtxKernel compiled = first.Get(Kernel);
        Assert.Equal(1, first.CompiledCount);
        Assert.Equal(compiled, second.Get(Kernel));
        Assert.Equal(0, second.CompiledCount);
        Assert.Single(Directory.GetFiles(_folder));
    }

    [Theory]
    [InlineData("")]
    [InlineData("// minivlp-ptx-1 0000\n.version 7.8\n")]
    [InlineData("cut")]
    [InlineData("changed")]
    public void DamagedFile_IsCompiledAndWrittenAnew(string damage)
    {
        using KernelCache first = new(PtxTarget.Sm80, _folder), second = new(PtxTarget.Sm80, _folder), third = new(PtxTarget.Sm80, _folder);
        PtxKernel compiled = first.Get(Kernel);
        string path = first.PathOf(Kernel), good = File.ReadAllText(path);
        File.WriteAllText(path, damage switch { "cut" => good[..^10], "changed" => good.Replace("ld.global", "ld.shared", StringComparison.Ordinal), _ => damage });
        Assert.Equal(compiled, second.Get(Kernel));
        Assert.Equal(1, second.CompiledCount);
        Assert.Equal(good, File.ReadAllText(path));
        Assert.Equal(compiled, third.Get(Kernel));
        Assert.Equal(0, third.CompiledCount);
    }

    [Fact]
    public void Fill_LeavesNothingToCompile()
    {
        GpuKernelInfo[] kernels = [Kernel, GpuKernelInfo.Of<GpuBackend.UnaryKernel<Gelu>>(), GpuKernelInfo.Of<GpuBackend.UnaryKernel<Tanh>>()];
        using KernelCache first = new(PtxTarget.Sm90a, _folder), second = new(PtxTarget.Sm90a, _folder), none = new(PtxTarget.Sm90a, null);
        ConcurrentBag<string> told = [];
        first.Fill(kernels, told.Add, TestContext.Current.CancellationToken);
        Assert.Equal(kernels.Select(kernel => kernel.Name).Order(StringComparer.Ordinal), told.Order(StringComparer.Ordinal));
        Assert.Equal(kernels.Select(first.PathOf).Order(StringComparer.Ordinal), Directory.GetFiles(_folder).Order(StringComparer.Ordinal));
        foreach (GpuKernelInfo kernel in kernels) Assert.Equal(none.Get(kernel), second.Get(kernel));
        Assert.Equal(0, second.CompiledCount);
    }

    [Fact]
    public void Fill_WritesOnlyWhatIsMissingOrDamaged()
    {
        GpuKernelInfo[] kernels = [Kernel, GpuKernelInfo.Of<GpuBackend.UnaryKernel<Gelu>>(), GpuKernelInfo.Of<GpuBackend.UnaryKernel<Tanh>>()];
        using KernelCache cache = new(PtxTarget.Sm80, _folder);
        cache.Fill(kernels, null, TestContext.Current.CancellationToken);
        string[] paths = [.. kernels.Select(cache.PathOf)], good = [.. paths.Select(File.ReadAllText)];
        File.WriteAllText(paths[0], good[0][..^10]);
        File.Delete(paths[1]);
        DateTime old = new(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        File.SetLastWriteTimeUtc(paths[0], old);
        File.SetLastWriteTimeUtc(paths[2], old);
        cache.Fill(kernels, null, TestContext.Current.CancellationToken);
        Assert.Equal(good, paths.Select(File.ReadAllText));
        Assert.NotEqual(old, File.GetLastWriteTimeUtc(paths[0]));
        Assert.Equal(old, File.GetLastWriteTimeUtc(paths[2]));
    }

    [Fact]
    public void Fill_Stops()
    {
        using KernelCache cache = new(PtxTarget.Sm80, _folder);
        using CancellationTokenSource stop = new();
        Assert.Throws<OperationCanceledException>(() => cache.Fill([.. Enumerable.Repeat(Kernel, 200)], _ => stop.Cancel(), stop.Token));
        Assert.Equal([cache.PathOf(Kernel)], Directory.GetFiles(_folder));
    }

    [Fact]
    public void FilesDifferByKernelAndTarget()
    {
        using KernelCache ampere = new(PtxTarget.Sm80, _folder), newer = new(PtxTarget.Sm80 with { PtxVersion = new Version(8, 4) }, _folder);
        string[] paths = [ampere.PathOf(Kernel), newer.PathOf(Kernel), ampere.PathOf(GpuKernelInfo.Of<GpuBackend.UnaryKernel<Gelu>>()), ampere.PathOf(GpuKernelInfo.Of<GpuBackend.UnaryKernel<OwnOperation>>())];
        Assert.Equal(paths.Length, paths.Distinct(StringComparer.Ordinal).Count());
        Assert.Equal(ampere.PathOf(Kernel), ampere.PathOf(Kernel));
    }

    [Fact]
    public void FolderThatCannotBeWritten_IsNoError()
    {
        Directory.CreateDirectory(_folder);
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "not a folder");
        using KernelCache cache = new(PtxTarget.Sm80, file), none = new(PtxTarget.Sm80, null);
        Assert.Equal(cache.Get(Kernel), none.Get(Kernel));
        Assert.Equal("not a folder", File.ReadAllText(file));
    }

    [Fact]
    public void Folder_FollowsTheEnvironment()
    {
        string? chosen = Environment.GetEnvironmentVariable(KernelCache.Variable), cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        try
        {
            Environment.SetEnvironmentVariable(KernelCache.Variable, "off");
            Assert.Null(KernelCache.DefaultFolder());
            Environment.SetEnvironmentVariable(KernelCache.Variable, _folder);
            Assert.Equal(_folder, KernelCache.DefaultFolder());
            Environment.SetEnvironmentVariable(KernelCache.Variable, null);
            Environment.SetEnvironmentVariable("XDG_CACHE_HOME", _folder);
            Assert.Equal(Path.Combine(_folder, "minivlp", "kernels"), KernelCache.DefaultFolder());
        }
        finally
        {
            Environment.SetEnvironmentVariable(KernelCache.Variable, chosen);
            Environment.SetEnvironmentVariable("XDG_CACHE_HOME", cache);
        }
    }

    internal readonly struct OwnOperation : IUnaryOp
    {
        public static float Forward(float x) => 2 * x;

        public static float Derivative(float x, float y) => 2;
    }
}
