using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Tests;

/// <summary>A very small ALBEF with parameters far from trivial values, and a ragged batch for it.</summary>
internal sealed class AlbefSamples : IDisposable
{
    public const int Batch = 3, Tokens = 5, Words = 12, Size = 8, PadId = 0, StartId = 1, EndId = 2, MaskId = 3;

    /// <summary>Widths that differ, so that nothing can be mistaken for something else.</summary>
    public static readonly AlbefConfig Config = new(
        new VisionTransformerConfig { ImageSize = Size, PatchSize = 4, Width = 12, Layers = 1, Heads = 3, HiddenWidth = 20, NormEpsilon = 1e-6f },
        new BertConfig { VocabularySize = Words, Width = 8, Layers = 3, Heads = 2, HiddenWidth = 16, MaxPositions = 8, DropoutRate = 0, FusionLayer = 1 },
        ProjectionSize: 4,
        InitialTemperature: 0.2f);

    public static readonly int[] Ids =
    [
        StartId, 5, 7, 9, EndId,
        StartId, 6, 11, EndId, PadId,
        StartId, 8, EndId, PadId, PadId,
    ];

    public static readonly int[] Mask = [.. Ids.Select(id => id == PadId ? 0 : 1)];

    public static readonly float[] Pixels = Noise(Batch * 3 * Size * Size, 11);

    public AlbefSamples(AlbefConfig? config = null)
    {
        Device = Device.CreateCpu(2);
        Model = new Albef(config ?? Config);
        Scatter(Model, 5);
    }

    public Device Device { get; }

    public Albef Model { get; }

    public Tensor Images => Tensor.FromArray(Pixels, [Batch, 3, Size, Size], Device);

    public TextBatch Text => new(IndexTensor.FromArray(Ids, [Batch, Tokens], Device), IndexTensor.FromArray(Mask, [Batch, Tokens], Device));

    public static TokenMasking Masking => new() { MaskId = MaskId, VocabularySize = Words, SpecialIds = [PadId, StartId], Rate = 0.5 };

    public PairBatch Pairs(params int[] imageIds) => new(Images, Text, IndexTensor.FromArray(imageIds, [Batch], Device));

    public static float[] Noise(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextSingle()) - 1)];
    }

    /// <summary>Values of an order of magnitude at which every part of the model matters.</summary>
    public void Scatter(Module model, int seed)
    {
        model.Initialize(Device);
        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            if (name == "temp") continue;
            float[] values = Noise(parameter.Shape.Length, seed++);
            bool isNorm = name.Contains("orm", StringComparison.Ordinal) && name.EndsWith("weight", StringComparison.Ordinal);
            parameter.Assign([.. values.Select(value => isNorm ? 1 + (0.5f * value) : 0.6f * value)], Device);
        }
    }

    public static bool[] MaskOf(int row) => [.. Mask.AsSpan(row * Tokens, Tokens).ToArray().Select(value => value != 0)];

    public static ReadOnlySpan<float> PixelsOf(int row) => Pixels.AsSpan(row * 3 * Size * Size, 3 * Size * Size);

    public void Dispose()
    {
        Model.Dispose();
        Device.Dispose();
    }
}
