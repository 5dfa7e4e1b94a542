using System.Collections.Immutable;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Scenes;

/// <summary>The RGB view: draws a scene as a square picture with exact area antialiasing, colours blended in sRGB.</summary>
public sealed class SceneRenderer : ISceneView<RgbImage>
{
    /// <summary>The largest side that <see cref="Size"/> may have.</summary>
    public const int MaxSize = 4096;

    private static readonly ImmutableArray<(byte R, byte G, byte B)> Palette =
    [
        (222, 32, 38), (255, 138, 20), (250, 218, 32), (34, 158, 62), (46, 204, 224),
        (34, 74, 214), (124, 44, 164), (255, 130, 192), (122, 74, 38), (20, 20, 22),
    ];

    /// <summary>Makes a renderer for pictures of size x size pixels.</summary>
    /// <param name="size">Side of the picture in pixels, from 8 to <see cref="MaxSize"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size is outside these bounds.</exception>
    public SceneRenderer(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 8);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, MaxSize);
        Size = size;
    }

    /// <summary>Side of the pictures in pixels.</summary>
    public int Size { get; }

    /// <summary>The sRGB value that an object colour is drawn with.</summary>
    /// <param name="color">The colour.</param>
    public static (byte Red, byte Green, byte Blue) Rgb(SceneColor color) => Palette[(int)color];

    /// <inheritdoc/>
    public RgbImage Render(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        var pixels = new byte[Size * Size * 3];
        Render(scene, pixels);
        return new RgbImage(Size, Size, pixels);
    }

    /// <summary>Draws into memory of the caller: size x size x 3 bytes, RGB interleaved, every byte written.</summary>
    /// <param name="scene">The scene to draw.</param>
    /// <param name="pixels">Takes the picture; exactly size x size x 3 bytes.</param>
    /// <exception cref="ArgumentException">The memory has another length.</exception>
    public void Render(Scene scene, Span<byte> pixels)
    {
        ArgumentNullException.ThrowIfNull(scene);
        if (pixels.Length != Size * Size * 3)
        {
            throw new ArgumentException($"A {Size} x {Size} picture takes {Size * Size * 3} bytes, but the span has {pixels.Length}.", nameof(pixels));
        }

        SceneBackdrop.Fill(scene.Background, pixels, Size);
        foreach (SceneObject item in scene.Objects)
        {
            using CoverageRaster raster = CoverageRaster.Of(item, Size);
            Paint(raster, Rgb(item.Color), pixels);
        }
    }

    /// <summary>The share of each pixel that shows one object, after the objects in front of it have hidden their part: size x size values.</summary>
    /// <param name="scene">The scene.</param>
    /// <param name="objectIndex">Which object.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such object.</exception>
    public float[] RenderMask(Scene scene, int objectIndex)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentOutOfRangeException.ThrowIfNegative(objectIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(objectIndex, scene.Objects.Length);
        var mask = new float[Size * Size];
        for (int i = objectIndex; i < scene.Objects.Length; i++)
        {
            using CoverageRaster raster = CoverageRaster.Of(scene.Objects[i], Size);
            for (int row = 0; row < raster.Height; row++)
            {
                ReadOnlySpan<float> coverage = raster.Row(row);
                Span<float> target = mask.AsSpan(((raster.Top + row) * Size) + raster.Left, raster.Width);
                for (int x = 0; x < coverage.Length; x++)
                {
                    target[x] = i == objectIndex ? coverage[x] : target[x] * (1 - coverage[x]);
                }
            }
        }

        return mask;
    }

    /// <summary>Draws scenes side by side in rows, with a gap of white between them.</summary>
    /// <param name="scenes">The scenes, row by row; at least one.</param>
    /// <param name="columns">Scenes per row.</param>
    /// <param name="gap">Pixels between neighbours and around the sheet.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are no scenes, no columns, or the gap is negative.</exception>
    public RgbImage RenderSheet(IReadOnlyList<Scene> scenes, int columns, int gap = 4)
    {
        ArgumentNullException.ThrowIfNull(scenes);
        ArgumentOutOfRangeException.ThrowIfZero(scenes.Count, nameof(scenes));
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(gap);
        int rows = (scenes.Count + columns - 1) / columns;
        var sheet = new RgbImage(gap + (columns * (Size + gap)), gap + (rows * (Size + gap)));
        sheet.Pixels.AsSpan().Fill(byte.MaxValue);
        for (int i = 0; i < scenes.Count; i++)
        {
            RgbImage picture = Render(scenes[i]);
            int left = gap + (i % columns * (Size + gap));
            int top = gap + (i / columns * (Size + gap));
            for (int y = 0; y < Size; y++)
            {
                picture.Row(y).CopyTo(sheet.Row(top + y)[(left * 3)..]);
            }
        }

        return sheet;
    }

    private void Paint(CoverageRaster raster, (byte R, byte G, byte B) color, Span<byte> pixels)
    {
        for (int row = 0; row < raster.Height; row++)
        {
            ReadOnlySpan<float> coverage = raster.Row(row);
            Span<byte> target = pixels.Slice((((raster.Top + row) * Size) + raster.Left) * 3, raster.Width * 3);
            for (int x = 0; x < coverage.Length; x++)
            {
                float share = coverage[x];
                if (share > 0)
                {
                    Span<byte> pixel = target.Slice(3 * x, 3);
                    pixel[0] = Blend(pixel[0], color.R, share);
                    pixel[1] = Blend(pixel[1], color.G, share);
                    pixel[2] = Blend(pixel[2], color.B, share);
                }
            }
        }
    }

    private static byte Blend(byte below, byte above, float share)
    {
        return (byte)(below + ((above - below) * share) + 0.5f);
    }
}
