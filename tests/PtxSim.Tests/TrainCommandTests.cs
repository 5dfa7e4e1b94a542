using System.Text.Json.Nodes;
using MiniVlp.Cli;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Training;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn.Training;
using MiniVlp.PtxSim.Driver;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary><c>minivlp train --device cuda</c> from the command line to the weights, on the stand-in driver.</summary>
public sealed class TrainCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("minivlp-").FullName;

    public TrainCommandTests()
    {
        SimulatedDevice.RequireDriver();
    }

    [Fact]
    public void A_training_by_graph_ends_with_the_weights_of_one_without()
    {
        SaveTinyModel(Path.Combine(_folder, "model"));
        long graphs = StandInDriver.GraphLaunchCount;
        byte[] expected = Train("eager");
        Assert.Equal(graphs, StandInDriver.GraphLaunchCount);
        Assert.Equal(expected, Train("graph", "--graph"));
        if (!StandInDriver.UsesRealDriver) Assert.Equal(graphs + 12 - (2 * LossGraph.WarmUpRuns), StandInDriver.GraphLaunchCount);
    }

    /// <summary>The next batch is fetched ahead on CUDA; a checkpoint must not skip it.</summary>
    [Fact]
    public void A_training_that_was_stopped_goes_on_with_the_batch_that_was_fetched_ahead()
    {
        SaveTinyModel(Path.Combine(_folder, "model"));
        byte[] expected = Train("whole");
        Train("parts", "--stop-after", "5");
        Assert.Equal(expected, Run("parts", "--resume"));
    }

    [Fact]
    public void A_training_does_not_depend_on_when_the_device_gets_to_its_work()
    {
        SaveTinyModel(Path.Combine(_folder, "model"));
        byte[] expected = Train("at-once");
        StandInDriver.IsLazy = true;
        try
        {
            Assert.Equal(expected, Train("late", "--graph"));
        }
        finally
        {
            StandInDriver.IsLazy = false;
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>Twelve steps with texts of two lengths, each of which begins with three steps that are not recorded; the weights afterwards.</summary>
    private byte[] Train(string name, params string[] more) => Run(name, ["--model", Path.Combine(_folder, "model"), "--lr", "1e-2", .. more]);

    private byte[] Run(string name, params string[] more)
    {
        string output = Path.Combine(_folder, name);
        using StringWriter text = new(), errors = new();
        int code = Tool.Run(
            ["train", "--device", "cuda", "--data", "scenes:train:16", "--batch", "4", "--steps", "12", "--seed", "3", "--json", "--out", output, .. more],
            text, errors, TestContext.Current.CancellationToken);
        Assert.True(code == 0, $"exit code {code}\n{text}\n{errors}");
        Assert.NotNull(JsonNode.Parse(text.ToString()));
        return File.ReadAllBytes(Path.Combine(output, "model.safetensors"));
    }

    private static void SaveTinyModel(string folder)
    {
        SceneDataset scenes = new(new SceneDatasetOptions { Count = 64, ImageSize = 16 });
        TextTokenizer tokenizer = NewModel.BuildTokenizer(scenes, 200);
        ClipTowerConfig tower = new() { Width = 16, Layers = 1, Heads = 2, HiddenWidth = 16 };
        ClipConfig sizes = new() { Vision = tower, Text = tower, ProjectionSize = 8, ImageSize = 16, PatchSize = 8, ContextLength = 12 };
        DualEncoderFolder parts = NewModel.Create(sizes, tokenizer, Device.Cpu, seed: 1);
        parts.Model.SavePretrained(folder);
        parts.Tokenizer.Save(folder);
        parts.Preprocessor.Save(folder);
        parts.Model.Dispose();
    }
}
