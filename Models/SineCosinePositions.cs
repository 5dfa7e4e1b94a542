using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// The fixed positions of MAE (arXiv:2111.06377): each patch of a square grid has sines and cosines of its column in the first half of the channels and
/// of its row in the second; with d channels to a half, p · 10000^(-2 i / d) for i = 0 .. d/2 - 1, first all sines, then all cosines.
/// </summary>
internal static class SineCosinePositions
{
    /// <summary>Fills [1, 1 + side · side, width] or [1, side · side, width]; a first row that no patch has, the class token's, is zero.</summary>
    /// <exception cref="ShapeException">The width is not a multiple of four, or the rows are no square, with or without a class token.</exception>
    public static void Fill(Span<float> values, Shape shape, Random random)
    {
        int count = shape[-2], width = shape[-1], side = (int)Math.Sqrt(count);
        int classTokens = count - (side * side);
        if (classTokens > 1 || width % 4 != 0) throw new ShapeException($"Sine-cosine positions: expected [1, side · side, width] or one row more, and a width that is a multiple of 4, found {shape}.");
        values[..(classTokens * width)].Clear();
        for (int row = 0; row < side; row++)
        {
            for (int column = 0; column < side; column++)
            {
                Span<float> position = values.Slice((classTokens + (row * side) + column) * width, width);
                FillHalf(position[..(width / 2)], column);
                FillHalf(position[(width / 2)..], row);
            }
        }
    }

    private static void FillHalf(Span<float> half, int place)
    {
        int frequencies = half.Length / 2;
        for (int i = 0; i < frequencies; i++)
        {
            (double sine, double cosine) = Math.SinCos(place / Math.Pow(10000, (double)i / frequencies));
            half[i] = (float)sine;
            half[frequencies + i] = (float)cosine;
        }
    }
}
