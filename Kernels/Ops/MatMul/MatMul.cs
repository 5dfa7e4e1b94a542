namespace MiniVlp.Kernels;

/// <summary>
/// Sizes of C = f(α · op(A) · op(B) + β · C + bias) + residual, where op is the identity or the transpose, C is
/// <see cref="Rows"/> x <see cref="Columns"/> and the inner size is <see cref="Depth"/>. All matrices are row-major without gaps, so A is
/// Rows x Depth, or Depth x Rows when <see cref="TransposeA"/> is set; B is Depth x Columns, or Columns x Depth. There are
/// <see cref="OuterBatch"/> · <see cref="InnerBatch"/> such products; each operand advances by its stride along either batch axis, and a
/// stride of zero shares one matrix. C has one matrix per product, one behind the other.
/// </summary>
/// <param name="Rows">Rows of C.</param>
/// <param name="Columns">Columns of C.</param>
/// <param name="Depth">The size that is summed over; when it is zero, the product is zero.</param>
public readonly record struct MatMulArgs(int Rows, int Columns, int Depth)
{
    /// <summary>Whether A is stored as Depth x Rows.</summary>
    public bool TransposeA { get; init; }

    /// <summary>Whether B is stored as Columns x Depth, as the weight of a linear layer is.</summary>
    public bool TransposeB { get; init; }

    /// <summary>Factor of the product.</summary>
    public float Alpha { get; init; } = 1f;

    /// <summary>Factor of what C holds before; with 0, C is not read.</summary>
    public float Beta { get; init; }

    /// <summary>Products along the outer batch axis.</summary>
    public int OuterBatch { get; init; } = 1;

    /// <summary>Products along the inner batch axis.</summary>
    public int InnerBatch { get; init; } = 1;

    /// <summary>Elements from one A to the next along the outer batch axis.</summary>
    public int OuterStrideA { get; init; }

    /// <summary>Elements from one A to the next along the inner batch axis.</summary>
    public int InnerStrideA { get; init; }

    /// <summary>Elements from one B to the next along the outer batch axis.</summary>
    public int OuterStrideB { get; init; }

    /// <summary>Elements from one B to the next along the inner batch axis.</summary>
    public int InnerStrideB { get; init; }
}

public partial interface IBackend
{
    /// <summary>
    /// C = α · op(A) · op(B) + β · C + bias + residual. <paramref name="bias"/> has one element per column of C and
    /// <paramref name="residual"/> the shape of C; either may be absent. C overlaps none of the operands.
    /// </summary>
    void MatMul(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias = default, DeviceBuffer residual = default);

    /// <summary>
    /// z = α · op(A) · op(B) + β · C + bias, C = f(z) + residual. When <paramref name="preActivation"/> is there, z is written to it:
    /// the backward pass of f needs it.
    /// </summary>
    void MatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp;

    /// <summary>sums[j] = Σᵢ x[i, j], written or accumulated as the target says: the gradient of a bias.</summary>
    void BiasGradient(DeviceBuffer x, int columns, GradientTarget sums);
}
