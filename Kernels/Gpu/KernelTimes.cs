using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// How long each kernel runs, by the host's clock with a wait before and after every launch: a few microseconds too much for each, and nothing
/// overlaps; good for seeing where the time of a step goes.
/// </summary>
internal sealed class KernelTimes
{
    private readonly Dictionary<string, (int Launches, TimeSpan Time)> _kernels = new(StringComparer.Ordinal);

    /// <summary>Adds a launch that began at a time stamp and ends now.</summary>
    public void Add(string kernel, long start)
    {
        (int launches, TimeSpan time) = _kernels.GetValueOrDefault(kernel);
        _kernels[kernel] = (launches + 1, time + Stopwatch.GetElapsedTime(start));
    }

    /// <summary>A line for each kernel, the slowest first: milliseconds, share, launches, name.</summary>
    public override string ToString()
    {
        double all = _kernels.Values.Sum(kernel => kernel.Time.TotalMilliseconds);
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"{all,9:F3} ms in all, {_kernels.Values.Sum(kernel => kernel.Launches)} launches");
        foreach ((string name, (int launches, TimeSpan time)) in _kernels.OrderByDescending(kernel => kernel.Value.Time))
            text.AppendLine(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds,9:F3} ms {time.TotalMilliseconds / all,6:P1} {launches,5} x {name}");
        return text.ToString();
    }
}
