using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder;

/// <summary>The product of two square matrices.</summary>
internal sealed class MatMulLadder : Ladder
{
    private readonly int _size;
    private readonly float[] _left, _right;

    /// <summary>Operands of random numbers on the device.</summary>
    /// <param name="gpu">The device.</param>
    /// <param name="size">A multiple of 64.</param>
    public MatMulLadder(GpuBackend gpu, int size)
        : base(gpu)
    {
        _size = size;
        _left = Random(size * size, 1);
        _right = Random(size * size, 2);
        DeviceBuffer a = Upload(_left), b = Upload(_right), c = Rent(size * size);
        Result = c;
        Steps =
        [
            new("naive", 1e-5, () => gpu.Launch(new NaiveMatMulKernel(GpuBackend.Input(a), GpuBackend.Input(b), GpuBackend.Output(c), size), NaiveMatMulKernel.Groups(size))),
            new("tiled", 1e-5, () => gpu.Launch(
                new TiledMatMulKernel(GpuBackend.Input(a), GpuBackend.Input(b), GpuBackend.Output(c), size), TiledMatMulKernel.Groups(size), TiledMatMulKernel.Groups(size))),
            new("vectorized", 1e-5, () => gpu.Launch(
                new VectorizedMatMulKernel(GpuBackend.Input(a), GpuBackend.Input(b), GpuBackend.Output(c), size), VectorizedMatMulKernel.Groups(size), VectorizedMatMulKernel.Groups(size))),
            new("the product's, float32", 1e-5, () => gpu.MatMul(new MatMulArgs(size, size, size), a, b, c)),
            .. HasTensorCores ? [new LadderStep("the product's, bf16", 2e-2, () => InBFloat16(() => gpu.MatMul(new MatMulArgs(size, size, size), a, b, c)))] : Array.Empty<LadderStep>(),
        ];
    }

    public override string Name => $"matrix product, {_size} x {_size} x {_size}";

    public override double Operations => 2.0 * _size * _size * _size;

    public override IReadOnlyList<LadderStep> Steps { get; }

    protected override DeviceBuffer Result { get; }

    protected override double ErrorOf(float[] result) => MatMulCheck.ErrorOf(result, _left, _right, _size);
}
