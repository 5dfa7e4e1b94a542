using System.CommandLine;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Reports;

namespace MiniVlp.Cli.Commands;

/// <summary>The options of a sheet of examples, the same for all tasks.</summary>
/// <param name="what">What an example is.</param>
/// <param name="count">How many there are unless asked for otherwise.</param>
internal sealed class SheetOptions(string what, int count)
{
    private readonly Option<string?> _sheet = new("--sheet") { Description = $"Write examples, {what}, as a web page or one picture.", HelpName = "FILE.html|FILE.png" };
    private readonly Option<int> _examples = OptionRules.Number("--examples", "Examples on the sheet.", 1, 1000, count);

    public void AddTo(Command command)
    {
        command.Add(_sheet);
        command.Add(_examples);
    }

    /// <summary>How many examples to keep, none where there is no sheet; a name of another kind of file is refused before anything is computed.</summary>
    public int Count(ParseResult arguments)
    {
        if (arguments.GetValue(_sheet) is not { } sheet) return 0;
        ExampleSheet.CheckName(sheet);
        return arguments.GetValue(_examples);
    }

    /// <summary>Writes the sheet, if one was asked for.</summary>
    public void Save(ParseResult arguments, TaskResult result, ModelFolder model)
    {
        if (arguments.GetValue(_sheet) is { } sheet) ExampleSheet.Save(sheet, result, model.Model.Architecture);
    }
}
