// How long a program takes from its start to its first embedding, step by step, for each way to publish it; see bench/README.md.
//   run [--runs N] [--only NAME,NAME] [--model DIR] [--json FILE]    publishes each variant, starts them in turns, prints medians
//   probe MODEL cpu|auto TIMESTAMP                                   one measured process; run starts these
using System.Globalization;
using System.Text.Json;
using MiniVlp.Bench.Startup;

switch (args)
{
    case ["probe", string model, ("cpu" or "auto") and var device, string startedAt]:
        Console.WriteLine(JsonSerializer.Serialize(Probe.Run(model, device, long.Parse(startedAt, CultureInfo.InvariantCulture)), StartupJson.Default.Start));
        return 0;
    case ["run", .. string[] rest]:
        StartupComparison comparison;
        try
        {
            comparison = StartupComparison.Parse(rest);
        }
        catch (ArgumentException exception)
        {
            Console.Error.WriteLine(exception.Message);
            return 2;
        }

        StartupReport report = comparison.Run();
        Console.Write(report.ToText());
        if (comparison.JsonFile is not null) File.WriteAllText(comparison.JsonFile, JsonSerializer.Serialize(report, StartupJson.Default.StartupReport));
        return 0;
    default:
        Console.Error.WriteLine("MiniVlp.Bench.Startup run [--runs N] [--only NAME,NAME] [--model DIR] [--json FILE]");
        return 2;
}
