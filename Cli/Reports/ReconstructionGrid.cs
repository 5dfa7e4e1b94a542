using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Reports;

/// <summary>What a masked autoencoder makes of pictures: the original, what it sees, and how it completes that, side by side (arXiv:2111.06377, figure 2).</summary>
public static class ReconstructionGrid
{
    private const int Gap = 2;

    /// <summary>One picture with a row for each image and three columns.</summary>
    /// <param name="model">The model, in evaluation mode; which patches it sees comes from <see cref="Generator.Current"/>.</param>
    /// <param name="preprocessor">The model's.</param>
    /// <param name="images">At least one.</param>
    /// <param name="device">Where the model is.</param>
    public static RgbImage Draw(Mae model, ImagePreprocessor preprocessor, IReadOnlyList<RgbImage> images, Device device)
    {
        using TensorScope scope = new();
        Tensor pixels = PixelBatch.ToTensor(preprocessor, images, device);
        MaeReconstruction reconstruction = model.Reconstruct(pixels, model.DrawPatches(images.Count, device));
        float[][] columns = [pixels.ToArray(), reconstruction.Masked.ToArray(), reconstruction.Completed.ToArray()];
        int height = pixels.Shape[2], width = pixels.Shape[3], length = 3 * width * height;
        RgbImage grid = new((columns.Length * (width + Gap)) - Gap, (images.Count * (height + Gap)) - Gap);
        Array.Fill(grid.Pixels, byte.MaxValue);
        for (int row = 0; row < images.Count; row++)
        {
            for (int column = 0; column < columns.Length; column++)
            {
                RgbImage part = PixelBatch.ToImage(preprocessor, columns[column].AsSpan(row * length, length), width, height);
                for (int y = 0; y < height; y++) part.Row(y).CopyTo(grid.Row((row * (height + Gap)) + y)[(3 * column * (width + Gap))..]);
            }
        }

        return grid;
    }
}
