using System.Security.Cryptography;
using System.Text;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>How large the runs of an experiment are.</summary>
public enum EffectScale
{
    /// <summary>As the table in docs/effects.md: minutes for each run.</summary>
    Full,

    /// <summary>Seconds for each run: for tests of the direction alone.</summary>
    Short,
}

/// <summary>What one run is given.</summary>
/// <param name="Data">Pictures with captions, to train on and to measure on.</param>
/// <param name="Seed">Of weights, data order and everything drawn: runs of equal seed are paired.</param>
/// <param name="Scale">How long.</param>
/// <param name="Device">Where to compute.</param>
/// <param name="Report">Told the share of the run that is done.</param>
/// <param name="Cancellation">Stops the run.</param>
public sealed record ExperimentRun(EffectData Data, int Seed, EffectScale Scale, Device Device, Action<double> Report, CancellationToken Cancellation);

/// <summary>Trainings that differ in one thing, and what is measured after each.</summary>
public abstract class Experiment
{
    /// <summary>Its name in commands and files.</summary>
    public abstract string Id { get; }

    /// <summary>What the runs differ in, in the order of the table.</summary>
    public abstract IReadOnlyList<string> Conditions { get; }

    /// <summary>Model, data, length and measures in words and numbers, as written down before the first run.</summary>
    /// <param name="scale">Of which runs.</param>
    public abstract string Protocol(EffectScale scale);

    /// <summary>Trains under one condition and measures.</summary>
    /// <param name="condition">One of <see cref="Conditions"/>.</param>
    /// <param name="run">Data, seed, size.</param>
    /// <returns>Every measure by its name.</returns>
    public abstract IReadOnlyDictionary<string, double> Measure(string condition, ExperimentRun run);

    /// <summary>What is done otherwise with pictures of files, in a sentence; empty where nothing is.</summary>
    public virtual string OnFiles => string.Empty;

    /// <summary>Tells protocols apart: runs of another one are not taken for runs of this.</summary>
    /// <param name="scale">Of which runs.</param>
    /// <param name="data">Name of the data.</param>
    public string Version(EffectScale scale, string data)
        => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(data == EffectData.ScenesName ? Protocol(scale) : Protocol(scale) + OnFiles)))[..8];

    /// <summary>The conditions that are run with this data; all unless overridden.</summary>
    /// <param name="data">The data.</param>
    public virtual IReadOnlyList<string> ConditionsFor(EffectData data) => Conditions;

    /// <summary>The run of another experiment that a condition is the same training as, to the bit; null unless overridden.</summary>
    /// <param name="condition">One of <see cref="Conditions"/>.</param>
    public virtual (Experiment Experiment, string Condition)? SameAs(string condition) => null;

    /// <summary>Where a condition stands in a picture: its place on the axis and the line that it belongs to; one line for all conditions unless overridden.</summary>
    /// <param name="condition">One of <see cref="Conditions"/>.</param>
    public virtual (string Place, string? Line) PlaceOf(string condition) => (condition, null);

    /// <summary>Whether the experiment can be done with this data: some need to know the truth about a picture.</summary>
    /// <param name="data">The data.</param>
    public virtual bool Accepts(EffectData data) => true;
}
