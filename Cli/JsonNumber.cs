using System.Text.Json.Nodes;

namespace MiniVlp.Cli;

/// <summary>JSON has no word for a number that is none: null stands for it.</summary>
public static class JsonNumber
{
    public static JsonNode? Of(double value) => double.IsFinite(value) ? JsonValue.Create(value) : null;
}
