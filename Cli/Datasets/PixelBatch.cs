using MiniVlp.Data.Images;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Datasets;

/// <summary>Pictures to the numbers that a vision model takes, and back.</summary>
public static class PixelBatch
{
    /// <summary>Pictures as the model takes them, [count, 3, height, width].</summary>
    /// <param name="preprocessor">The model's.</param>
    /// <param name="images">At least one; what the preprocessor makes of them has one size.</param>
    /// <param name="device">Where the model is.</param>
    /// <exception cref="ToolException">They come out in different sizes.</exception>
    public static Tensor ToTensor(ImagePreprocessor preprocessor, IReadOnlyList<RgbImage> images, Device device)
    {
        (int width, int height) = preprocessor.OutputSize(images[0].Width, images[0].Height);
        foreach (RgbImage image in images)
        {
            (int Width, int Height) other = preprocessor.OutputSize(image.Width, image.Height);
            if (other != (width, height)) throw new ToolException($"Pictures of one batch come out as {width}x{height} and {other.Width}x{other.Height}, since this model keeps their shape; --batch 1 takes them one by one.");
        }

        int length = 3 * width * height;
        float[] pixels = new float[images.Count * length];
        Parallel.For(0, images.Count, i => preprocessor.Process(images[i], pixels.AsSpan(i * length, length)));
        return Tensor.FromArray(pixels, [images.Count, 3, height, width], device);
    }

    /// <summary>The inverse of the preprocessor's last steps, rounded and clamped to what a picture can hold.</summary>
    /// <param name="preprocessor">The model's.</param>
    /// <param name="pixels">[3, height, width], normalised.</param>
    /// <param name="width">Columns.</param>
    /// <param name="height">Rows.</param>
    public static RgbImage ToImage(ImagePreprocessor preprocessor, ReadOnlySpan<float> pixels, int width, int height)
    {
        RgbImage image = new(width, height);
        int plane = width * height;
        for (int c = 0; c < 3; c++)
        {
            double mean = preprocessor.DoNormalize ? preprocessor.Mean[c] : 0, deviation = preprocessor.DoNormalize ? preprocessor.Std[c] : 1, factor = preprocessor.DoRescale ? preprocessor.RescaleFactor : 1;
            for (int i = 0; i < plane; i++)
            {
                double value = ((pixels[(c * plane) + i] * deviation) + mean) / factor;
                image.Pixels[(3 * i) + c] = (byte)Math.Clamp(Math.Round(value), 0, 255);
            }
        }

        return image;
    }
}
