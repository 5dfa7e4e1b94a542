namespace MiniVlp.Cli;

/// <summary>A mistake of the user's that the tool can name in one line.</summary>
/// <param name="message">The line.</param>
public sealed class ToolException(string message) : Exception(message);
