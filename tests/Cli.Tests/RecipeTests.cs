using System.Text;
using MiniVlp.Cli.Training.Recipes;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>Every recipe trains a tiny model through the tool.</summary>
public sealed class RecipeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Names => [.. TrainingRecipes.All.Select(recipe => recipe.Name)];

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// Eight steps give the same bits as four, a checkpoint and four more: weights, moments, queues, momentum weights, and every part of every loss. The
    /// queue is a few batches long, so that it has gone round by then.
    /// </summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Resume_GivesTheSameBits(string recipe)
    {
        string whole = _folder["whole"], parts = _folder["parts"];
        string model = ModelFor(recipe);
        ToolRun.Of(Arguments(recipe, model, whole, "--steps", "8")).Succeeds();
        ToolRun.Of(Arguments(recipe, model, parts, "--steps", "8", "--stop-after", "4")).Succeeds();
        Assert.NotEqual(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")), File.ReadAllBytes(Path.Combine(parts, "model.safetensors")));
        Assert.Equal(8, ToolRun.Of("train", "--data", TrainedModel.Data, "--out", parts, "--threads", "1", "--resume", "--json").Succeeds().Json["steps"]!.GetValue<int>());
        string[] files = [.. Directory.EnumerateFiles(Path.Combine(whole, "checkpoint"), "*.safetensors").Select(file => $"checkpoint/{Path.GetFileName(file)}"), "model.safetensors"];
        Assert.Contains("checkpoint/optimizer-8.safetensors", files);
        foreach (string file in files) Assert.True(File.ReadAllBytes(Path.Combine(whole, file)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(parts, file))), $"{file} differs");
        Assert.Equal(Losses(whole), Losses(parts));
        if (TrainingRecipes.All.FirstOrDefault(known => known.Name != recipe) is { } other)
            ToolRun.Of("train", "--recipe", other.Name, "--data", TrainedModel.Data, "--out", parts, "--resume").Fails(ExitCode.Failure, $"started with {recipe}");
    }

    /// <summary>What a run writes can be trained further, and its log has a column for each part of the loss.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void AModelIsTrainedFurtherAndLogsItsParts(string recipe)
    {
        string first = _folder["first"], second = _folder["second"];
        ToolRun run = ToolRun.Of(Arguments(recipe, ModelFor(recipe), first, "--steps", "2")).Succeeds();
        string[] parts = [.. run.Json["parts"]!.AsObject().Select(part => part.Key)];
        Assert.NotEmpty(parts);
        Assert.Equal(parts, File.ReadLines(Path.Combine(first, "metrics.csv")).First().Split(',')[9..]);
        Assert.Empty(run.Json["warnings"]!.AsArray());
        Assert.Equal(recipe is "clip" or "albef" or "blip", File.ReadLines(Path.Combine(first, "metrics.csv")).Last().Split(',')[5] != "NaN");

        // MoCo reads the class token, and would leave a pooler as it began.
        if (recipe == "moco") Assert.DoesNotContain("pooler", Encoding.Latin1.GetString(File.ReadAllBytes(Path.Combine(first, "model.safetensors"))), StringComparison.Ordinal);
        ToolRun.Of("train", "--recipe", recipe, "--data", TrainedModel.Data, "--model", first, "--batch", "8", "--steps", "1", "--lr", "0", "--threads", "1", "--out", second).Succeeds();
        Assert.Equal(File.ReadAllText(Path.Combine(first, "config.json")), File.ReadAllText(Path.Combine(second, "config.json")));
    }

    /// <summary>An option that a recipe does not look at is refused instead of ignored.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Settings_ThatARecipeDoesNotReadAreRefused(string recipe)
    {
        RecipeUses uses = TrainingRecipes.Find(recipe).Uses;
        foreach ((RecipeUses use, string option, string value) in ((RecipeUses, string, string)[])
            [(RecipeUses.Queue, "--queue", "64"), (RecipeUses.Momentum, "--momentum", "0.5"), (RecipeUses.MaskRatio, "--mask-ratio", "0.5"), (RecipeUses.Distillation, "--alpha", "0.1")])
        {
            if (uses.HasFlag(use)) continue;
            ToolRun.Of("train", "--recipe", recipe, "--data", TrainedModel.Data, "--model", "tiny", "--out", _folder["refused"], option, value).Fails(ExitCode.Failure, option, recipe);
        }
    }

    [Fact]
    public void CaptionNoise_IsForScenesAndIsRemembered()
    {
        ToolRun.Of("train", "--data", _folder["none.tar"], "--caption-noise", "0.5", "--out", _folder["a"]).Fails(ExitCode.Failure, "--caption-noise", "scenes");
        string clean = _folder["clean"], noisy = _folder["noisy"];
        ToolRun.Of(TrainedModel.Arguments(clean, "--steps", "2")).Succeeds();
        ToolRun.Of(TrainedModel.Arguments(noisy, "--steps", "2", "--stop-after", "1", "--caption-noise", "0.9")).Succeeds();
        ToolRun.Of(TrainedModel.Arguments(noisy, "--resume")).Succeeds();
        Assert.NotEqual(Losses(clean), Losses(noisy));
        Assert.Contains("\"caption_noise\": 0.9", File.ReadAllText(Path.Combine(noisy, "checkpoint", "trainer.json")), StringComparison.Ordinal);
    }

    /// <summary>A size, or the folder of a model of one step where the recipe starts from a trained one.</summary>
    private string ModelFor(string recipe)
    {
        if (TrainingRecipes.Find(recipe).Presets.Count > 0) return "tiny";
        string folder = _folder["pretrained"];
        ToolRun.Of(Arguments(recipe.Split('-')[0], "tiny", folder, "--steps", "1")).Succeeds();
        return folder;
    }

    private static string[] Arguments(string recipe, string model, string folder, params string[] more)
    {
        List<string> arguments = ["train", "--recipe", recipe, "--data", TrainedModel.Data, "--model", model, "--batch", "8", "--threads", "1", "--seed", "3", "--json", "--out", folder];
        if (TrainingRecipes.Find(recipe).Uses.HasFlag(RecipeUses.Queue)) arguments.AddRange("--queue", "24");
        return [.. arguments, .. more];
    }

    /// <summary>The loss and its parts, digit by digit.</summary>
    private static string[] Losses(string folder)
        => [.. File.ReadLines(Path.Combine(folder, "metrics.csv")).Select(line => line.Split(',')).Select(fields => string.Join(',', [fields[2], .. fields[9..]]))];
}
