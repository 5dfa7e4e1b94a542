using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder;

/// <summary>Attention of several heads of 64 elements, without a mask: the forward pass.</summary>
internal sealed class AttentionLadder : Ladder
{
    /// <summary>Elements of a head.</summary>
    public const int HeadSize = 64;

    private readonly GpuBackend _gpu;
    private readonly int _tokens, _heads;
    private readonly float[] _query, _key, _value;

    /// <summary>Operands of random numbers on the device.</summary>
    /// <param name="gpu">The device.</param>
    /// <param name="tokens">A multiple of 16.</param>
    /// <param name="heads">Heads.</param>
    public AttentionLadder(GpuBackend gpu, int tokens, int heads)
        : base(gpu)
    {
        _gpu = gpu;
        _tokens = tokens;
        _heads = heads;
        int length = tokens * heads * HeadSize;
        _query = Random(length, 1);
        _key = Random(length, 2);
        _value = Random(length, 3);
        DeviceBuffer query = Upload(_query), key = Upload(_key), value = Upload(_value), output = Rent(length);
        DeviceBuffer scores = Rent(checked(heads * tokens * tokens)), statistics = Rent(2 * heads * tokens);
        AttentionShape shape = new(1, heads, heads, tokens, tokens, HeadSize, HeadSize, Scale, Causal: false, 0, 0);
        Result = output;
        Steps =
        [
            new("scores stored", 1e-5, () => Stored(query, key, value, scores, output)),
            new("tiled, online softmax", 1e-5, () => gpu.Launch(
                new TiledAttentionKernel(GpuBackend.Input(query), GpuBackend.Input(key), GpuBackend.Input(value), GpuBackend.Output(output), tokens, heads, Scale),
                TiledAttentionKernel.Groups(tokens),
                heads)),
            new("the product's, float32", 1e-5, () => gpu.Attention(shape, query, key, value, default, default, output, statistics)),
            .. HasTensorCores
                ? [new LadderStep("the product's, bf16", 2e-2, () => InBFloat16(() => gpu.Attention(shape, query, key, value, default, default, output, statistics)))]
                : Array.Empty<LadderStep>(),
        ];
    }

    public override string Name => $"attention, {_heads} heads of {HeadSize}, {_tokens} tokens";

    public override double Operations => 4.0 * _heads * _tokens * _tokens * HeadSize;

    public override IReadOnlyList<LadderStep> Steps { get; }

    protected override DeviceBuffer Result { get; }

    private static float Scale => 1f / MathF.Sqrt(HeadSize);

    protected override double ErrorOf(float[] result) => AttentionCheck.ErrorOf(result, _query, _key, _value, _tokens, _heads, Scale);

    private void Stored(DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer scores, DeviceBuffer output)
    {
        _gpu.Launch(new ScoresKernel(GpuBackend.Input(query), GpuBackend.Input(key), GpuBackend.Output(scores), _tokens, _heads, Scale), Groups(scores.Length));
        _gpu.Launch(new SoftmaxRowsKernel(GpuBackend.Output(scores), _tokens), _heads * _tokens);
        _gpu.Launch(new WeightedValuesKernel(GpuBackend.Input(scores), GpuBackend.Input(value), GpuBackend.Output(output), _tokens, _heads), Groups(output.Length));
    }

    private static int Groups(int elements) => (elements + ScoresKernel.GroupSize - 1) / ScoresKernel.GroupSize;
}
