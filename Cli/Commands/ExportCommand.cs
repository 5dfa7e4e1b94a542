using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Models;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp export</c>: a trained model as a folder of a class that Hugging Face transformers has.</summary>
internal sealed class ExportCommand : ToolCommand
{
    // What goes with a model: its words and how its pictures are made.
    private static readonly string[] Companions =
        ["vocab.txt", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json"];

    private readonly Argument<string> _folder = new("DIR") { Description = "A model folder." };
    private readonly Option<string> _out = new("--out") { Description = "Folder to write: config.json, model.safetensors, tokenizer and preprocessor.", HelpName = "DIR", Required = true };
    private readonly Option<string?> _class = new("--class") { Description = "The class to write; needed where a model gives several: BlipForConditionalGeneration or BlipForImageTextRetrieval for a BLIP that was pre-trained here.", HelpName = "NAME" };
    private readonly Option<string> _dtype = new("--dtype") { Description = "Format of the weights: float32, float16 or bfloat16.", HelpName = "float32|float16|bfloat16", DefaultValueFactory = _ => "float32" };

    public ExportCommand(ToolHost host)
        : base("export", "Write a trained model as a folder of a Hugging Face class, where there is one (of ALBEF there is none).", host)
    {
        Add(_folder);
        foreach (Option option in (Option[])[_out, _class, _dtype]) Add(option);
        _dtype.AcceptOnlyFromAmong("float32", "float16", "bfloat16");
    }

    protected override int Run(ToolContext context)
    {
        string folder = context.Arguments.GetRequiredValue(_folder), target = context.Arguments.GetRequiredValue(_out), dtype = context.Arguments.GetValue(_dtype)!;
        if (Path.GetRelativePath(folder, target) == ".") throw new ToolException($"--out {target}: a model is not written over itself.");
        using PretrainedModel model = Architectures.Load(folder, context.Device);
        PretrainedModel view = Choose(folder, Views(model), context.Arguments.GetValue(_class));
        view.SavePretrained(target, dtype switch { "float16" => SafetensorsDtype.F16, "bfloat16" => SafetensorsDtype.BF16, _ => SafetensorsDtype.F32 });
        foreach (string name in Companions)
            if (File.Exists(Path.Combine(folder, name))) AtomicFile.WriteAllBytes(Path.Combine(target, name), File.ReadAllBytes(Path.Combine(folder, name)));
        foreach (string warning in model.Warnings) context.Warn(warning);
        if (model is Albef or AlbefClassifier or AlbefQuestionAnswering) context.Warn($"{view.Architecture}: transformers has no such class; MiniVlp loads the folder.");
        if (FirstTokenOf(view) is { } encode)
            context.Warn(string.Create(CultureInfo.InvariantCulture, $"{view.Architecture}: texts that go with a picture begin with [ENC], token {encode}. MiniVlp puts it there; transformers takes them as they are, so give it texts whose first token is {encode}."));
        long parameters = view.ParameterCount();
        if (context.Json) context.WriteJson(new JsonObject { ["folder"] = target, ["architecture"] = view.Architecture, ["parameters"] = parameters, ["dtype"] = dtype });
        else context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{target}: {view.Architecture}, {parameters:N0} parameters, {dtype}"));
        return ExitCode.Success;
    }

    /// <summary>What a model is in transformers; a class of its own where there is none.</summary>
    private static PretrainedModel[] Views(PretrainedModel model) => model switch
    {
        BlipForPreTraining blip => [blip.Captioning, blip.Retrieval],
        ViltForPreTraining vilt => [vilt.ToRetrieval()],
        _ => [model],
    };

    private static PretrainedModel Choose(string folder, PretrainedModel[] views, string? name)
    {
        string all = string.Join(" or ", views.Select(view => view.Architecture));
        if (name is null) return views.Length == 1 ? views[0] : throw new ToolException($"{folder}: say what to write: --class {all}.");
        return views.FirstOrDefault(view => view.Architecture == name) ?? throw new ToolException($"--class {name}: {folder} gives {all}.");
    }

    private static int? FirstTokenOf(PretrainedModel view) => view switch
    {
        BlipRetrieval blip => blip.Config.Text.EncodeId,
        BlipQuestionAnswering blip => blip.Config.Text.EncodeId,
        _ => null,
    };
}
