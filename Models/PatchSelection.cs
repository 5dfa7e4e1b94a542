using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// Which patches of pictures of different sizes a transformer sees, worked out on the host from a pixel mask: the patches of each picture in
/// row-major order, and for a smaller picture the first patch outside of it, repeated and masked (ViLT, arXiv:2102.03334, as transformers pads).
/// </summary>
internal sealed class PatchSelection
{
    private PatchSelection(int batch, int count)
    {
        Count = count;
        Patches = new int[batch * count];
        Positions = new int[batch * (1 + count)];
        Mask = new int[batch * count];
    }

    /// <summary>Patches of each picture, padding included.</summary>
    public int Count { get; }

    /// <summary>[batch, count]: number of the patch in the frame's grid.</summary>
    public int[] Patches { get; }

    /// <summary>
    /// [batch, 1 + count]: row of a table that holds the class token's position, the positions of every grid in <see cref="Grids"/> and a row of
    /// zeros for padding, which has no position.
    /// </summary>
    public int[] Positions { get; }

    /// <summary>[batch, count]: 1 for a patch of the picture.</summary>
    public int[] Mask { get; }

    /// <summary>The sizes in patches that occur, each once.</summary>
    public List<(int Rows, int Columns)> Grids { get; } = [];

    /// <summary>Whether every patch of the frame is seen by every picture in order, so that nothing has to be gathered.</summary>
    public bool IsWholeFrame { get; private init; }

    /// <summary>Selects.</summary>
    /// <param name="frame">Shape of the pixels [batch, channels, height, width].</param>
    /// <param name="mask">[batch, height, width] on the host; null for whole frames.</param>
    /// <param name="patchSize">Side of a patch in pixels.</param>
    /// <param name="limit">Most patches of one picture; 0 for no limit.</param>
    /// <param name="generator">Picks the patches that stay of a picture with more than that; evenly spaced ones when null.</param>
    /// <exception cref="ArgumentException">A mask is empty or not a rectangle in the upper left corner.</exception>
    public static PatchSelection Create(Shape frame, int[]? mask, int patchSize, int limit, Generator? generator)
    {
        int batch = frame[0], rows = frame[2] / patchSize, columns = frame[3] / patchSize, all = rows * columns;
        if (mask is null && (limit == 0 || all <= limit)) return new PatchSelection(0, all) { IsWholeFrame = true, Grids = { (rows, columns) } };

        (int Rows, int Columns)[] sizes = new (int, int)[batch];
        int largest = 0;
        for (int i = 0; i < batch; i++)
        {
            sizes[i] = mask is null ? (rows, columns) : SizeOf(mask.AsSpan(i * frame[2] * frame[3], frame[2] * frame[3]), frame, patchSize, i);
            largest = Math.Max(largest, sizes[i].Rows * sizes[i].Columns);
        }

        PatchSelection selection = new(batch, limit == 0 ? largest : Math.Min(largest, limit));
        Dictionary<(int, int), int> firstRow = [];
        int tableRows = 1;
        foreach ((int Rows, int Columns) size in sizes)
        {
            if (!firstRow.TryAdd(size, tableRows)) continue;
            selection.Grids.Add(size);
            tableRows += size.Rows * size.Columns;
        }

        for (int i = 0; i < batch; i++) selection.Fill(i, sizes[i], columns, firstRow[sizes[i]], tableRows, generator);
        return selection;
    }

    /// <summary>Size of one picture in patches: a patch counts when the pixel that nearest-neighbour sampling takes from it does.</summary>
    private static (int Rows, int Columns) SizeOf(ReadOnlySpan<int> mask, Shape frame, int patchSize, int image)
    {
        int height = frame[2], width = frame[3], rows = height / patchSize, columns = width / patchSize;
        int validRows = 0, validColumns = 0;
        while (validRows < rows && mask[validRows * height / rows * width] != 0) validRows++;
        while (validColumns < columns && mask[validColumns * width / columns] != 0) validColumns++;
        for (int patch = 0; patch < rows * columns; patch++)
        {
            int row = patch / columns, column = patch % columns;
            bool isValid = mask[(row * height / rows * width) + (column * width / columns)] != 0;
            if (isValid != (row < validRows && column < validColumns))
                throw new ArgumentException($"The pixel mask of picture {image} must be a rectangle in the upper left corner of {height} by {width}; it differs at the patch in row {row}, column {column}.", nameof(mask));
        }

        if (validRows == 0) throw new ArgumentException($"The pixel mask of picture {image} is empty: a picture has at least one patch.", nameof(mask));
        return (validRows, validColumns);
    }

    private void Fill(int image, (int Rows, int Columns) size, int frameColumns, int firstRow, int paddingRow, Generator? generator)
    {
        int valid = size.Rows * size.Columns, taken = Math.Min(valid, Count);
        int firstInvalid = size.Columns < frameColumns ? size.Columns : size.Rows * frameColumns;
        int skip = 0;
        for (int k = 0; k < Count; k++)
        {
            int at = (image * Count) + k, position = (image * (1 + Count)) + 1 + k;
            if (k >= taken)
            {
                Patches[at] = firstInvalid;
                Positions[position] = paddingRow;
                continue;
            }

            // Sampling in order (Fan et al., 1962): each candidate is taken with probability (still to take) / (still to come).
            int candidate;
            if (generator is null || taken == valid) candidate = (int)((long)k * valid / taken);
            else
            {
                while (generator.Next(valid - skip - k) >= taken - k) skip++;
                candidate = skip + k;
            }

            Patches[at] = (candidate / size.Columns * frameColumns) + (candidate % size.Columns);
            Positions[position] = firstRow + candidate;
            Mask[at] = 1;
        }
    }
}
