namespace MiniVlp.Cli;

/// <summary>What the tool returns to the shell.</summary>
public static class ExitCode
{
    public const int Success = 0;

    /// <summary>The command failed, or a comparison did; one line on standard error says why.</summary>
    public const int Failure = 1;

    /// <summary>The arguments make no sense.</summary>
    public const int Usage = 2;

    /// <summary>Stopped by Ctrl+C after saving what there was.</summary>
    public const int Interrupted = 130;
}
