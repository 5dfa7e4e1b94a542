using MiniVlp.Kernels;
using MiniVlp.Kernels.Simd;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Elementary functions against double precision, in units in the last place, over their whole range.</summary>
public sealed class SimdMathTests
{
    public static TheoryData<string, float, float, double> Functions => new()
    {
        { "Exp", -87f, 88.5f, 2 },
        { "ExpNonPositive", -87.3f, 0f, 2 },
        { "Log", 1e-38f, 1e-3f, 2 },
        { "Log", 1e-3f, 1e4f, 2 },
        { "LogOnePlus", 0f, 1f, 2.5 },
        { "Tanh", -10f, 10f, 2 },
        { "Sigmoid", -80f, 40f, 3 },
        { "Erf", -4.5f, 4.5f, 2 },
    };

    [Theory]
    [MemberData(nameof(Functions))]
    public void Errors_stay_within_units_in_the_last_place(string function, float low, float high, double limit)
    {
        double worst = 0;
        float where = 0;
        for (int i = 0; i <= 20_000; i++)
        {
            float x = low + ((high - low) * (i / 20_000f));
            double expected = Reference(function, x), actual = Vector(function, x);
            double unit = Math.Max(BitConverter.SingleToInt32Bits((float)expected) is var bits ? Math.Abs((double)BitConverter.Int32BitsToSingle(bits + 1) - (float)expected) : 0, 1e-45);
            double error = Math.Abs(expected - actual) / unit;
            if (error <= worst) continue;
            worst = error;
            where = x;
        }

        Assert.True(worst <= limit, $"{function}({where:R}) is off by {worst:F2} units.");
    }

    [Fact]
    public void Special_values_are_kept()
    {
        Assert.Equal(float.NegativeInfinity, Vector("Log", 0f));
        Assert.Equal(float.PositiveInfinity, Vector("Log", float.PositiveInfinity));
        Assert.True(float.IsNaN(Vector("Log", -1f)));
        Assert.Equal(Math.Log(1e-44f), Vector("Log", 1e-44f), 1e-4);
        Assert.Equal(0f, Vector("Exp", float.NegativeInfinity));
        Assert.Equal(float.PositiveInfinity, Vector("Exp", float.PositiveInfinity));
        Assert.Equal(1f, Vector("Tanh", float.PositiveInfinity));
        Assert.Equal(-1f, Vector("Tanh", float.NegativeInfinity));
        Assert.Equal(1f, Vector("Erf", float.PositiveInfinity));
        Assert.Equal(-1f, Vector("Erf", float.NegativeInfinity));
        foreach (float x in new[] { float.NegativeInfinity, float.MinValue, -1000f, -88.1f }) Assert.Equal(0u, BitConverter.SingleToUInt32Bits(Vector("ExpNonPositive", x)));
        Assert.Equal(1f, Vector("ExpNonPositive", 0f));
        foreach (string function in new[] { "Exp", "ExpNonPositive", "Log", "Tanh", "Sigmoid", "Erf" }) Assert.True(float.IsNaN(Vector(function, float.NaN)), function);
    }

    /// <summary>What matters of Φ is its absolute error: it is multiplied by x, and x · Φ(x) is added to numbers of the size of x.</summary>
    [Fact]
    public void Gelu_and_its_derivative_stay_within_their_absolute_errors()
    {
        for (int i = -28_000; i <= 28_000; i++)
        {
            float x = i / 2000f;
            double phi = (1 + DoubleMath.Erf(x / Math.Sqrt(2))) / 2, density = Math.Exp(-x * (double)x / 2) / Math.Sqrt(2 * Math.PI);
            Assert.Equal(x * phi, Gelu.Forward(Simd128.Create(x)).Value[0], 1.5e-7 * Math.Max(1, x));
            Assert.Equal(phi + (x * density), Gelu.Derivative(Simd128.Create(x), default).Value[0], 3e-7);
        }

        Assert.Equal(float.PositiveInfinity, Gelu.Forward(Simd128.Create(float.PositiveInfinity)).Value[0]);
        Assert.Equal(1e30f, Gelu.Forward(Simd128.Create(1e30f)).Value[0]);
        Assert.Equal(0.0, Gelu.Forward(Simd128.Create(-1e30f)).Value[0], 1e-30);
        Assert.True(float.IsNaN(Gelu.Forward(Simd128.Create(float.NaN)).Value[0]));
        Assert.Equal(1.0, Gelu.Derivative(Simd128.Create(1e30f), default).Value[0], 1e-30);
        Assert.Equal(0.0, Gelu.Derivative(Simd128.Create(-1e30f), default).Value[0], 1e-29);
    }

    private static double Reference(string function, double x) => function switch
    {
        "Exp" or "ExpNonPositive" => Math.Exp(x),
        "Log" => Math.Log(x),
        "LogOnePlus" => x < 1e-4 ? x - (x * x / 2) + (x * x * x / 3) : Math.Log(1 + x),
        "Tanh" => Math.Tanh(x),
        "Sigmoid" => DoubleMath.Sigmoid(x),
        _ => DoubleMath.Erf(x),
    };

    private static float Vector(string function, float value)
    {
        Simd128 x = Simd128.Create(value);
        Simd128 y = function switch
        {
            "Exp" => SimdMath.Exp(x),
            "ExpNonPositive" => SimdMath.ExpNonPositive(x),
            "Log" => SimdMath.Log(x),
            "LogOnePlus" => SimdMath.LogOnePlus(x),
            "Tanh" => SimdMath.Tanh(x),
            "Sigmoid" => SimdMath.Sigmoid(x),
            _ => SimdMath.Erf(x),
        };
        return y.Value[0];
    }
}
