using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Functions that System.Math lacks, in double precision.</summary>
public static class DoubleMath
{
    public static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    public static double Softplus(double x) => Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x)));

    /// <summary>Taylor series up to 3, then the continued fraction of erfc; about 14 digits.</summary>
    public static double Erf(double x)
    {
        double a = Math.Abs(x), result;
        if (a < 3)
        {
            double term = a, sum = a;
            for (int n = 1; Math.Abs(term) > 1e-17 * sum; n++)
            {
                term *= -a * a / n;
                sum += term / ((2 * n) + 1);
            }

            result = 2 / Math.Sqrt(Math.PI) * sum;
        }
        else
        {
            double fraction = 0;
            for (int n = 60; n > 0; n--) fraction = n / 2.0 / (a + fraction);
            result = 1 - (Math.Exp(-a * a) / Math.Sqrt(Math.PI) / (a + fraction));
        }

        return Math.CopySign(result, x);
    }

    /// <summary>Result of a function applied to each row of <paramref name="width"/> elements.</summary>
    public static double[] Rows(double[] x, int width, Func<double[], double[]> function)
        => width == 0 ? [] : [.. Enumerable.Range(0, x.Length / width).SelectMany(r => function(x[(r * width)..((r + 1) * width)]))];

    /// <summary>Result of a function of the values along one axis, for every place of the other axes.</summary>
    public static double[] AlongAxis(double[] x, Shape shape, int axis, Func<IEnumerable<double>, double> function)
    {
        int outer = shape.LengthBefore(axis), size = shape[axis], inner = shape.LengthAfter(axis);
        double[] y = new double[outer * inner];
        for (int o = 0; o < outer; o++)
            for (int i = 0; i < inner; i++) y[(o * inner) + i] = function(Enumerable.Range(0, size).Select(r => x[(((o * size) + r) * inner) + i]));
        return y;
    }
}
