using System.Diagnostics;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>Told about the runs of a suite.</summary>
public interface IEffectObserver
{
    /// <summary>A run begins.</summary>
    void Started(Experiment experiment, string condition, int seed, int number, int total);

    /// <summary>The run under way has come so far, 0 to 1.</summary>
    void Progressed(double share);

    /// <summary>The run has ended.</summary>
    void Finished(EffectRow row);
}

/// <summary>Does the runs that are missing.</summary>
public static class EffectSuite
{
    /// <summary>Seeds outermost: after each pass over the conditions there is a complete set of pairs.</summary>
    /// <param name="experiments">What to run.</param>
    /// <param name="data">On what.</param>
    /// <param name="seeds">The seeds.</param>
    /// <param name="scale">How long.</param>
    /// <param name="rows">What was done before, and where to add.</param>
    /// <param name="device">Where to compute.</param>
    /// <param name="observer">Told about every run.</param>
    /// <param name="cancellation">Stops the run under way; its time is lost, the runs before it are kept.</param>
    public static void Run(
        IReadOnlyList<Experiment> experiments, EffectData data, IReadOnlyList<int> seeds, EffectScale scale, EffectRows rows, Device device, IEffectObserver observer, CancellationToken cancellation)
    {
        (Experiment Experiment, string Condition, int Seed)[] missing =
        [
            .. from seed in seeds
               from experiment in experiments
               where experiment.Accepts(data)
               from condition in experiment.ConditionsFor(data)
               where rows.Find(experiment, data.Name, scale, condition, seed) is null
               select (experiment, condition, seed),
        ];
        for (int i = 0; i < missing.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            (Experiment experiment, string condition, int seed) = missing[i];
            observer.Started(experiment, condition, seed, i + 1, missing.Length);
            long start = Stopwatch.GetTimestamp();
            EffectRow? same = experiment.SameAs(condition) is { } other ? rows.Find(other.Experiment, data.Name, scale, other.Condition, seed) : null;
            IReadOnlyDictionary<string, double> measures;
            try
            {
                measures = same is not null ? same.Measures : experiment.Measure(condition, new ExperimentRun(data, seed, scale, device, observer.Progressed, cancellation));
            }
            catch (NotFiniteNumberException)
            {
                // A training that diverges is a result: it has no measures, and no effect holds by it.
                measures = new Dictionary<string, double>(StringComparer.Ordinal);
            }

            EffectRow row = new(experiment.Id, data.Name, scale, condition, seed, same?.Seconds ?? Stopwatch.GetElapsedTime(start).TotalSeconds, measures, experiment.Version(scale, data.Name));
            rows.Add(row);
            observer.Finished(row);
        }
    }
}
