using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Data.Text;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp tokenize</c>: shows the tokens and ids of texts.</summary>
internal sealed class TokenizeCommand : ToolCommand
{
    private readonly Option<string> _tokenizer = new("--tokenizer") { Description = "Folder with vocab.txt, vocab.json and merges.txt, or tokenizer.json.", HelpName = "DIR", Required = true };
    private readonly Option<string?> _file = new("--file") { Description = "A file with one text per line.", HelpName = "FILE" };
    private readonly Option<int?> _length = OptionRules.OptionalNumber("--max-length", "Cuts to this many tokens and keeps the end token.", 2, 1 << 20);
    private readonly Argument<string[]> _texts = new("text") { Description = "One or more texts.", Arity = ArgumentArity.ZeroOrMore };

    public TokenizeCommand(ToolHost host)
        : base("tokenize", "Show the tokens and ids of a text.", host)
    {
        Add(_texts);
        Add(_tokenizer);
        Add(_file);
        Add(_length);
        Validators.Add(result =>
        {
            bool hasFile = result.GetValue(_file) is not null, hasTexts = result.GetValue(_texts) is { Length: > 0 };
            if (hasFile == hasTexts) result.AddError("Give either texts or --file.");
        });
    }

    protected override int Run(ToolContext context)
    {
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(context.Arguments.GetRequiredValue(_tokenizer));
        int length = context.Arguments.GetValue(_length) ?? tokenizer.MaxLength;
        IEnumerable<string> texts = context.Arguments.GetValue(_file) is { } file ? ReadLines(file) : context.Arguments.GetValue(_texts)!;
        JsonArray json = [];
        foreach (string text in texts)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            int[] ids = tokenizer.Encode(text, length);
            if (context.Json) json.Add(ToJson(tokenizer, text, ids));
            else Print(context, tokenizer, text, ids);
        }

        if (context.Json) context.WriteJson(json);
        return ExitCode.Success;
    }

    private static JsonObject ToJson(TextTokenizer tokenizer, string text, int[] ids) => new()
    {
        ["text"] = text,
        ["tokens"] = new JsonArray([.. ids.Select(id => (JsonNode?)JsonValue.Create(tokenizer.Piece(id)))]),
        ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode?)JsonValue.Create(id))]),
    };

    private static void Print(ToolContext context, TextTokenizer tokenizer, string text, int[] ids)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn(new TableColumn("token"));
        table.AddColumn(new TableColumn("id").RightAligned());
        foreach (int id in ids) table.AddRow(Markup.Escape(tokenizer.Piece(id)), id.ToString(CultureInfo.InvariantCulture));
        context.Output.WriteLine($"{text}  ({ids.Length} tokens)");
        context.Console.Write(table);
    }

    private static IEnumerable<string> ReadLines(string file) => File.Exists(file) ? File.ReadLines(file) : throw new ToolException($"{file}: there is no such file.");
}
