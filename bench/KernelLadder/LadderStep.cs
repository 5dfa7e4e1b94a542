using System.Globalization;

namespace MiniVlp.KernelLadder;

/// <summary>One way to compute something.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Tolerance">Largest error that is right for its precision, relative to the largest value.</param>
/// <param name="Run">Puts it onto the device's stream.</param>
internal sealed record LadderStep(string Name, double Tolerance, Action Run);

/// <summary>What was measured of a step.</summary>
/// <param name="Ladder">What is computed.</param>
/// <param name="Step">Which way.</param>
/// <param name="Milliseconds">Median of several batches.</param>
/// <param name="GigaflopsPerSecond">Useful operations, the same for each step of a ladder, over the time.</param>
/// <param name="ShareOfLast">Of the rate of the ladder's last step.</param>
/// <param name="Error">Largest difference from double precision, relative to the largest value.</param>
/// <param name="IsRight">Whether the error is within the step's tolerance.</param>
internal sealed record LadderRow(string Ladder, string Step, double Milliseconds, double GigaflopsPerSecond, double ShareOfLast, double Error, bool IsRight)
{
    public const string Header = "step                                 ms      GFLOP/s   of last     error";

    public override string ToString()
        => string.Create(CultureInfo.InvariantCulture, $"{Step,-28} {Milliseconds,10:F3} {GigaflopsPerSecond,12:G4} {ShareOfLast,9:P1} {Error,9:E1}{(IsRight ? string.Empty : "  WRONG")}");
}
