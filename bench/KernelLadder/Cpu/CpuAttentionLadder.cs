using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>Attention of several heads of 64 elements, without a mask, on one core: the forward pass.</summary>
internal sealed class CpuAttentionLadder : Ladder
{
    private const int HeadSize = AttentionLadder.HeadSize;

    private readonly int _tokens, _heads;
    private readonly float[] _query, _key, _value;

    /// <param name="cpu">A backend of one thread; the steps that use vectors take its width.</param>
    /// <param name="tokens">A multiple of 16.</param>
    /// <param name="heads">Heads.</param>
    public unsafe CpuAttentionLadder(CpuBackend cpu, int tokens, int heads)
        : base(cpu)
    {
        _tokens = tokens;
        _heads = heads;
        int length = tokens * heads * HeadSize;
        _query = Random(length, 1);
        _key = Random(length, 2);
        _value = Random(length, 3);
        DeviceBuffer query = Upload(_query), key = Upload(_key), value = Upload(_value), output = Rent(length);
        DeviceBuffer scores = Rent(checked(tokens * tokens)), statistics = Rent(2 * heads * tokens);
        AttentionShape shape = new(1, heads, heads, tokens, tokens, HeadSize, HeadSize, Scale, Causal: false, 0, 0);
        float* q = CpuPointer.Of(query), k = CpuPointer.Of(key), v = CpuPointer.Of(value), o = CpuPointer.Of(output), s = CpuPointer.Of(scores);
        Result = output;
        Steps =
        [
            new("scores stored", 1e-5, () => StoredAttention.Attend(q, k, v, s, o, tokens, heads, Scale)),
            new("scores stored, vectors", 1e-5, () => VectorAttention.Attend(cpu.Tier, q, k, v, s, o, tokens, heads, Scale)),
            new("tiled, online softmax", 1e-5, () => TiledAttention.Attend(cpu.Tier, q, k, v, o, tokens, heads, Scale)),
            new("the product's", 1e-5, () => cpu.Attention(shape, query, key, value, default, default, output, statistics)),
        ];
    }

    public override string Name => $"attention, {_heads} heads of {HeadSize}, {_tokens} tokens";

    public override double Operations => 4.0 * _heads * _tokens * _tokens * HeadSize;

    public override IReadOnlyList<LadderStep> Steps { get; }

    protected override DeviceBuffer Result { get; }

    private static float Scale => 1f / MathF.Sqrt(HeadSize);

    protected override double ErrorOf(float[] result) => AttentionCheck.ErrorOf(result, _query, _key, _value, _tokens, _heads, Scale);
}
