using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace MiniVlp.Data.Images;

/// <summary>
/// The two passes behind <see cref="ImageResize"/>, columns and rows, each rounded and clipped to a byte, as PIL does it. A pass that
/// would change nothing is left out. Only a window of the result is computed, so a crop costs nothing for what it throws away.
/// </summary>
internal readonly ref struct Resampler
{
    private const int Half = 1 << (ResampleWeights.Bits - 1);

    private readonly ReadOnlySpan<byte> _pixels;
    private readonly int _width;
    private readonly int _height;
    private readonly int _stride;
    private readonly int _channels;

    /// <summary>Reads rows of <paramref name="width"/> pixels, <paramref name="stride"/> bytes apart; the last row may end with its last pixel.</summary>
    public Resampler(ReadOnlySpan<byte> pixels, int width, int height, int stride, int channels)
    {
        _pixels = pixels;
        _width = width;
        _height = height;
        _stride = stride;
        _channels = channels;
    }

    /// <summary>The pixels of <paramref name="window"/> in the picture that <paramref name="box"/> becomes at the new size.</summary>
    public byte[] Resize(int newWidth, int newHeight, ResampleFilter filter, ImageBox box, ImageRectangle window)
    {
        byte[] result = new byte[window.Width * window.Height * _channels];
        if (filter == ResampleFilter.Nearest)
        {
            Nearest(newWidth, newHeight, box, window, result);
            return result;
        }

        ResampleWeights? columns = newWidth != _width || box.Left != 0 || box.Right != _width
            ? ResampleWeights.Create(filter, _width, newWidth, box.Left, box.Right, window.X, window.Width)
            : null;
        ResampleWeights? rows = newHeight != _height || box.Top != 0 || box.Bottom != _height
            ? ResampleWeights.Create(filter, _height, newHeight, box.Top, box.Bottom, window.Y, window.Height)
            : null;

        // The part of the input that the result depends on.
        int x = columns?.InputStart ?? window.X;
        int y = rows?.InputStart ?? window.Y;
        int width = (columns?.InputEnd ?? window.X + window.Width) - x;
        int height = (rows?.InputEnd ?? window.Y + window.Height) - y;
        ReadOnlySpan<byte> input = _pixels[((y * _stride) + (x * _channels))..];
        int length = window.Width * _channels;

        if (columns is null && rows is null)
        {
            for (int i = 0; i < window.Height; i++)
            {
                input.Slice(i * _stride, length).CopyTo(result.AsSpan(i * length));
            }
        }
        else if (rows is null)
        {
            ResizeColumns(input, _stride, width, height, columns!, result);
        }
        else if (columns is null)
        {
            ResizeRows(input, _stride, length, rows, result);
        }
        else if (RowsFirst(newWidth, newHeight))
        {
            byte[] resized = Between(width, window.Height);
            ResizeRows(input, _stride, width * _channels, rows, resized);
            ResizeColumns(resized, width * _channels, width, window.Height, columns, result);
        }
        else
        {
            byte[] resized = Between(window.Width, height);
            ResizeColumns(input, _stride, width, height, columns, resized);
            ResizeRows(resized, length, length, rows, result);
        }

        return result;
    }

    /// <summary>Pillow 13 takes rows first when the height loses more than twice the pixels that the width loses; until 12 it never did.</summary>
    private bool RowsFirst(int newWidth, int newHeight)
    {
        return newHeight < _height && (long)_height - newHeight > 2 * ((long)_width - newWidth);
    }

    private byte[] Between(int width, int height)
    {
        long size = (long)width * height * _channels;
        return size <= Array.MaxLength
            ? new byte[size]
            : throw new ArgumentOutOfRangeException(nameof(width), $"{width}x{height}", "The picture between the two passes would not fit in one array.");
    }

    private void ResizeColumns(ReadOnlySpan<byte> source, int stride, int width, int height, ResampleWeights weights, Span<byte> destination)
    {
        int length = width * _channels;

        // One byte more than a row, so that the last pixel can be loaded as four bytes too.
        byte[] row = new byte[length + 1];
        int newLength = weights.First.Length * _channels;
        for (int y = 0; y < height; y++)
        {
            source.Slice(y * stride, length).CopyTo(row);
            Span<byte> output = destination.Slice(y * newLength, newLength);
            if (_channels == 3)
            {
                ResizeRgbRow(row, weights, output);
            }
            else
            {
                ResizeRow(row, weights, output);
            }
        }
    }

    private static void ResizeRgbRow(ReadOnlySpan<byte> row, ResampleWeights weights, Span<byte> output)
    {
        int[] first = weights.First;
        for (int x = 0; x < first.Length; x++)
        {
            ReadOnlySpan<int> values = weights.Of(x);
            Vector128<int> sum = Vector128.Create(Half);
            ReadOnlySpan<byte> input = row.Slice((first[x] - weights.InputStart) * 3, (values.Length * 3) + 1);
            ref byte pixel = ref MemoryMarshal.GetReference(input);
            for (int t = 0; t < values.Length; t++)
            {
                Vector128<byte> bytes = Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref pixel, t * 3))).AsByte();
                Vector128<int> channels = Vector128.WidenLower(Vector128.WidenLower(bytes)).AsInt32();
                sum += channels * Vector128.Create(values[t]);
            }

            Vector128<int> clipped = Vector128.Clamp(sum >> ResampleWeights.Bits, Vector128<int>.Zero, Vector128.Create(255));
            Span<byte> target = output.Slice(x * 3, 3);
            target[0] = (byte)clipped[0];
            target[1] = (byte)clipped[1];
            target[2] = (byte)clipped[2];
        }
    }

    private void ResizeRow(ReadOnlySpan<byte> row, ResampleWeights weights, Span<byte> output)
    {
        for (int x = 0; x < weights.First.Length; x++)
        {
            ReadOnlySpan<int> values = weights.Of(x);
            for (int c = 0; c < _channels; c++)
            {
                int sum = Half;
                int offset = ((weights.First[x] - weights.InputStart) * _channels) + c;
                for (int t = 0; t < values.Length; t++, offset += _channels)
                {
                    sum += row[offset] * values[t];
                }

                output[(x * _channels) + c] = Clip(sum);
            }
        }
    }

    private static void ResizeRows(ReadOnlySpan<byte> source, int stride, int length, ResampleWeights weights, Span<byte> destination)
    {
        for (int y = 0; y < weights.First.Length; y++)
        {
            ReadOnlySpan<int> values = weights.Of(y);
            ReadOnlySpan<byte> rows = source[((weights.First[y] - weights.InputStart) * stride)..];
            Span<byte> output = destination.Slice(y * length, length);
            int x = 0;
            for (; x <= length - Vector128<byte>.Count; x += Vector128<byte>.Count)
            {
                Vector256<int> lower = Vector256.Create(Half);
                Vector256<int> upper = lower;
                for (int t = 0; t < values.Length; t++)
                {
                    Vector256<ushort> bytes = Widen(Vector128.Create(rows.Slice((t * stride) + x, Vector128<byte>.Count)));
                    Vector256<int> weight = Vector256.Create(values[t]);
                    lower += Vector256.WidenLower(bytes).AsInt32() * weight;
                    upper += Vector256.WidenUpper(bytes).AsInt32() * weight;
                }

                Vector256<ushort> clipped = Vector256.Narrow(Clip(lower).AsUInt32(), Clip(upper).AsUInt32());
                Vector128.Narrow(clipped.GetLower(), clipped.GetUpper()).CopyTo(output[x..]);
            }

            for (; x < length; x++)
            {
                int sum = Half;
                for (int t = 0; t < values.Length; t++)
                {
                    sum += rows[(t * stride) + x] * values[t];
                }

                output[x] = Clip(sum);
            }
        }
    }

    private void Nearest(int newWidth, int newHeight, ImageBox box, ImageRectangle window, Span<byte> destination)
    {
        int[] columns = NearestPositions(_width, newWidth, box.Left, box.Right, window.X, window.Width);
        int[] rows = NearestPositions(_height, newHeight, box.Top, box.Bottom, window.Y, window.Height);
        int target = 0;
        foreach (int y in rows)
        {
            ReadOnlySpan<byte> row = _pixels.Slice(y * _stride, _width * _channels);
            foreach (int x in columns)
            {
                row.Slice(x * _channels, _channels).CopyTo(destination[target..]);
                target += _channels;
            }
        }
    }

    private static int[] NearestPositions(int size, int newSize, float start, float end, int windowStart, int windowCount)
    {
        double step = (double)(end - start) / newSize;
        int[] positions = new int[windowCount];

        // Stepped, not multiplied: at ties PIL's running sum decides which neighbour is taken.
        double position = start + (step * 0.5);
        for (int i = 0; i < windowStart + windowCount; i++, position += step)
        {
            if (i >= windowStart)
            {
                positions[i - windowStart] = Math.Min((int)position, size - 1);
            }
        }

        return positions;
    }

    private static Vector256<ushort> Widen(Vector128<byte> bytes)
    {
        (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(bytes);
        return Vector256.Create(lower, upper);
    }

    private static Vector256<int> Clip(Vector256<int> sum)
    {
        return Vector256.Clamp(sum >> ResampleWeights.Bits, Vector256<int>.Zero, Vector256.Create(255));
    }

    private static byte Clip(int sum)
    {
        return (byte)Math.Clamp(sum >> ResampleWeights.Bits, 0, 255);
    }
}
