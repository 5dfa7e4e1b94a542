using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Engine.Tests;

/// <summary>Products with packed weights against double precision, whose weights are rounded by formulas of their own.</summary>
public sealed class PackedWeightTests
{
    private static readonly int[] Rows = [1, 2, 3, 6, 7, 12, 13, 50, 110, 230];

    public static IEnumerable<TheoryDataRow<SimdTier, WeightFormat>> Cases()
    {
        foreach (SimdTier tier in Enum.GetValues<SimdTier>())
        {
            foreach (WeightFormat format in Enum.GetValues<WeightFormat>())
                yield return new(tier, format) { Skip = tier > CpuBackend.WidestTier ? $"This machine has no {tier} instructions." : null };
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Products_equal_double_precision(SimdTier tier, WeightFormat format)
    {
        foreach ((int outputs, int inputs) in new[] { (5, 31), (33, 130), (130, 1700), (1100, 40) })
        {
            float[] weight = Draw(outputs * inputs, 1), bias = Draw(outputs, 2);
            weight.AsSpan(0, inputs).Clear();                                       // a row whose int8 scale is zero
            double[] rounded = Rounded(weight, outputs, inputs, format);
            foreach (int rows in Rows)
            {
                float[] a = Draw(rows * inputs, rows), residual = Draw(rows * outputs, 3);
                float[] plain = Multiply(new CpuBackend(2, tier, checkGuards: true), format, rows, outputs, inputs, a, weight, null, null, activates: false);
                float[] full = Multiply(new CpuBackend(1, tier, checkGuards: true), format, rows, outputs, inputs, a, weight, bias, residual, activates: true);
                Random random = new(rows);
                for (int sample = 0; sample < 300; sample++)
                {
                    int i = random.Next(rows), j = random.Next(outputs);
                    double sum = 0;
                    for (int k = 0; k < inputs; k++) sum += a[(i * inputs) + k] * rounded[(j * inputs) + k];
                    double z = sum + bias[j], tolerance = 1e-5 * Math.Sqrt(inputs);
                    Assert.Equal(sum, plain[(i * outputs) + j], tolerance);
                    Assert.Equal(Math.Max(z, 0) + residual[(i * outputs) + j], full[(i * outputs) + j], tolerance);
                }
            }
        }
    }

    [Theory]
    [InlineData(WeightFormat.Float32)]
    [InlineData(WeightFormat.BFloat16)]
    [InlineData(WeightFormat.Int8)]
    public void Results_are_the_same_bits_for_any_number_of_threads(WeightFormat format)
    {
        const int Outputs = 333, Inputs = 900;
        float[] weight = Draw(Outputs * Inputs, 1);
        foreach (int rows in new[] { 1, 5, 64, 300 })
        {
            float[] a = Draw(rows * Inputs, 2);
            float[] first = Multiply(new CpuBackend(1), format, rows, Outputs, Inputs, a, weight, null, null, activates: false);
            foreach (int threads in new[] { 2, 3, 7 })
            {
                float[] result = Multiply(new CpuBackend(threads), format, rows, Outputs, Inputs, a, weight, null, null, activates: false);
                Assert.True(first.AsSpan().SequenceEqual(result), $"{rows} rows: {threads} threads differ from one.");
            }
        }
    }

    [Fact]
    public void Narrow_formats_take_a_half_and_a_quarter_of_the_memory()
    {
        using CpuBackend backend = new(1);
        DeviceBuffer weight = backend.Rent(512 * 256);
        backend.Fill(weight, 1f);
        using PackedWeight full = backend.PackWeight(weight, 512, 256, WeightFormat.Float32);
        using PackedWeight half = backend.PackWeight(weight, 512, 256, WeightFormat.BFloat16);
        using PackedWeight quarter = backend.PackWeight(weight, 512, 256, WeightFormat.Int8);
        Assert.Equal(512 * 256 * 4, full.Bytes);
        Assert.Equal(512 * 256 * 2, half.Bytes);
        Assert.Equal((512 * 256) + (512 * 4), quarter.Bytes);
        backend.Return(weight);
    }

    [Fact]
    public void A_weight_of_another_backend_or_of_another_size_is_refused()
    {
        using CpuBackend one = new(1), other = new(1);
        DeviceBuffer weight = one.Rent(12), x = other.Rent(4), y = other.Rent(3);
        one.Fill(weight, 1f);
        using (PackedWeight packed = one.PackWeight(weight, 3, 4, WeightFormat.Float32))
            Assert.Throws<InvalidOperationException>(() => other.MatMulPacked(packed, 1, x, y, default, default));
        Assert.Throws<ArgumentException>(() => one.PackWeight(weight, 4, 4, WeightFormat.Float32));
        one.Return(weight);
        other.Return(x);
        other.Return(y);
    }

    private static double[] Rounded(float[] weight, int outputs, int inputs, WeightFormat format)
    {
        double[] rounded = new double[weight.Length];
        for (int j = 0; j < outputs; j++)
        {
            double largest = 0;
            for (int k = 0; k < inputs; k++) largest = Math.Max(largest, Math.Abs(weight[(j * inputs) + k]));
            for (int k = 0; k < inputs; k++)
            {
                double w = weight[(j * inputs) + k];
                rounded[(j * inputs) + k] = format switch
                {
                    WeightFormat.BFloat16 when w != 0 => RoundTo8Bits(w),
                    WeightFormat.Int8 => largest == 0 ? 0 : (double)((float)largest / 127f) * Math.Round((float)w / ((float)largest / 127f)),
                    _ => w,
                };
            }
        }

        return rounded;

        static double RoundTo8Bits(double w)
        {
            double unit = Math.ScaleB(1, Math.ILogB(w) - 7);
            return Math.Round(w / unit, MidpointRounding.ToEven) * unit;
        }
    }

    private static float[] Multiply(
        CpuBackend backend, WeightFormat format, int rows, int outputs, int inputs, float[] a, float[] weight, float[]? bias, float[]? residual, bool activates)
    {
        using (backend)
        {
            DeviceBuffer x = Upload(a), w = Upload(weight), b = Upload(bias), r = Upload(residual), y = backend.Rent(rows * outputs);
            using (PackedWeight packed = backend.PackWeight(w, outputs, inputs, format))
            {
                backend.Return(w);
                if (activates) backend.MatMulPacked<Relu>(packed, rows, x, y, b, r);
                else backend.MatMulPacked(packed, rows, x, y, b, r);
            }

            float[] result = new float[rows * outputs];
            backend.Download(y, result);
            foreach (DeviceBuffer buffer in new[] { x, b, r, y })
                if (!buffer.IsNull) backend.Return(buffer);
            Assert.Equal(0, backend.RentedCount);
            return result;
        }

        DeviceBuffer Upload(float[]? values)
        {
            if (values is null) return default;
            DeviceBuffer buffer = backend.Rent(values.Length);
            backend.Upload(values, buffer);
            return buffer;
        }
    }

    private static float[] Draw(int count, int seed)
    {
        Random random = new(seed);
        float[] values = new float[count];
        foreach (ref float value in values.AsSpan()) value = (2f * random.NextSingle()) - 1f;
        return values;
    }
}
