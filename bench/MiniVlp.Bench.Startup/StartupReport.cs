using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;

namespace MiniVlp.Bench.Startup;

/// <summary>A step of one start.</summary>
/// <param name="Name">What was done.</param>
/// <param name="Ms">Wall time in milliseconds.</param>
/// <param name="CompilingMs">Time of the just-in-time compiler meanwhile, on all threads.</param>
/// <param name="Methods">Methods that it compiled.</param>
internal sealed record Step(string Name, double Ms, double CompilingMs, long Methods);

/// <summary>One start of the probe.</summary>
/// <param name="Steps">In order.</param>
/// <param name="WarmPictureMs">Median of a picture's embedding in the third of a second after that.</param>
internal sealed record Start(IReadOnlyList<Step> Steps, double WarmPictureMs);

/// <summary>Medians of a variant.</summary>
/// <param name="Variant">Its name.</param>
/// <param name="Megabytes">Of its folder.</param>
/// <param name="Steps">Medians step by step.</param>
/// <param name="FirstTextMs">Median time from the start of the process to the first embedding of a text.</param>
/// <param name="BestFirstTextMs">The shortest such time.</param>
/// <param name="WarmPictureMs">Median of a picture's embedding once everything has run.</param>
/// <param name="SearchMs">Median wall time of a whole <c>minivlp search</c>.</param>
/// <param name="BestSearchMs">The shortest such time.</param>
internal sealed record VariantRow(
    string Variant, double Megabytes, IReadOnlyList<Step> Steps, double FirstTextMs, double BestFirstTextMs, double WarmPictureMs, double SearchMs, double BestSearchMs);

/// <summary>All variants.</summary>
/// <param name="Runtime">Version of .NET.</param>
/// <param name="Processors">Of this machine.</param>
/// <param name="Runs">Starts of each variant, without one to fill the system's caches.</param>
/// <param name="Rows">One for each variant.</param>
internal sealed record StartupReport(string Runtime, int Processors, int Runs, IReadOnlyList<VariantRow> Rows)
{
    /// <summary>A table of the steps for each variant, and one of the whole.</summary>
    public string ToText()
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"{Runtime}, {Processors} processors, medians of {Runs} starts in turns; ms (of which compiling, methods compiled)");
        foreach (VariantRow row in Rows)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"{row.Variant}, {row.Megabytes:F0} MB");
            foreach (Step step in row.Steps) text.AppendLine(CultureInfo.InvariantCulture, $"  {step.Name,-10} {step.Ms,7:F1} ({step.CompilingMs,5:F1}, {step.Methods,4})");
        }

        text.AppendLine(CultureInfo.InvariantCulture, $"{"variant",-26} {"first text",10} {"best",7} {"search",8} {"best",7} {"warm picture",13}");
        foreach (VariantRow row in Rows)
            text.AppendLine(CultureInfo.InvariantCulture, $"{row.Variant,-26} {row.FirstTextMs,10:F0} {row.BestFirstTextMs,7:F0} {row.SearchMs,8:F0} {row.BestSearchMs,7:F0} {row.WarmPictureMs,13:F2}");
        return text.ToString();
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(StartupReport))]
[JsonSerializable(typeof(Start))]
internal sealed partial class StartupJson : JsonSerializerContext;
