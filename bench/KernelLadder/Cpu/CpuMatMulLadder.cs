using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>The product of two square matrices on one core.</summary>
internal sealed class CpuMatMulLadder : Ladder
{
    private readonly int _size;
    private readonly float[] _left, _right;

    /// <param name="cpu">A backend of one thread; the steps that use vectors take its width.</param>
    /// <param name="size">A multiple of 64.</param>
    public unsafe CpuMatMulLadder(CpuBackend cpu, int size)
        : base(cpu)
    {
        _size = size;
        _left = Random(size * size, 1);
        _right = Random(size * size, 2);
        DeviceBuffer left = Upload(_left), right = Upload(_right), result = Rent(size * size);
        float* a = CpuPointer.Of(left), b = CpuPointer.Of(right), c = CpuPointer.Of(result);
        Result = result;
        Steps =
        [
            new("naive", 1e-5, () => NaiveMatMul.Multiply(a, b, c, size)),
            new("in the order of memory", 1e-5, () => BlockedMatMul.Multiply(a, b, c, size)),
            new("vectors", 1e-5, () => VectorMatMul.Multiply(cpu.Tier, a, b, c, size)),
            new("register tiles, packed", 1e-5, () => PackedMatMul.Multiply(cpu.Tier, a, b, c, size)),
            new("the product's", 1e-5, () => cpu.MatMul(new MatMulArgs(size, size, size), left, right, result)),
        ];
    }

    public override string Name => $"matrix product, {_size} x {_size} x {_size}";

    public override double Operations => 2.0 * _size * _size * _size;

    public override IReadOnlyList<LadderStep> Steps { get; }

    protected override DeviceBuffer Result { get; }

    protected override double ErrorOf(float[] result) => MatMulCheck.ErrorOf(result, _left, _right, _size);
}
