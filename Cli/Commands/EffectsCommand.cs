using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Effects;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp effects</c>: whether published effects show up in small trainings.</summary>
internal sealed class EffectsCommand : ToolCommand
{
    private const int SceneTrainCount = 8192, SceneValidationCount = 256;

    private readonly Option<string[]> _only = new("--only") { Description = $"Some experiments: {string.Join(", ", EffectCatalogue.Experiments.Select(experiment => experiment.Id))}.", HelpName = "ID", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _seeds = OptionRules.Number("--seeds", "Number of seeds, from 1 on.", 1, 100, 3);
    private readonly Option<string> _rows = new("--rows") { Description = "File of finished runs: they are not done again.", HelpName = "FILE", DefaultValueFactory = _ => "effects.jsonl" };
    private readonly Option<string?> _report = new("--report") { Description = "Folder for effects.md and its pictures.", HelpName = "DIR" };
    private readonly Option<string?> _name = new("--name") { Description = "Name of the data of --train in tables.", HelpName = "NAME" };
    private readonly Option<string[]> _train = new("--train") { Description = "Pictures with captions to train on, in place of scenes.", HelpName = "DATA", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string[]> _validation = new("--validation") { Description = "Pictures with captions to measure on.", HelpName = "DATA", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _label = new("--label") { Description = "Field of the metadata that holds the class of a picture of --train.", HelpName = "FIELD" };
    private readonly Option<bool> _short = new("--short") { Description = "Seconds for each run: the direction at best, no figures to quote." };
    private readonly Option<bool> _pilot = new("--pilot") { Description = "Seed 0 alone, which is no part of the tables: to choose sizes and rates by." };
    private readonly Option<bool> _noRuns = new("--no-runs") { Description = "Only judge the runs that there are." };

    public EffectsCommand(ToolHost host)
        : base("effects", "Train small models under paired conditions and judge published effects; stopped runs are taken up again.", host)
    {
        foreach (Option option in (Option[])[_only, _seeds, _rows, _report, _name, _train, _validation, _label, _short, _pilot, _noRuns]) Add(option);
        Validators.Add(result =>
        {
            foreach (Option<bool> option in new[] { _short, _pilot }) if (result.GetResult(_report) is not null && result.GetValue(option)) result.AddError($"{option.Name} gives no figures for --report.");
            if (result.GetResult(_train) is null && (result.GetResult(_name) ?? result.GetResult(_label)) is not null) result.AddError("--name and --label are of --train.");
            if (result.GetResult(_train) is null != result.GetResult(_validation) is null) result.AddError("--train and --validation come together.");
        });
    }

    protected override int Run(ToolContext context)
    {
        ParseResult arguments = context.Arguments;
        Experiment[] experiments = Choose(arguments.GetValue(_only));
        int[] seeds = arguments.GetValue(_pilot) ? [0] : [.. Enumerable.Range(1, arguments.GetValue(_seeds))];
        EffectScale scale = arguments.GetValue(_short) ? EffectScale.Short : EffectScale.Full;
        EffectRows rows = EffectRows.Open(arguments.GetValue(_rows)!);
        if (!arguments.GetValue(_noRuns))
        {
            EffectData data = Open(arguments);
            foreach (Experiment experiment in experiments.Where(experiment => !experiment.Accepts(data))) context.Warn($"{experiment.Id} is left out: it measures by the classes of pictures; --label names their field.");
            EffectSuite.Run(experiments, data, seeds, scale, rows, context.Device, new Lines(context), context.Cancellation);
        }

        // The page has all that there is, whatever was run now.
        (string Data, EffectResult Result)[] results =
        [
            .. from effect in EffectCatalogue.Effects
               where experiments.Contains(effect.Experiment) || arguments.GetValue(_report) is not null
               from data in rows.Rows.Where(row => row.IsOf(effect.Experiment, row.Data, scale) && row.Measures.ContainsKey(Effect.On(effect.Measure, row.Data))).Select(row => row.Data).Distinct(StringComparer.Ordinal)
               select (data, EffectResult.Judge(effect, rows.Rows.Where(row => row.IsOf(effect.Experiment, data, scale)), seeds)),
        ];
        if (arguments.GetValue(_report) is { } folder) EffectPage.Write(folder, EffectCatalogue.Experiments, rows.Rows, results, scale);
        if (context.Json) context.WriteJson(ToJson(rows, results));
        else context.Output.Write(EffectReport.Table(results));
        return ExitCode.Success;
    }

    private static Experiment[] Choose(string[]? ids)
    {
        if (ids is not { Length: > 0 }) return [.. EffectCatalogue.Experiments];
        return [.. ids.Select(id => EffectCatalogue.Experiments.FirstOrDefault(experiment => experiment.Id == id)
            ?? throw new ToolException($"--only {id}: there is no such experiment; there are {string.Join(", ", EffectCatalogue.Experiments.Select(experiment => experiment.Id))}."))];
    }

    private EffectData Open(ParseResult arguments)
    {
        if (arguments.GetValue(_train) is not { Length: > 0 } train) return EffectData.Scenes(SceneTrainCount, SceneValidationCount);
        string name = arguments.GetValue(_name) ?? Path.GetFileNameWithoutExtension(train[0]);
        return EffectData.Files(name, DataArgument.Open(train), DataArgument.Open(arguments.GetValue(_validation)!), arguments.GetValue(_label));
    }

    private static JsonObject ToJson(EffectRows rows, IEnumerable<(string Data, EffectResult Result)> results) => new()
    {
        ["effects"] = new JsonArray([.. results.Select(each => (JsonNode?)new JsonObject
        {
            ["effect"] = each.Result.Effect.Id,
            ["claim"] = each.Result.Effect.Claim,
            ["data"] = each.Data,
            ["contrast"] = Effect.On(each.Result.Effect.ContrastText, each.Data),
            ["threshold"] = each.Result.Effect.Threshold,
            ["mean"] = JsonNumber.Of(each.Result.Mean),
            ["half_width_95"] = JsonNumber.Of(each.Result.HalfWidth),
            ["seeds"] = new JsonArray([.. each.Result.Contrasts.Select(value => (JsonNode?)JsonNumber.Of(value))]),
            ["verdict"] = EffectReport.Name(each.Result.Verdict),
        })]),
        ["runs"] = new JsonArray([.. rows.Rows.Select(row => (JsonNode?)row.ToJson())]),
    };

    /// <summary>One line for each run.</summary>
    private sealed class Lines(ToolContext context) : IEffectObserver
    {
        private string _what = string.Empty;
        private double _next;

        public void Started(Experiment experiment, string condition, int seed, int number, int total)
        {
            _what = string.Create(CultureInfo.InvariantCulture, $"{number} of {total}  {experiment.Id}: {condition}, seed {seed}");
            _next = 0.25;
            context.Console.WriteLine(_what);
        }

        public void Progressed(double share)
        {
            if (share < _next || !context.Console.Profile.Capabilities.Interactive) return;
            _next += 0.25;
            context.Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_what}  {share:P0}"));
        }

        public void Finished(EffectRow row)
            => context.Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"    {string.Join("  ", row.Measures.Select(measure => $"{measure.Key} {measure.Value.ToString("0.0", CultureInfo.InvariantCulture)}"))}  {row.Seconds:0} s"));
    }
}
