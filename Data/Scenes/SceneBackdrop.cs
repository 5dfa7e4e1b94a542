namespace MiniVlp.Data.Scenes;

/// <summary>Draws backgrounds. Their features have a fixed number per picture side, so a scene looks alike at every size.</summary>
internal static class SceneBackdrop
{
    private const int Stripes = 8;
    private const int Checks = 8;
    private const int Speckles = 32;
    private const byte LightTone = 250;
    private const byte DarkTone = 224;

    public static void Fill(SceneBackground background, Span<byte> pixels, int size)
    {
        if (background is SceneBackground.White or SceneBackground.Gray)
        {
            pixels.Fill(background == SceneBackground.White ? byte.MaxValue : (byte)214);
            return;
        }

        for (int y = 0; y < size; y++)
        {
            Span<byte> row = pixels.Slice(y * size * 3, size * 3);
            if (background == SceneBackground.Shaded)
            {
                row.Fill((byte)(255 - (70 * y / (size - 1))));
                continue;
            }

            if (background == SceneBackground.Striped)
            {
                row.Fill((y * Stripes / size) % 2 == 0 ? LightTone : DarkTone);
                continue;
            }

            for (int x = 0; x < size; x++)
            {
                row.Slice(3 * x, 3).Fill(background == SceneBackground.Checked ? Check(x, y, size) : Speckle(x, y, size));
            }
        }
    }

    private static byte Check(int x, int y, int size)
    {
        return ((x * Checks / size) + (y * Checks / size)) % 2 == 0 ? LightTone : DarkTone;
    }

    private static byte Speckle(int x, int y, int size)
    {
        int cell = (y * Speckles / size * Speckles) + (x * Speckles / size);
        return (byte)(216 + (SceneHash.Combine(SceneHash.Start, (ulong)cell) % 36));
    }
}
