using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Search;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp embed</c>: makes a searchable index of pictures.</summary>
internal sealed class EmbedCommand : ToolCommand
{
    private readonly EvalCommand.Inputs _inputs = new();
    private readonly Option<string> _output = new("--out") { Description = "The index to write.", HelpName = "X.safetensors", Required = true };

    public EmbedCommand(ToolHost host)
        : base("embed", "Turn pictures into unit vectors, with their keys and captions, for 'search'.", host)
    {
        _inputs.AddTo(this);
        Add(_output);
    }

    protected override int Run(ToolContext context)
    {
        string path = context.Arguments.GetRequiredValue(_output);
        using DualEncoderFolder model = _inputs.LoadModel(context);
        EmbeddingIndex index = EmbeddingIndex.From(_inputs.Encode(context, model), model.Model.Architecture);
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder) Directory.CreateDirectory(folder);
        index.Save(path);
        if (context.Json) context.WriteJson(new JsonObject { ["index"] = path, ["pictures"] = index.Items.Count, ["size"] = index.Size });
        else context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{path}: {index.Items.Count:N0} pictures, vectors of {index.Size}"));
        return ExitCode.Success;
    }
}
