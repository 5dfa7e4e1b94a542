using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Search;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp search</c>: finds pictures by a text.</summary>
internal sealed class SearchCommand : ToolCommand
{
    private readonly Argument<string> _text = new("text") { Description = "What to look for." };
    private readonly Option<string> _model = new("--model") { Description = "The model folder that the index was made with.", HelpName = "DIR", Required = true };
    private readonly Option<string> _index = new("--index") { Description = "What 'embed' wrote.", HelpName = "X.safetensors", Required = true };
    private readonly Option<int> _count = OptionRules.Number("-k", "How many pictures to show.", 1, 10_000, 5);

    public SearchCommand(ToolHost host)
        : base("search", "Find the pictures of an index that fit a text.", host)
    {
        Add(_text);
        Add(_model);
        Add(_index);
        Add(_count);
    }

    protected override int Run(ToolContext context)
    {
        string path = context.Arguments.GetRequiredValue(_index), text = context.Arguments.GetRequiredValue(_text);
        EmbeddingIndex index = EmbeddingIndex.Load(path);
        using DualEncoderFolder model = DualEncoderFolder.Load(context.Arguments.GetRequiredValue(_model), context.Device, context.AskedWeights);
        foreach (string warning in model.Model.Warnings) context.Warn(warning);
        if (index.Size != model.EmbeddingSize) throw new ToolException($"{path}: its vectors have {index.Size} elements, those of the model {model.EmbeddingSize}; it was made with another model.");
        if (index.Architecture != model.Model.Architecture) context.Warn($"{path} was made with a {index.Architecture}, the model is a {model.Model.Architecture}.");
        IReadOnlyList<SearchHit> hits = index.Search(model.EncodeTexts([text]), context.Arguments.GetValue(_count));
        if (context.Json)
        {
            context.WriteJson(new JsonArray([.. hits.Select(hit => (JsonNode?)new JsonObject { ["rank"] = hit.Rank, ["score"] = hit.Score, ["key"] = hit.Item.Key, ["caption"] = hit.Item.Caption })]));
            return ExitCode.Success;
        }

        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn(new TableColumn(string.Empty).RightAligned()).AddColumn(new TableColumn("score").RightAligned()).AddColumn("picture").AddColumn("caption");
        foreach (SearchHit hit in hits)
            table.AddRow(hit.Rank.ToString(CultureInfo.InvariantCulture), hit.Score.ToString("0.000", CultureInfo.InvariantCulture), Markup.Escape(hit.Item.Key), Markup.Escape(hit.Item.Caption));
        context.Console.Write(table);
        return ExitCode.Success;
    }
}
