using System.Text.Json.Nodes;
using MiniVlp.Data.Metrics;
using MiniVlp.Models.Probes;
using Spectre.Console;

namespace MiniVlp.Cli.Evaluation;

/// <summary>What a probe of features gave.</summary>
/// <param name="Probe">linear or knn.</param>
/// <param name="Task">What was classified.</param>
/// <param name="Accuracy">Share of the test pictures whose class was found.</param>
/// <param name="Linear">How the linear probe was chosen; null for the other.</param>
public sealed record ProbeResult(string Probe, ProbeTask Task, double Accuracy, LinearProbe? Linear)
{
    /// <summary>95 % bootstrap interval of the accuracy over the test pictures.</summary>
    public ConfidenceInterval Interval => EvaluationOutput.IntervalOf(Accuracy, Task.TestLabels.Count);

    /// <summary>Fits a linear probe and measures it.</summary>
    public static ProbeResult OfLinear(ProbeTask task, LinearProbeOptions options, CancellationToken cancellation = default)
    {
        using LinearProbe probe = LinearProbe.Fit(task.Train, task.TrainLabels, task.ClassNames.Count, options, cancellation);
        return new ProbeResult("linear", task, probe.Accuracy(task.Test, task.TestLabels), probe);
    }

    /// <summary>Lets nearest neighbours vote.</summary>
    public static ProbeResult OfNeighbors(ProbeTask task, NearestNeighborOptions options)
    {
        using NearestNeighborProbe probe = new(task.Train, task.TrainLabels, task.ClassNames.Count, options);
        return new ProbeResult("knn", task, probe.Accuracy(task.Test, task.TestLabels), null);
    }

    public JsonObject ToJson()
    {
        JsonObject json = new()
        {
            ["probe"] = Probe,
            ["task"] = Task.Name,
            ["accuracy"] = Accuracy,
            ["accuracy_interval"] = EvaluationOutput.ToJson(Interval),
            ["majority"] = Task.MajorityAccuracy,
            ["chance"] = 1.0 / Task.ClassNames.Count,
            ["classes"] = new JsonArray([.. Task.ClassNames.Select(name => (JsonNode?)JsonValue.Create(name))]),
            ["train_pictures"] = Task.TrainLabels.Count,
            ["test_pictures"] = Task.TestLabels.Count,
        };
        if (Linear?.Chosen is not { } chosen) return json;
        json["weight_decay"] = chosen.WeightDecay;
        json["validation_accuracy"] = chosen.ValidationAccuracy;
        json["candidates"] = new JsonArray([.. Linear.Candidates.Select(candidate => (JsonNode?)new JsonObject
        {
            ["weight_decay"] = candidate.WeightDecay,
            ["train_accuracy"] = candidate.TrainAccuracy,
            ["validation_accuracy"] = candidate.ValidationAccuracy,
            ["validation_loss"] = JsonNumber.Of(candidate.ValidationLoss),
        })]);
        return json;
    }

    /// <summary>A table of several.</summary>
    public static void Print(IAnsiConsole console, IReadOnlyList<ProbeResult> results)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn($"{results[0].Probe} probe");
        foreach (string name in (string[])["accuracy", "95 % interval", "majority", "chance", "classes", "train", "test"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach (ProbeResult result in results)
        {
            table.AddRow(
                Markup.Escape(result.Task.Name),
                EvaluationOutput.Percent(result.Accuracy),
                EvaluationOutput.Show(result.Interval),
                EvaluationOutput.Percent(result.Task.MajorityAccuracy),
                EvaluationOutput.Percent(1.0 / result.Task.ClassNames.Count),
                Count(result.Task.ClassNames.Count),
                Count(result.Task.TrainLabels.Count),
                Count(result.Task.TestLabels.Count));
        }

        console.Write(table);
    }

    private static string Count(int value) => value.ToString("N0", System.Globalization.CultureInfo.InvariantCulture);
}
