using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Images;
using SkiaSharp;

namespace MiniVlp.Cli.Reports;

/// <summary>Examples of a task as one PNG: a grid of pictures with what was asked, said and right below each.</summary>
internal static class ExamplePicture
{
    private const int Cell = 180, Margin = 10, Side = 160, LineHeight = 16, MostLines = 8, MostRows = 170;

    private static readonly SKColor Ink = new(28, 36, 48), Soft = new(91, 102, 117), Good = new(29, 138, 78), Bad = new(176, 60, 40);

    /// <summary>The bytes of the PNG.</summary>
    /// <param name="examples">What is shown.</param>
    /// <param name="mostColumns">Examples side by side.</param>
    /// <exception cref="ToolException">There is no font to write with.</exception>
    public static byte[] Encode(IReadOnlyList<TaskExample> examples, int mostColumns)
    {
        using SKTypeface typeface = SKTypeface.Default;
        if (typeface.GlyphCount == 0) throw new ToolException("--sheet: this system has no font to write on a picture with; a name that ends in .html makes a web page instead.");
        using SKFont font = new(typeface, 13);
        (SKColor Color, string Line)[][] texts = [.. examples.Select(example => Lines(example, font))];
        int columns = Math.Max(1, Math.Min(mostColumns, examples.Count)), rows = (examples.Count + columns - 1) / columns;
        if (rows > MostRows) throw new ToolException($"--sheet: {examples.Count} pictures make {rows} rows, more than the {MostRows} that a picture holds; a name that ends in .html makes a web page instead, or take fewer --examples.");
        int[] heights = [.. Enumerable.Range(0, rows).Select(row => Side + (LineHeight * texts.Skip(row * columns).Take(columns).Max(lines => lines.Length)) + (2 * Margin))];
        using SKBitmap sheet = new((columns * Cell) + Margin, Math.Max(1, heights.Sum() + Margin), SKColorType.Rgba8888, SKAlphaType.Opaque);
        using SKCanvas canvas = new(sheet);
        using SKPaint paint = new() { IsAntialias = true };
        canvas.Clear(SKColors.White);
        float top = Margin;
        for (int i = 0; i < examples.Count; i++)
        {
            if (i > 0 && i % columns == 0) top += heights[(i / columns) - 1];
            float left = Margin + (i % columns * Cell);
            using SKBitmap picture = ToBitmap(ExampleSheet.Draw(examples[i]));
            float scale = (float)Side / Math.Max(picture.Width, picture.Height);
            using SKImage image = SKImage.FromBitmap(picture);
            canvas.DrawImage(image, new SKRect(left, top, left + (picture.Width * scale), top + (picture.Height * scale)), new SKSamplingOptions(SKFilterMode.Linear));
            for (int line = 0; line < texts[i].Length; line++)
            {
                paint.Color = texts[i][line].Color;
                canvas.DrawText(texts[i][line].Line, left, top + Side + ((line + 1) * LineHeight), font, paint);
            }
        }

        canvas.Flush();
        using SKData png = sheet.Encode(SKEncodedImageFormat.Png, 100);
        return png.ToArray();
    }

    private static (SKColor Color, string Line)[] Lines(TaskExample example, SKFont font)
        =>
        [
            .. Wrap(example.Text, font).Select(line => (Ink, line)),
            .. Wrap(ExampleSheet.AnswerOf(example), font).Select(line => (example.IsRight ? Good : Bad, line)),
            .. Wrap(example.Expected, font).Select(line => (Soft, line)),
        ];

    private static List<string> Wrap(string text, SKFont font)
    {
        List<string> lines = [];
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            string longer = lines.Count == 0 ? word : $"{lines[^1]} {word}";
            if (lines.Count > 0 && font.MeasureText(longer) <= Side) lines[^1] = longer;
            else if (lines.Count < MostLines) lines.Add(word);
        }

        return lines;
    }

    private static SKBitmap ToBitmap(RgbImage image)
    {
        SKBitmap bitmap = new(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        for (int y = 0; y < image.Height; y++)
        {
            for (int x = 0; x < image.Width; x++)
            {
                (byte red, byte green, byte blue) = image[x, y];
                bitmap.SetPixel(x, y, new SKColor(red, green, blue));
            }
        }

        return bitmap;
    }
}
