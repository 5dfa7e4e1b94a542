using System.Numerics.Tensors;
using MiniVlp.Data.Images;

namespace MiniVlp.Cli.Demo;

/// <summary>Draws attention weights over a picture.</summary>
public static class AttentionMap
{
    // From dark blue over purple and orange to yellow: even steps of brightness, readable without colour vision.
    private static readonly (float Red, float Green, float Blue)[] Palette =
    [
        (13, 8, 135), (84, 2, 163), (139, 10, 165), (185, 50, 137), (219, 92, 104), (244, 136, 73), (254, 188, 43), (240, 249, 33),
    ];

    /// <summary>weights [heads, patches] to their mean over the heads.</summary>
    public static float[] MeanOverHeads(ReadOnlySpan<float> weights, int heads)
    {
        float[] mean = new float[weights.Length / heads];
        for (int head = 0; head < heads; head++)
            for (int patch = 0; patch < mean.Length; patch++) mean[patch] += weights[(head * mean.Length) + patch] / heads;
        return mean;
    }

    /// <summary>Colours a picture by a grid of weights, blended between patches and scaled from the smallest to the largest.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="grid">[rows, columns], row by row.</param>
    /// <param name="rows">Patches from top to bottom.</param>
    /// <param name="columns">Patches from left to right.</param>
    public static RgbImage Overlay(RgbImage image, ReadOnlySpan<float> grid, int rows, int columns)
    {
        float smallest = TensorPrimitives.Min(grid), range = Math.Max(TensorPrimitives.Max(grid) - smallest, 1e-12f);
        RgbImage result = new(image.Width, image.Height);
        for (int y = 0; y < image.Height; y++)
        {
            for (int x = 0; x < image.Width; x++)
            {
                float weight = (Sample(grid, rows, columns, (x + 0.5f) / image.Width, (y + 0.5f) / image.Height) - smallest) / range;
                (float red, float green, float blue) = ColorOf(weight);
                (byte r, byte g, byte b) = image[x, y];
                Span<byte> pixel = result.Row(y).Slice(3 * x, 3);
                pixel[0] = Blend(r, red);
                pixel[1] = Blend(g, green);
                pixel[2] = Blend(b, blue);
            }
        }

        return result;
    }

    private static float Sample(ReadOnlySpan<float> grid, int rows, int columns, float u, float v)
    {
        // Weights stand at the middle of their patches.
        float x = Math.Clamp((u * columns) - 0.5f, 0, columns - 1), y = Math.Clamp((v * rows) - 0.5f, 0, rows - 1);
        int left = (int)x, top = (int)y, right = Math.Min(left + 1, columns - 1), bottom = Math.Min(top + 1, rows - 1);
        float above = float.Lerp(grid[(top * columns) + left], grid[(top * columns) + right], x - left);
        float below = float.Lerp(grid[(bottom * columns) + left], grid[(bottom * columns) + right], x - left);
        return float.Lerp(above, below, y - top);
    }

    private static (float Red, float Green, float Blue) ColorOf(float weight)
    {
        float place = Math.Clamp(weight, 0, 1) * (Palette.Length - 1);
        int low = Math.Min((int)place, Palette.Length - 2);
        (float Red, float Green, float Blue) a = Palette[low], b = Palette[low + 1];
        float t = place - low;
        return (float.Lerp(a.Red, b.Red, t), float.Lerp(a.Green, b.Green, t), float.Lerp(a.Blue, b.Blue, t));
    }

    private static byte Blend(byte picture, float map) => (byte)((0.45f * picture) + (0.55f * map) + 0.5f);
}
