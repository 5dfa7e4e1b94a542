namespace MiniVlp.Cli.Evaluation;

/// <summary>Retrieval on a data set: all distinct pictures against all distinct captions.</summary>
public static class RetrievalEvaluation
{
    /// <summary>Encodes the captions and ranks.</summary>
    /// <exception cref="ToolException">No sample has a caption.</exception>
    public static RetrievalResult Run(DualEncoderFolder model, EmbeddedDataset data, CancellationToken cancellation = default)
    {
        Dictionary<string, int> rows = new(StringComparer.Ordinal);
        List<string> captions = [];
        List<(int Image, int Text)> pairs = [];
        foreach (EmbeddedSample sample in data.Samples)
        {
            string caption = sample.Caption.Trim();
            if (caption.Length == 0) continue;
            if (!rows.TryGetValue(caption, out int row))
            {
                row = rows[caption] = captions.Count;
                captions.Add(caption);
            }

            pairs.Add((sample.ImageIndex, row));
        }

        if (pairs.Count == 0) throw new ToolException("Retrieval needs captions, and the data has none.");
        float[] texts = model.EncodeTexts(captions, cancellation: cancellation);
        return RetrievalMetrics.Evaluate(data.ImageVectors, texts, data.Size, pairs);
    }
}
