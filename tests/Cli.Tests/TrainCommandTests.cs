using System.Globalization;
using System.Text.Json.Nodes;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed class TrainCommandTests(TrainedModel trained) : IClassFixture<TrainedModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Folder_HoldsModelAndLogs()
    {
        foreach (string file in (string[])["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt", "preprocessor_config.json", "metrics.csv", "loss.png", "checkpoint/trainer.json"])
            Assert.True(File.Exists(Path.Combine(trained.Folder, file)), file);
        Assert.Single(Directory.GetFiles(Path.Combine(trained.Folder, "events"), "*tfevents*"));
        Assert.Empty(Directory.EnumerateFiles(trained.Folder, "*.tmp", SearchOption.AllDirectories));
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], File.ReadAllBytes(Path.Combine(trained.Folder, "loss.png"))[..4]);

        string[] rows = File.ReadAllLines(Path.Combine(trained.Folder, "metrics.csv"));
        Assert.Equal(7, rows.Length);
        Assert.Equal("step,epoch,loss,learning_rate,gradient_norm,temperature,samples_per_second,data_wait_share,seconds,itc", rows[0]);
        string[] fields = rows[1].Split(',');
        Assert.Equal(fields[2], fields[9]);
        Assert.InRange(double.Parse(fields[5], CultureInfo.InvariantCulture), 0.06, 0.08);
        double first = double.Parse(rows[1].Split(',')[2], CultureInfo.InvariantCulture);
        Assert.InRange(first, 0.5 * Math.Log(16), 2 * Math.Log(16));
    }

    [Fact]
    public void Resume_GivesTheSameWeights()
    {
        string folder = _folder["model"];
        ToolRun first = ToolRun.Of(TrainedModel.Arguments(folder, "--steps", "6", "--stop-after", "2")).Succeeds();
        Assert.False(first.Json["complete"]!.GetValue<bool>());
        ToolRun second = ToolRun.Of(TrainedModel.Arguments(folder, "--resume")).Succeeds();
        Assert.True(second.Json["complete"]!.GetValue<bool>());
        Assert.Equal(6, second.Json["steps"]!.GetValue<int>());
        Assert.Equal(File.ReadAllBytes(Path.Combine(trained.Folder, "model.safetensors")), File.ReadAllBytes(Path.Combine(folder, "model.safetensors")));
        Assert.Equal(LossColumn(trained.Folder), LossColumn(folder));
        Assert.Equal(2, Directory.GetFiles(Path.Combine(folder, "events")).Length);
    }

    [Fact]
    public void MicroBatches_GiveTheSameLosses()
    {
        ToolRun.Of(TrainedModel.Arguments(_folder["pieces"], "--steps", "6", "--micro-batch", "6")).Succeeds();
        double[] whole = Losses(trained.Folder), pieces = Losses(_folder["pieces"]);
        for (int i = 0; i < whole.Length; i++) Assert.Equal(whole[i], pieces[i], 1e-3);

        static double[] Losses(string folder) => [.. LossColumn(folder).Skip(1).Select(loss => double.Parse(loss, CultureInfo.InvariantCulture))];
    }

    [Fact]
    public void Graph_WhereThereIsNone_SaysWhy()
    {
        ToolRun.Of(TrainedModel.Arguments(_folder["graph"], "--steps", "1", "--graph", "--device", "cpu")).Fails(ExitCode.Failure, "--graph", "CUDA", "cpu");
        ToolRun.Of(TrainedModel.Arguments(_folder["graph"], "--steps", "1", "--graph", "--micro-batch", "6")).Fails(ExitCode.Failure, "--graph", "--micro-batch");
        ToolRun.Of(TrainedModel.Arguments(_folder["graph"], "--steps", "1", "--graph", "--recipe", "moco")).Fails(ExitCode.Failure, "--graph", "moco");
        Assert.False(File.Exists(Path.Combine(_folder["graph"], "config.json")));
    }

    [Fact]
    public void Resume_TakesTheOptionsOfTheStart()
    {
        string whole = _folder["whole"], parts = _folder["parts"];
        string[] options = ["--lr", "3e-4", "--weight-decay", "0.3", "--warmup", "0.5", "--steps", "4"];
        ToolRun.Of(TrainedModel.Arguments(whole, options)).Succeeds();
        ToolRun.Of(TrainedModel.Arguments(parts, [.. options, "--stop-after", "2"])).Succeeds();
        ToolRun.Of("train", "--data", TrainedModel.Data, "--out", parts, "--threads", "1", "--resume").Succeeds();
        Assert.Equal(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")), File.ReadAllBytes(Path.Combine(parts, "model.safetensors")));
    }

    [Fact]
    public void Resume_NeedsACheckpointAndALength()
    {
        Directory.CreateDirectory(_folder["empty"]);
        ToolRun.Of(TrainedModel.Arguments(_folder["empty"], "--resume")).Fails(ExitCode.Failure, "trainer.json", "no checkpoint");
        string folder = _folder["model"];
        ToolRun.Of(TrainedModel.Arguments(folder, "--minutes", "5", "--stop-after", "1")).Succeeds();
        ToolRun.Of(TrainedModel.Arguments(folder, "--resume")).Fails(ExitCode.Failure, "--minutes");
        ToolRun.Of(TrainedModel.Arguments(folder, "--resume", "--steps", "2")).Succeeds();
        Assert.True(ToolRun.Of(TrainedModel.Arguments(folder, "--resume", "--minutes", "0.02")).Succeeds().Json["steps"]!.GetValue<int>() > 2);
    }

    [Fact]
    public void Interrupt_SavesAndReturns130()
    {
        string folder = _folder["model"];
        using CancellationTokenSource interrupt = new();
        interrupt.Cancel();
        ToolRun run = ToolRun.Of(interrupt.Token, TrainedModel.Arguments(folder, "--steps", "1000"));
        Assert.True(run.ExitCode == ExitCode.Interrupted, run.Error);
        Assert.True(File.Exists(Path.Combine(folder, "checkpoint", "trainer.json")));
        ToolRun.Of(TrainedModel.Arguments(folder, "--resume", "--stop-after", "1")).Succeeds();
    }

    [Fact]
    public void Minutes_DecideTheNumberOfSteps()
    {
        JsonNode json = ToolRun.Of(TrainedModel.Arguments(_folder["model"], "--minutes", "0.03")).Succeeds().Json;
        Assert.True(json["complete"]!.GetValue<bool>());
        Assert.InRange(json["steps"]!.GetValue<int>(), 1, 100_000);
    }

    [Fact]
    public void Mistakes_AreNamed()
    {
        ToolRun.Of(TrainedModel.Arguments(trained.Folder)).Fails(ExitCode.Failure, "--resume");
        ToolRun.Of("train", "--data", TrainedModel.Data, "--out", trained.Folder, "--batch", "8", "--seed", "3", "--resume").Fails(ExitCode.Failure, "batch_size 16", "8");
        ToolRun.Of("train", "--data", "scenes:test:96", "--out", trained.Folder, "--batch", "16", "--seed", "3", "--resume").Fails(ExitCode.Failure, "other data of as many samples");
        foreach ((string option, string value) in ((string, string)[])[("--model", "tiny"), ("--tokenizer", trained.Folder), ("--vocabulary", "100")])
            ToolRun.Of("train", "--data", TrainedModel.Data, "--out", trained.Folder, "--resume", option, value).Fails(ExitCode.Failure, option, "--resume goes on");
        ToolRun.Of("train", "--recipe", "moco", "--data", TrainedModel.Data, "--out", _folder["a"], "--no-augmentation").Fails(ExitCode.Failure, "--no-augmentation", "moco");
        ToolRun.Of("train", "--data", TrainedModel.Data, "--out", _folder["a"], "--tokenizer", trained.Folder, "--vocabulary", "100").Fails(ExitCode.Failure, "--vocabulary");
        Directory.CreateDirectory(_folder["foreign"]);
        File.WriteAllText(Path.Combine(_folder["foreign"], "config.json"), "{}");
        ToolRun.Of(TrainedModel.Arguments(_folder["foreign"])).Fails(ExitCode.Failure, "overwrite");
        ToolRun.Of("train", "--data", "scenes:train:4", "--model", "tiny", "--batch", "8", "--out", _folder["a"]).Fails(ExitCode.Failure, "--batch 8", "4 samples");
    }

    [Fact]
    public void Model_IsTrainedFurther()
    {
        ToolRun.Of("train", "--data", TrainedModel.Data, "--model", trained.Folder, "--batch", "16", "--steps", "1", "--lr", "0", "--out", _folder["further"], "--json").Succeeds();
        Assert.Equal(File.ReadAllText(Path.Combine(trained.Folder, "vocab.txt")), File.ReadAllText(Path.Combine(_folder["further"], "vocab.txt")));
        Assert.Equal(File.ReadAllBytes(Path.Combine(trained.Folder, "model.safetensors")), File.ReadAllBytes(Path.Combine(_folder["further"], "model.safetensors")));
    }

    private static string[] LossColumn(string folder) => [.. File.ReadLines(Path.Combine(folder, "metrics.csv")).Select(line => line.Split(',')[2])];
}
