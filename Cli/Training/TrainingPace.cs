using System.Diagnostics;

namespace MiniVlp.Cli.Training;

/// <summary>
/// Measures how fast steps go, and turns a limit in minutes into a number of steps: the first steps, slowed down by compilation, are left
/// out, the next few are measured; the plan is corrected until three quarters of the time are over.
/// </summary>
/// <param name="minutes">The limit; null when there is none.</param>
public sealed class TrainingPace(double? minutes)
{
    private const int SkippedSteps = 4, MeasuredSteps = 12, ReplanSteps = 25;

    /// <summary>Share of the limit that is planned for; the rest is for saving and for a machine that slows down.</summary>
    private const double PlannedShare = 0.97;

    /// <summary>Share of the limit after which the plan stands.</summary>
    private const double OpenShare = 0.75;

    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly Queue<double> _stepSeconds = new();
    private double _last;
    private int _steps;
    private bool _planned;

    /// <summary>Time since the run began.</summary>
    public double Seconds => _watch.Elapsed.TotalSeconds;

    /// <summary>Mean time of the last steps.</summary>
    public double SecondsPerStep => _stepSeconds.Count == 0 ? 0 : _stepSeconds.Average();

    /// <summary>Whether the limit has passed.</summary>
    public bool IsOver => minutes is { } limit && Seconds >= limit * 60;

    /// <summary>Notes the end of a step.</summary>
    /// <returns>How long it took, wait for data included.</returns>
    public double StepDone()
    {
        double now = Seconds, took = now - _last;
        _last = now;
        _steps++;
        if (_steps <= SkippedSteps) return took;
        _stepSeconds.Enqueue(took);
        if (_stepSeconds.Count > 50) _stepSeconds.Dequeue();
        return took;
    }

    /// <summary>
    /// Steps that still fit into the limit, when it is time to plan: once the pace is known, and again now and then,
    /// because a machine is slow at first or shared. Null when the present plan stands.
    /// </summary>
    public int? PlanStepsLeft()
    {
        if (minutes is not { } limit || _steps < SkippedSteps + MeasuredSteps) return null;
        bool isOpen = Seconds < limit * 60 * OpenShare && _steps % ReplanSteps == 0;
        if (_planned && !isOpen) return null;
        _planned = true;
        return (int)Math.Clamp(((limit * 60 * PlannedShare) - Seconds) / SecondsPerStep, 0, int.MaxValue / 2);
    }
}
