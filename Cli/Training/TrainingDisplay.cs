using System.Diagnostics;
using System.Globalization;
using MiniVlp.Nn.Training;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace MiniVlp.Cli.Training;

/// <summary>Shows a training: a live bar on a terminal, plain lines elsewhere.</summary>
public static class TrainingDisplay
{
    /// <summary>Runs a training while it is being shown.</summary>
    /// <param name="console">Where to.</param>
    /// <param name="title">In front of the bar.</param>
    /// <param name="train">The training.</param>
    public static T Run<T>(IAnsiConsole console, string title, Func<ITrainingObserver, T> train)
    {
        if (!console.Profile.Capabilities.Interactive) return train(new PlainLines(console));
        FiguresColumn figures = new();
        return console.Progress().HideCompleted(false).AutoRefresh(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn { Width = 30 }, new PercentageColumn(), figures)
            .Start(context => train(new Bar(context.AddTask(Markup.Escape(title), maxValue: 1), figures, console)));
    }

    /// <summary>One line of figures.</summary>
    public static string Describe(TrainingProgress progress)
    {
        string left = progress.TimeLeft is { } time ? Duration(time) + " left" : "measuring the pace";
        return string.Create(CultureInfo.InvariantCulture,
            $"loss {progress.SmoothLoss:0.000}{DescribeParts(progress.SmoothParts)}  {progress.SamplesPerSecond:0} samples/s  data wait {progress.Latest.DataWaitShare:0.0 %}  {left}");
    }

    /// <summary>One line of warning.</summary>
    public static string Describe(TrainingWarning warning) => string.Create(CultureInfo.InvariantCulture, $"step {warning.Step}  warning: {warning.Message}");

    /// <summary>The parts of a loss, when there are several.</summary>
    public static string DescribeParts(IReadOnlyList<LossPartValue> parts) => parts.Count < 2
        ? string.Empty
        : $" ({string.Join("  ", parts.Select(part => string.Create(CultureInfo.InvariantCulture, $"{part.Name} {part.Value:0.000}")))})";

    /// <summary>As minutes and seconds, or hours and minutes when long.</summary>
    public static string Duration(TimeSpan time) => time.TotalHours >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalHours}:{time.Minutes:00} h")
        : string.Create(CultureInfo.InvariantCulture, $"{time.Minutes}:{time.Seconds:00} min");

    private sealed class Bar(ProgressTask task, FiguresColumn figures, IAnsiConsole console) : ITrainingObserver
    {
        public void Stepped(TrainingProgress progress)
        {
            task.MaxValue = progress.TotalSteps ?? Math.Max(progress.Latest.Step * 20, 1);
            task.Value = progress.Latest.Step;
            figures.Text = Describe(progress);
        }

        public void Saved(int step)
        {
        }

        public void Warned(TrainingWarning warning) => console.MarkupLine($"[yellow]{Markup.Escape(Describe(warning))}[/]");
    }

    private sealed class FiguresColumn : ProgressColumn
    {
        // Written by the training, read by the thread that draws.
        public volatile string Text = "starting";

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) => new Text(Text);
    }

    private sealed class PlainLines(IAnsiConsole console) : ITrainingObserver
    {
        private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

        private readonly Stopwatch _sinceLast = new();

        public void Stepped(TrainingProgress progress)
        {
            bool isLast = progress.Latest.Step == progress.TotalSteps;
            if (_sinceLast.IsRunning && _sinceLast.Elapsed < Interval && !isLast) return;
            _sinceLast.Restart();
            string total = progress.TotalSteps?.ToString(CultureInfo.InvariantCulture) ?? "?";
            console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {progress.Latest.Step}/{total}  {Describe(progress)}"));
        }

        public void Saved(int step) => console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step}  saved"));

        public void Warned(TrainingWarning warning) => console.WriteLine(Describe(warning));
    }
}
