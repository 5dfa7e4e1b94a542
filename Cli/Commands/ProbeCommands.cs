using System.CommandLine;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Scenes;
using MiniVlp.Models.Probes;

namespace MiniVlp.Cli.Commands;

/// <summary>What <c>minivlp eval linear-probe</c> and <c>knn</c> share: a model, pictures to learn from and others to measure on.</summary>
internal abstract class ProbeCommand : ToolCommand
{
    private const int SceneTrainCount = 4000, SceneTestCount = 1000;

    private readonly Option<string> _model = new("--model") { Description = "A model folder of any image encoder.", HelpName = "DIR", Required = true };
    private readonly Option<string[]> _data = DataArgument.CreateOption();
    private readonly Option<string[]> _test = new("--test-data") { Description = "Pictures to measure on, which nothing is chosen by; for scenes their test split when not given.", HelpName = "DATA", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _labelField = new("--label-field") { Description = "Field of the data that holds the label, such as 'label' of class folders; the caption when not given.", HelpName = "NAME" };
    private readonly Option<int> _batch = OptionRules.Number("--batch", "Pictures that go through the model at once.", 1, 1 << 16, 64);

    protected ProbeCommand(string name, string description, ToolHost host)
        : base(name, description, host)
    {
        Add(_model);
        Add(_data);
        Add(_test);
        Add(_labelField);
        Add(_batch);
    }

    /// <summary>One probe of one task.</summary>
    protected abstract ProbeResult Measure(ToolContext context, ProbeTask task);

    protected override int Run(ToolContext context)
    {
        using ImageEncoderFolder model = ImageEncoderFolder.Load(context.Arguments.GetRequiredValue(_model), context.Device, context.PackedWeights);
        foreach (string warning in model.Model.Warnings) context.Warn(warning);
        ProbeResult[] results = [.. Tasks(context, model).Select(task => Measure(context, task))];
        if (context.Json) context.WriteJson(new JsonArray([.. results.Select(result => (JsonNode?)result.ToJson())]));
        else ProbeResult.Print(context.Console, results);
        return ExitCode.Success;
    }

    private IReadOnlyList<ProbeTask> Tasks(ToolContext context, ImageEncoderFolder model)
    {
        string[] data = context.Arguments.GetRequiredValue(_data), test = context.Arguments.GetValue(_test) ?? [];
        int batch = context.Arguments.GetValue(_batch);
        if (data is [string spec] && DataArgument.IsScenes(spec))
        {
            if (test.Length > 0 && !(test.Length == 1 && DataArgument.IsScenes(test[0]))) throw new ToolException("--test-data: a probe of scenes is measured on scenes.");
            string world = spec.Split(':')[0], other = test.Length > 0 ? test[0] : world;
            SceneDatasetOptions fit = SceneOptionsOf(spec, SceneSplit.Train, SceneTrainCount), held = SceneOptionsOf(other, SceneSplit.Test, SceneTestCount);
            if (other.Split(':')[0] != world || fit.Split == held.Split) throw new ToolException("--test-data: a probe of scenes is measured on another split of the same world.");
            return ProbeTask.OfScenes(model, fit, held, batch, context.Cancellation);
        }

        if (test.Length == 0) throw new ToolException("--test-data: pictures to measure on are needed; a probe measured on what it was fitted to says nothing.");
        return [ProbeTask.OfPictures(model, DataArgument.Open(data), DataArgument.Open(test), context.Arguments.GetValue(_labelField), batch, context.Cancellation)];

        SceneDatasetOptions SceneOptionsOf(string argument, SceneSplit split, int count) => ((SceneDataset)DataArgument.Open([argument], model.ImageSize, split, count)).Options;
    }
}

/// <summary><c>minivlp eval linear-probe</c>.</summary>
internal sealed class LinearProbeCommand : ProbeCommand
{
    private readonly Option<int> _epochs = OptionRules.Number("--epochs", "Passes over the features.", 1, 100_000, new LinearProbeOptions().Epochs);

    public LinearProbeCommand(ToolHost host)
        : base("linear-probe", "Logistic regression on frozen features; on scenes, colour and shape of single objects.", host)
    {
        Add(_epochs);
    }

    protected override ProbeResult Measure(ToolContext context, ProbeTask task)
        => ProbeResult.OfLinear(task, new LinearProbeOptions { Epochs = context.Arguments.GetValue(_epochs), Seed = context.Seed }, context.Cancellation);
}

/// <summary><c>minivlp eval knn</c>.</summary>
internal sealed class NearestNeighborCommand : ProbeCommand
{
    private readonly Option<int> _neighbors = OptionRules.Number("--neighbors", "Neighbours that vote.", 1, 1 << 20, new NearestNeighborOptions().Neighbors);
    private readonly Option<double> _temperature = OptionRules.Number("--temperature", "A neighbour of cosine s has the weight exp(s / temperature).", 1e-4, 1e4, new NearestNeighborOptions().Temperature, "T");

    public NearestNeighborCommand(ToolHost host)
        : base("knn", "The k nearest labelled pictures vote; on scenes, colour and shape of single objects.", host)
    {
        Add(_neighbors);
        Add(_temperature);
    }

    protected override ProbeResult Measure(ToolContext context, ProbeTask task) => ProbeResult.OfNeighbors(
        task, new NearestNeighborOptions { Neighbors = context.Arguments.GetValue(_neighbors), Temperature = context.Arguments.GetValue(_temperature) });
}
