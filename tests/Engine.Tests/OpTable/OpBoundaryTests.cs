using System.Reflection;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Simd;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>What the table of cases cannot say: that it is complete, what is refused, and what comes out as integers.</summary>
[Collection("op table")]
public sealed class OpBoundaryTests
{
    /// <summary>Operations without a differentiable result from a tensor, or with tests of their own.</summary>
    private static readonly Dictionary<string, string> WithoutCase = new(StringComparer.Ordinal)
    {
        ["RandomUniform"] = "RandomTests",
        ["RandomNormal"] = "RandomTests",
        ["RandomTruncatedNormal"] = "RandomTests",
        ["Checkpoint"] = "its result is that of the function it is given",
    };

    [Fact]
    public void Every_public_operation_has_a_case()
    {
        HashSet<string> covered = [.. OpCases.All.Select(c => c.Method), .. WithoutCase.Keys];
        IEnumerable<string> operations = typeof(Tape).Assembly.GetExportedTypes()
            .Where(t => t is { IsAbstract: true, IsSealed: true } && t.Name.EndsWith("Ops", StringComparison.Ordinal))
            .SelectMany(t => t.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.DeclaredOnly))
            .Where(m => m.ReturnType == typeof(Tensor) || (m.ReturnType.IsGenericType && m.ReturnType.GetGenericArguments().Contains(typeof(Tensor))))
            .Select(m => m.Name);
        Assert.Equal([], operations.Distinct(StringComparer.Ordinal).Where(o => !covered.Contains(o)));
    }

    [Fact]
    public void Names_of_cases_are_unique() => Assert.Equal(OpCases.All.Count, OpCases.All.Select(c => c.Name).Distinct(StringComparer.Ordinal).Count());

    [Fact]
    public void Scalar_and_vector_forms_agree()
    {
        foreach (Type type in typeof(IUnaryOp).Assembly.GetExportedTypes().Where(t => t.IsValueType && !t.IsGenericType))
        {
            if (type.IsAssignableTo(typeof(IUnaryOp))) Invoke(nameof(CompareUnary), type);
            if (type.IsAssignableTo(typeof(IBinaryOp))) Invoke(nameof(CompareBinary), type);
        }

        static void Invoke(string name, Type type)
            => typeof(OpBoundaryTests).GetMethod(name, BindingFlags.Static | BindingFlags.NonPublic)!.MakeGenericMethod(type).Invoke(null, null);
    }

    [Fact]
    public void NaN_counts_as_the_largest_on_every_tier()
    {
        foreach (SimdTier tier in Enum.GetValues<SimdTier>().Where(tier => tier <= CpuBackend.WidestTier))
        {
            using TensorScope scope = new();
            float[] row = [.. Enumerable.Range(0, 37).Select(i => (float)(i * 7 % 37)), float.NaN, 50f, -float.NaN];
            Tensor x = Tensor.FromArray([.. row, .. Enumerable.Repeat(float.NegativeInfinity, 40)], [2, 40], TestDevices.Get(tier, 1));
            Assert.Equal([37, 0], x.ArgMaxLastAxis().ToArray());
            Assert.Equal([float.NaN, float.NegativeInfinity], x.Max(1).ToArray());
            Assert.Equal([37, 39, 38, 0, 1, 2], x.TopK(3).Positions.ToArray());
            Assert.Equal([37, 39, 38], x.TopK(40).Positions.ToArray()[..3]);
            Tensor columns = Tensor.FromArray([1f, float.NaN, 2f, 3f, float.NaN, 4f], [3, 2], x.Device);
            Assert.Equal([float.NaN, float.NaN], columns.Max(0).ToArray());
        }
    }

    [Fact]
    public void Positions_of_the_largest_come_in_order_and_the_earlier_first()
    {
        using TensorScope scope = new();
        Tensor x = Tensor.FromArray([1f, 5f, 5f, -2f, 0f, -0f, 7f, 7f], [2, 4], TestDevices.Get(CpuBackend.WidestTier, 1));
        Assert.Equal([1, 2, 0, 2, 3, 0], x.TopK(3).Positions.ToArray());
        Assert.Equal([1, 2], x.ArgMaxLastAxis().ToArray());
        Assert.Equal([1, 2, 0, 3, 2, 3, 0, 1], x.TopK(4).Positions.ToArray());
        float[] many = [.. Enumerable.Range(0, 1000).Select(i => (float)(i * 37 % 101))];
        int[] expected = [.. Enumerable.Range(0, 1000).OrderByDescending(i => many[i]).ThenBy(i => i).Take(9)];
        Assert.Equal(expected, Tensor.FromArray(many, [1000], x.Device).TopK(9).Positions.ToArray());
    }

    [Fact]
    public void Positions_of_an_id_are_found_row_by_row()
    {
        using TensorScope scope = new();
        IndexTensor ids = IndexTensor.FromArray([3, 9, 9, 1, 2, 3, 9, 0, 0], [3, 3]);
        Assert.Equal([1, 0, 0], ids.FirstIndexOf(9).ToArray());
        Assert.Equal([1, 2, 0], ids.ArgMaxLastAxis().ToArray());
    }

    public static TheoryData<string, Action, string[]> Refused()
    {
        Tensor matrix = Tensor.Zeros([3, 4]), cube = Tensor.Zeros([2, 3, 4]), vector = Tensor.Zeros([5]);
        IndexTensor ids = IndexTensor.FromArray([1, 7], [2]), negative = IndexTensor.FromArray([-1], [1]);
        return new()
        {
            { "add", () => _ = matrix + vector, ["+", "[3, 4]", "[5]"] },
            { "add reshaped", () => _ = matrix + Tensor.Zeros([12]), ["Reshape"] },
            { "reshape", () => matrix.Reshape([5]), ["[3, 4]", "[5]"] },
            { "slice", () => matrix.Slice(2, 2), ["Slice", "[3, 4]"] },
            { "narrow", () => cube.Narrow(1, 3, 1), ["Narrow", "[2, 3, 4]"] },
            { "permute", () => cube.Permute(0, 1, 1), ["Permute", "[2, 3, 4]"] },
            { "transpose", () => vector.Transpose(), ["Transpose", "[5]"] },
            { "concatenate", () => Tensor.Concatenate(0, matrix, vector), ["Concatenate", "[5]"] },
            { "prepend", () => cube.Prepend(vector), ["Prepend", "[2, 3, 4]", "[5]"] },
            { "gather", () => matrix.GatherRows(ids), ["GatherRows", "7", "2"] },
            { "gather negative", () => matrix.GatherRows(negative), ["GatherRows", "-1"] },
            { "token at", () => cube.TokenAt(ids), ["TokenAt", "7"] },
            { "gather tokens", () => cube.GatherTokens(ids), ["GatherTokens", "[2]"] },
            { "scatter", () => Tensor.Zeros([2, 4]).ScatterAddRows(ids, 7), ["ScatterAddRows", "7"] },
            { "broadcast", () => matrix.BroadcastTo([3, 5]), ["BroadcastTo", "[3, 4]", "[3, 5]"] },
            { "layer norm", () => matrix.LayerNorm(vector), ["LayerNorm", "weight", "[4]", "[5]"] },
            { "rms norm", () => matrix.RmsNorm(vector), ["RmsNorm", "weight", "[4]", "[5]"] },
            { "group norm", () => cube.GroupNorm(2), ["GroupNorm", "[2, 3, 4]"] },
            { "softmax", () => matrix.Softmax(2), ["2", "[3, 4]"] },
            { "mean", () => Tensor.Zeros([0]).Mean(), ["Mean", "[0]"] },
            { "mean axis", () => Tensor.Zeros([2, 0]).Mean(1), ["Mean", "[2, 0]"] },
            { "max", () => Tensor.Zeros([2, 0]).Max(1), ["Max", "[2, 0]"] },
            { "variance", () => Tensor.Zeros([2, 1]).Variance(1, unbiased: true), ["Variance", "[2, 1]"] },
            { "top k", () => matrix.TopK(5), ["TopK", "4", "5"] },
            { "resize", () => matrix.ResizeNearest(2, 2), ["ResizeNearest", "[3, 4]"] },
            { "resize to nothing", () => Tensor.Zeros([1, 1, 2, 2]).ResizeBicubic(0, 3), ["ResizeBicubic", "0"] },
            { "rope", () => cube.Rope(ids, 3), ["Rope", "[2, 3, 4]"] },
            { "rope positions", () => cube.Rope(ids, 1), ["Rope", "[2, 3]", "[2]"] },
            { "swiglu", () => cube.SwiGlu(matrix), ["SwiGlu", "[2, 3, 4]", "[3, 4]"] },
        };
    }

    [Theory]
    [MemberData(nameof(Refused), DisableDiscoveryEnumeration = true)]
    public void Operands_that_do_not_fit_are_named_with_their_shapes(string operation, Action action, string[] parts)
    {
        ArgumentException exception = Assert.ThrowsAny<ArgumentException>(action);
        Assert.All(parts, part => Assert.True(exception.Message.Contains(part, StringComparison.Ordinal), $"{operation}: '{part}' is not in: {exception.Message}"));
    }

    [Fact]
    public void Operands_on_two_devices_are_refused()
    {
        using TensorScope scope = new();
        Device device = TestDevices.Get(SimdTier.Scalar, 1), other = TestDevices.Get(SimdTier.Scalar, 2);
        Tensor x = Tensor.Zeros([2, 2], device), there = Tensor.Zeros([2, 2], other), cube = Tensor.Zeros([1, 2, 2], device);
        IndexTensor ids = IndexTensor.FromArray([0, 1], [2], other), id = IndexTensor.FromArray([0], [1], other), mask = IndexTensor.FromArray([1, 1], [1, 2], other);
        Tensor vector = Tensor.Zeros([2], other), one = Tensor.Zeros([1], other), scale = Tensor.Zeros([1], device), cubeThere = Tensor.Zeros([1, 2, 2], other);
        Action[] operations =
        [
            () => _ = x * there, () => x.MatMul(there), () => x.Linear(there), () => x.Linear(x, vector), () => x.Linear(x, null, there), () => x.LayerNorm(vector),
            () => cube.Attention(cube, cubeThere, new(1)), () => cube.Attention(cube, cube, new(1) { KeyMask = mask }), () => cube.Attention(cube, cube, new(1) { Bias = cubeThere }),
            () => cube.Prepend(vector), () => cube.TokenAt(id), () => cube.GatherTokens(mask), () => x.GatherRows(ids), () => x.ScatterAddRows(ids, 2),
            () => Tensor.Concatenate(0, x, there), () => cube.Rope(ids, 1), () => x.CrossEntropy(ids), () => x.CrossEntropy(there), () => x.CrossEntropy(x, rowMask: ids),
            () => x.CrossEntropy(x, classWeights: vector), () => x.KlDivergence(there), () => x.SoftmaxContrastive(there, scale), () => x.SoftmaxContrastive(x, one),
            () => x.SoftmaxContrastive(x, scale, new() { TextQueue = there }), () => x.SoftmaxContrastive(x, scale, new() { Ids = ids }),
            () => x.SigmoidContrastive(x, scale, one), () => x.MeanSquaredError(there), () => x.CopyFrom(there),
        ];
        for (int i = 0; i < operations.Length; i++)
            Assert.True(Assert.ThrowsAny<ArgumentException>(operations[i]).Message.Contains("one device", StringComparison.Ordinal), $"operation {i}");
    }

    private static void CompareUnary<TOp>()
        where TOp : struct, IUnaryOp
    {
        if (!TOp.IsVectorized) return;
        foreach (float x in new[] { 0.11f, 0.5f, 0.93f, 1.7f, 3.3f, 8f, -0.2f, -0.7f, -2f, -6f })
        {
            float y = TOp.Forward(x);
            if (float.IsNaN(y)) continue;
            AssertClose(y, TOp.Forward(new SimdScalar(x)).Value, typeof(TOp).Name);
            AssertClose(TOp.Derivative(x, y), TOp.Derivative(new SimdScalar(x), new SimdScalar(y)).Value, typeof(TOp).Name + " derivative");
        }
    }

    private static void CompareBinary<TOp>()
        where TOp : struct, IBinaryOp
    {
        if (!TOp.IsVectorized) return;
        foreach ((float a, float b) in new[] { (0.5f, 2f), (2f, 0.5f), (-1.5f, 0.25f), (1f, 1f) })
        {
            float y = TOp.Forward(a, b);
            SimdScalar left = new(a), right = new(b), result = new(y);
            AssertClose(y, TOp.Forward(left, right).Value, typeof(TOp).Name);
            AssertClose(TOp.LeftDerivative(a, b, y), TOp.LeftDerivative(left, right, result).Value, typeof(TOp).Name + " left");
            AssertClose(TOp.RightDerivative(a, b, y), TOp.RightDerivative(left, right, result).Value, typeof(TOp).Name + " right");
        }
    }

    private static void AssertClose(float expected, float actual, string what)
        => Assert.True(Math.Abs(expected - actual) <= 1e-6f * (1f + Math.Abs(expected)), $"{what}: {expected} and {actual}");
}
