using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Scores of all images and texts with each other, row-major; the higher the better.</summary>
/// <param name="Images">Number of images.</param>
/// <param name="Texts">Number of texts.</param>
/// <param name="Coarse">[images, texts]: cosines of the embeddings; null for a model without embeddings.</param>
/// <param name="ImageToText">
/// [images, texts]: in each row the candidates have their matching scores; the others stand below all of them, in the order of their cosines.
/// </param>
/// <param name="TextToImage">[texts, images], likewise.</param>
public sealed record MatchingScores(int Images, int Texts, float[]? Coarse, float[] ImageToText, float[] TextToImage);

/// <summary>
/// Retrieval in two stages (ALBEF, arXiv:2107.07651, section 5): a coarse search by cosine picks k candidates for each query, and the matching score,
/// log p(match) - log p(no match), puts these in order. A model without embeddings scores every pair.
/// </summary>
public static class MatchingRetrieval
{
    /// <summary>Scores a gallery in both directions.</summary>
    /// <param name="model">Scores pairs.</param>
    /// <param name="images">Of <see cref="IMatchingModel.EncodeImages"/>.</param>
    /// <param name="texts">Of <see cref="IMatchingModel.EncodeTexts"/>, with a mask or without padding.</param>
    /// <param name="candidates">k: 128 for Flickr30K and 256 for COCO in ALBEF; all when there are fewer.</param>
    /// <param name="pairsAtOnce">How many pairs go through the model at once.</param>
    /// <param name="progress">Told after each of these how many pairs are scored, and of how many.</param>
    /// <param name="cancellation">Stops before the next of these.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is not positive.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public static MatchingScores Score(
        IMatchingModel model, EncodedImages images, EncodedTexts texts, int candidates = 128, int pairsAtOnce = 64, Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(candidates, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(pairsAtOnce, 1);
        using TensorScope scope = new();
        int imageCount = images.Count, textCount = texts.Count;
        float[]? coarse = null, transposed = null;
        if (images.Embeddings is { } imageVectors && texts.Embeddings is { } textVectors)
        {
            coarse = imageVectors.MatMul(textVectors, transposeRight: true).ToArray();
            transposed = Transpose(coarse, imageCount, textCount);
        }

        int[][] textsOfImage = Candidates(coarse, imageCount, textCount, candidates);
        int[][] imagesOfText = Candidates(transposed, textCount, imageCount, candidates);
        Dictionary<(int Image, int Text), float> matches = [];
        foreach ((int image, int[] found) in textsOfImage.Index()) foreach (int text in found) matches[(image, text)] = 0;
        foreach ((int text, int[] found) in imagesOfText.Index()) foreach (int image in found) matches[(image, text)] = 0;
        PairScorer scorer = new(model, images, texts);
        int scored = 0;
        foreach ((int Image, int Text)[] pairs in matches.Keys.OrderBy(pair => pair).Chunk(pairsAtOnce))
        {
            cancellation.ThrowIfCancellationRequested();
            float[] scores = scorer.Score(pairs);
            for (int i = 0; i < pairs.Length; i++) matches[pairs[i]] = scores[i];
            progress?.Invoke(scored += pairs.Length, matches.Count);
        }

        return new MatchingScores(
            imageCount,
            textCount,
            coarse,
            Ordered(textsOfImage, coarse, textCount, (image, text) => matches[(image, text)]),
            Ordered(imagesOfText, transposed, imageCount, (text, image) => matches[(image, text)]));
    }

    /// <summary>The k best columns of each row; all of them without coarse scores.</summary>
    private static int[][] Candidates(float[]? coarse, int rows, int columns, int count)
        => [.. Enumerable.Range(0, rows).Select(row => coarse is null || count >= columns
            ? [.. Enumerable.Range(0, columns)]
            : Enumerable.Range(0, columns).OrderByDescending(column => coarse[(row * columns) + column]).Take(count).ToArray())];

    private static float[] Ordered(int[][] candidates, float[]? coarse, int columns, Func<int, int, float> match)
    {
        float[] scores = new float[candidates.Length * columns];
        for (int row = 0; row < candidates.Length; row++)
        {
            Span<float> line = scores.AsSpan(row * columns, columns);
            float lowest = candidates[row].Min(column => match(row, column));

            // A cosine is at most 1, so that what is no candidate ends below the lowest of them.
            if (coarse is not null) for (int column = 0; column < columns; column++) line[column] = lowest - 2 + coarse[(row * columns) + column];
            foreach (int column in candidates[row]) line[column] = match(row, column);
        }

        return scores;
    }

    private static float[] Transpose(float[] matrix, int rows, int columns)
    {
        float[] transposed = new float[matrix.Length];
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column++) transposed[(column * rows) + row] = matrix[(row * columns) + column];
        return transposed;
    }

    /// <summary>Scores pairs by number; ids and masks are downloaded once.</summary>
    private sealed class PairScorer(IMatchingModel model, EncodedImages images, EncodedTexts texts)
    {
        private readonly int[] _ids = texts.Text.TokenIds.ToArray();
        private readonly int[]? _mask = texts.Text.Mask?.ToArray();
        private readonly int[]? _types = texts.Text.TokenTypes?.ToArray();
        private readonly int _tokens = texts.Text.TokenIds.Shape[1];

        public float[] Score((int Image, int Text)[] pairs)
        {
            using TensorScope scope = new();
            int[] imageRows = [.. pairs.Select(pair => pair.Image)], textRows = [.. pairs.Select(pair => pair.Text)];
            Device device = images.States.Device;
            TextBatch text = new(
                EncodedRows.Gather(_ids, _tokens, textRows, device),
                _mask is null ? null : EncodedRows.Gather(_mask, _tokens, textRows, device),
                _types is null ? null : EncodedRows.Gather(_types, _tokens, textRows, device));
            Tensor? states = texts.States is { } all ? EncodedRows.Gather(all, textRows) : null;
            return model.Match(new EncodedImages(images.StatesAt(imageRows), null), new EncodedTexts(text, states, null)).ToArray();
        }
    }
}
