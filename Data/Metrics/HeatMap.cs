using MiniVlp.Data.Scenes;

namespace MiniVlp.Data.Metrics;

/// <summary>How much each cell of a grid over the picture has to do with a text; what weakly supervised grounding is measured by.</summary>
public sealed class HeatMap
{
    private readonly float[] _values;

    /// <summary>Makes a map.</summary>
    /// <param name="rows">Cells from top to bottom.</param>
    /// <param name="columns">Cells from left to right.</param>
    /// <param name="values">[rows, columns], not copied; what is no number counts as the smallest of all.</param>
    /// <exception cref="ArgumentException">The number of values is not rows · columns, or there is none.</exception>
    public HeatMap(int rows, int columns, float[] values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (rows < 1 || columns < 1 || values.Length != (long)rows * columns)
        {
            throw new ArgumentException($"A heat map of {rows} rows and {columns} columns cannot have {values.Length} values.", nameof(values));
        }

        Rows = rows;
        Columns = columns;
        _values = values;
    }

    /// <summary>Cells from top to bottom.</summary>
    public int Rows { get; }

    /// <summary>Cells from left to right.</summary>
    public int Columns { get; }

    /// <summary>[rows, columns], row by row.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>
    /// The pointing game (Zhang et al. 2016, arXiv 1608.00507): true when the middle of the cell with the greatest value lies in the box. Several
    /// cells with the greatest value must all lie in it: a map that is the same everywhere points at nothing.
    /// </summary>
    /// <param name="box">On the unit plane.</param>
    public bool PointsInto(SceneBox box)
    {
        float greatest = Greatest();
        if (float.IsNaN(greatest))
        {
            return false;
        }

        for (int i = 0; i < _values.Length; i++)
        {
            (double x, double y) = Middle(i);
            if (_values[i] == greatest && (x < box.Left || x > box.Right || y < box.Top || y > box.Bottom))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// The box around the cells that hang together with the greatest one and reach a share of the way from the smallest to the greatest value; the
    /// whole picture for a map that is the same everywhere.
    /// </summary>
    /// <param name="share">In (0, 1].</param>
    /// <exception cref="ArgumentOutOfRangeException">The share is outside of (0, 1].</exception>
    public SceneBox BoxAbove(double share = 0.5)
    {
        if (share is not (> 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(share), share, "The share of the range must be in (0, 1].");
        }

        float greatest = Greatest();
        if (float.IsNaN(greatest))
        {
            return new SceneBox(0, 0, 1, 1);
        }

        double smallest = _values.Where(value => !float.IsNaN(value)).Min(), threshold = smallest + (share * (greatest - smallest));
        int start = Array.IndexOf(_values, greatest);
        bool[] isSeen = new bool[_values.Length];
        isSeen[start] = true;
        Stack<int> open = new([start]);
        (int left, int top, int right, int bottom) = (Columns, Rows, -1, -1);
        while (open.TryPop(out int cell))
        {
            (int row, int column) = (cell / Columns, cell % Columns);
            (left, top, right, bottom) = (Math.Min(left, column), Math.Min(top, row), Math.Max(right, column), Math.Max(bottom, row));
            foreach ((int r, int c) in ((int, int)[])[(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)])
            {
                int neighbour = (r * Columns) + c;
                if (r >= 0 && r < Rows && c >= 0 && c < Columns && !isSeen[neighbour] && _values[neighbour] >= threshold)
                {
                    isSeen[neighbour] = true;
                    open.Push(neighbour);
                }
            }
        }

        return new SceneBox((double)left / Columns, (double)top / Rows, (right + 1.0) / Columns, (bottom + 1.0) / Rows);
    }

    /// <summary>
    /// The proposal that the map likes best, by Σ value · covered share of the cell / √area of the box, values counted from the smallest one
    /// (ALBEF, arXiv 2107.07651, section 6, ranks the regions of a detector so). -1 when two are equally good or none scores.
    /// </summary>
    /// <param name="proposals">Boxes on the unit plane.</param>
    public int Choose(IReadOnlyList<SceneBox> proposals)
    {
        ArgumentNullException.ThrowIfNull(proposals);
        double[] scores = [.. proposals.Select(Score)];
        double best = scores.Where(score => !double.IsNaN(score)).DefaultIfEmpty(0).Max();
        return best > 0 && scores.Count(score => score == best) == 1 ? Array.IndexOf(scores, best) : -1;
    }

    private double Score(SceneBox box)
    {
        float greatest = Greatest();
        if (float.IsNaN(greatest) || !(box.Area > 0))
        {
            return double.NaN;
        }

        double smallest = _values.Where(value => !float.IsNaN(value)).Min(), sum = 0;
        for (int row = 0; row < Rows; row++)
        {
            double height = Overlap(box.Top * Rows, box.Bottom * Rows, row);
            for (int column = 0; height > 0 && column < Columns; column++)
            {
                float value = _values[(row * Columns) + column];
                sum += float.IsNaN(value) ? 0 : (value - smallest) * height * Overlap(box.Left * Columns, box.Right * Columns, column);
            }
        }

        return sum / Math.Sqrt(box.Area);
    }

    private static double Overlap(double low, double high, int cell) => Math.Max(0, Math.Min(high, cell + 1) - Math.Max(low, cell));

    private (double X, double Y) Middle(int cell) => (((cell % Columns) + 0.5) / Columns, ((cell / Columns) + 0.5) / Rows);

    private float Greatest() => _values.Where(value => !float.IsNaN(value)).DefaultIfEmpty(float.NaN).Max();
}
