using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Demo;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Reports;
using MiniVlp.Cli.Training;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp demo</c>: from nothing to a searchable model and a report, in under two minutes on two cores.</summary>
internal sealed class DemoCommand : ToolCommand
{
    private static readonly DemoOptions Defaults = new();

    private readonly Option<string> _output = new("--out") { Description = "Folder for the model and report.html; an old demo there is replaced.", HelpName = "DIR", DefaultValueFactory = _ => Path.Combine("runs", "demo") };
    private readonly Option<double> _minutes = OptionRules.Number("--minutes", "Time to train.", 0.01, 1e4, 1.3, "X");
    private readonly Option<int?> _steps = OptionRules.OptionalNumber("--steps", "Steps to train, whatever time they take.", 1, int.MaxValue);
    private readonly Option<int> _batch = OptionRules.Number("--batch", "Pairs per step.", 2, 1 << 16, Defaults.BatchSize);
    private readonly Option<float> _learningRate = OptionRules.Number("--lr", "Largest learning rate.", 0f, 10f, Defaults.LearningRate, "X");
    private readonly Option<int> _gallery = OptionRules.Number("--gallery", "Pictures to search.", 10, 10_000, Defaults.GalleryScenes);

    public DemoCommand(ToolHost host)
        : base("demo", "Train a small CLIP on built-in scenes, measure it, and write report.html.", host)
    {
        Option[] options = [_output, _minutes, _steps, _batch, _learningRate, _gallery];
        foreach (Option option in options) Add(option);
    }

    protected override int Run(ToolContext context)
    {
        string folder = context.Arguments.GetRequiredValue(_output);
        Prepare(folder);
        int? steps = context.Arguments.GetValue(_steps);
        DemoOptions options = Defaults with
        {
            Steps = steps,
            Minutes = steps is null ? context.Arguments.GetValue(_minutes) : null,
            BatchSize = context.Arguments.GetValue(_batch),
            LearningRate = context.Arguments.GetValue(_learningRate),
            GalleryScenes = context.Arguments.GetValue(_gallery),
            ZeroShotScenes = context.Arguments.GetValue(_gallery),
            Seed = context.Seed,
        };
        DemoRun demo = new(options, context.Device, folder);
        DemoResult? result = demo.Run(training => TrainingDisplay.Run(context.Console, "training a CLIP on scenes", training), context.Cancellation);
        if (result is null)
        {
            context.Error.WriteLine($"minivlp: stopped; {folder} holds the model as far as it was trained.");
            return ExitCode.Interrupted;
        }

        string report = Path.Combine(folder, "report.html");
        DemoReport.Save(report, result);
        Show(context, folder, report, result);
        return ExitCode.Success;
    }

    /// <summary>A demo is thrown away by the next one; anything else in the folder is not.</summary>
    private static void Prepare(string folder)
    {
        string mark = Path.Combine(folder, ".minivlp-demo");
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any() && !File.Exists(mark))
            throw new ToolException($"--out {folder}: the folder holds something else than a demo; name another.");
        Directory.CreateDirectory(folder);
        File.WriteAllText(mark, "The next 'minivlp demo' may overwrite this folder.\n");
        string events = Path.Combine(folder, "events");
        if (Directory.Exists(events)) Directory.Delete(events, recursive: true);
    }

    private static void Show(ToolContext context, string folder, string report, DemoResult result)
    {
        if (context.Json)
        {
            context.WriteJson(new JsonObject
            {
                ["model"] = folder,
                ["report"] = report,
                ["steps"] = result.Training.Steps,
                ["loss"] = result.Training.Loss,
                ["training_seconds"] = result.Training.Seconds,
                ["seconds"] = result.Elapsed.TotalSeconds,
                ["parameters"] = result.Parameters,
                ["retrieval"] = EvaluationOutput.ToJson(result.Retrieval),
                ["zero_shot"] = new JsonArray([.. result.ZeroShot.Select(task => (JsonNode?)EvaluationOutput.ToJson(task))]),
            });
            return;
        }

        EvaluationOutput.Print(context.Console, result.Retrieval);
        EvaluationOutput.Print(context.Console, result.ZeroShot);
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.Training.Steps} steps, loss {result.Training.Loss:0.000}; {result.Elapsed.TotalSeconds:0} s in all"));
        context.Output.WriteLine($"report: {report}");
        context.Output.WriteLine($"try:    minivlp embed --model {folder} --data scenes:test:2000 --out {Path.Combine(folder, "index.safetensors")}");
        context.Output.WriteLine($"        minivlp search --model {folder} --index {Path.Combine(folder, "index.safetensors")} \"a red circle\"");
    }
}
