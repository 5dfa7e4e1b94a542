using System.Text;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>A safetensors file or index is not what the format demands; the message names file, tensor, field, expected and actual.</summary>
public sealed class SafetensorsException : IOException
{
    private const int MaxQuotedLength = 120;

    internal SafetensorsException(string filePath, string? tensorName, string field, string expected, string actual, Exception? inner = null)
        : base(
            $"'{filePath}': {(tensorName is null ? "" : $"tensor '{Quote(tensorName)}': ")}{field}: expected {Quote(expected)}, actual {Quote(actual)}.",
            inner)
    {
        FilePath = filePath;
        TensorName = tensorName;
        Field = field;
    }

    /// <summary>The file that was read.</summary>
    public string FilePath { get; }

    /// <summary>The tensor concerned, or null when the file as a whole is.</summary>
    public string? TensorName { get; }

    /// <summary>The field concerned, for example <c>data_offsets</c>.</summary>
    public string Field { get; }

    // What a file says is shown on one line and at a length that fits on a screen.
    private static string Quote(string text)
    {
        StringBuilder line = new();
        foreach (char c in text.AsSpan(0, Math.Min(text.Length, MaxQuotedLength)))
        {
            line.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        }

        return text.Length > MaxQuotedLength ? $"{line}... ({text.Length} characters)" : line.ToString();
    }
}
