using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>One picture with its caption.</summary>
/// <param name="Key">Name of the sample in its data set, as errors and reports print it: <c>train-000000.tar/000123</c>.</param>
/// <param name="Image">The decoded picture.</param>
/// <param name="Caption">The caption; empty when the source has none.</param>
/// <param name="Metadata">Further fields of the source (the <c>.json</c> member of a tar shard, the other columns of a table), if any.</param>
public sealed record ImageTextSample(string Key, RgbImage Image, string Caption, JsonElement? Metadata = null);
