using MiniVlp.Data.Datasets;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary>A bar on the terminal while pictures are encoded; nothing when the output goes elsewhere.</summary>
internal static class EncodingProgress
{
    public static T Run<T>(ToolContext context, IImageTextDataset dataset, Func<Action<int>, T> encode, string what = "encoding pictures")
    {
        if (!context.Console.Profile.Capabilities.Interactive) return encode(_ => { });
        return context.Console.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(progress =>
            {
                ProgressTask task = progress.AddTask(what, maxValue: Math.Max(1, dataset.Count));
                return encode(done => task.Value = done);
            });
    }
}
