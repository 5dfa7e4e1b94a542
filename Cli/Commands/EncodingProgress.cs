using MiniVlp.Data.Datasets;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary>A bar on the terminal while pictures are encoded; nothing when the output goes elsewhere.</summary>
internal static class EncodingProgress
{
    public static T Run<T>(ToolContext context, IImageTextDataset dataset, Func<Action<int>, T> encode, string what = "encoding pictures")
        => Run(context, dataset, (encoded, _) => encode(encoded), what);

    /// <summary>With a second bar for pairs that are scored, once there are some: how many of how many.</summary>
    public static T Run<T>(ToolContext context, IImageTextDataset dataset, Func<Action<int>, Action<int, int>, T> encodeAndScore, string what = "encoding pictures")
    {
        if (!context.Console.Profile.Capabilities.Interactive) return encodeAndScore(_ => { }, (_, _) => { });
        return context.Console.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(progress =>
            {
                ProgressTask encoding = progress.AddTask(what, maxValue: Math.Max(1, dataset.Count));
                ProgressTask? scoring = null;
                return encodeAndScore(done => encoding.Value = done, (done, all) => (scoring ??= progress.AddTask("scoring pairs", maxValue: all)).Value = done);
            });
    }
}
