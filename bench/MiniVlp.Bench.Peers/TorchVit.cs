using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>Sizes of a vision transformer on images of 224 pixels.</summary>
internal sealed record TorchVitSizes(int Layers, long Heads, long Width, long Hidden, long Patch)
{
    public const long ImageSize = 224;

    public static TorchVitSizes Base32 { get; } = new(12, 12, 768, 3072, 32);

    public static TorchVitSizes Base16 { get; } = Base32 with { Patch = 16 };

    public static TorchVitSizes Large14 { get; } = new(24, 16, 1024, 4096, 14);

    public long Patches => ImageSize / Patch * (ImageSize / Patch);
}

/// <summary>A vision transformer on libtorch, with a classifier where it is trained.</summary>
internal sealed class TorchVit : IDisposable
{
    private const long Classes = 1000;

    private readonly TorchVitSizes _sizes;
    private readonly TorchTransformer _blocks;
    private readonly Parameter _patches, _patchBias, _classToken, _positions, _normWeight, _normBias, _classifier, _classifierBias;

    private TorchVit(TorchVitSizes sizes, bool needsGradient)
    {
        _sizes = sizes;
        _blocks = new TorchTransformer(sizes.Layers, sizes.Heads, sizes.Width, sizes.Hidden, preNorm: true, needsGradient);
        _patches = new Parameter(randn(sizes.Width, 3, sizes.Patch, sizes.Patch) * 0.02f, needsGradient);
        _patchBias = new Parameter(zeros(sizes.Width), needsGradient);
        _classToken = new Parameter(randn(1, 1, sizes.Width) * 0.02f, needsGradient);
        _positions = new Parameter(randn(1, sizes.Patches + 1, sizes.Width) * 0.02f, needsGradient);
        _normWeight = new Parameter(ones(sizes.Width), needsGradient);
        _normBias = new Parameter(zeros(sizes.Width), needsGradient);
        _classifier = new Parameter(randn(Classes, sizes.Width) * 0.02f, needsGradient);
        _classifierBias = new Parameter(zeros(Classes), needsGradient);
    }

    private IEnumerable<Parameter> Parameters => [.. _blocks.Parameters, _patches, _patchBias, _classToken, _positions, _normWeight, _normBias, _classifier, _classifierBias];

    public static PeerWorkload Forward(TorchVitSizes sizes, long batch)
    {
        TorchVit model = new(sizes, needsGradient: false);
        Tensor images = rand(batch, 3, TorchVitSizes.ImageSize, TorchVitSizes.ImageSize);
        return Torch.WithoutGradient(() => model.Tokens(images), model, images);
    }

    /// <summary>Forward, cross entropy, backward, AdamW.</summary>
    public static PeerWorkload TrainStep(TorchVitSizes sizes, long batch)
    {
        TorchVit model = new(sizes, needsGradient: true);
        optim.Optimizer optimizer = optim.AdamW(model.Parameters, 1e-3);
        Tensor images = rand(batch, 3, TorchVitSizes.ImageSize, TorchVitSizes.ImageSize), labels = randint(0, Classes, [batch]);
        return new PeerWorkload(
            () =>
            {
                using DisposeScope scope = NewDisposeScope();
                optimizer.zero_grad();
                Tensor logits = nn.functional.linear(model.Tokens(images).select(1, 0), model._classifier, model._classifierBias);
                nn.functional.cross_entropy(logits, labels).backward();
                optimizer.step();
            },
            optimizer,
            model,
            images,
            labels);
    }

    /// <summary>AdamW alone, over parameters that have gradients.</summary>
    public static PeerWorkload OptimizerStep(TorchVitSizes sizes)
    {
        TorchVit model = new(sizes, needsGradient: true);
        Parameter[] parameters = [.. model.Parameters.Where(parameter => !ReferenceEquals(parameter, model._classifier) && !ReferenceEquals(parameter, model._classifierBias))];
        using (NewDisposeScope())
        {
            foreach (Parameter parameter in parameters) (parameter * rand_like(parameter).detach()).sum().backward();
        }

        optim.Optimizer optimizer = optim.AdamW(parameters, 1e-3);
        return new PeerWorkload(
            () =>
            {
                using DisposeScope scope = NewDisposeScope();
                optimizer.step();
            },
            optimizer,
            model);
    }

    public void Dispose()
    {
        _blocks.Dispose();
        foreach (Parameter parameter in Parameters) parameter.Dispose();
    }

    /// <summary>images [batch, 3, 224, 224] to normalised tokens [batch, 1 + patches, width].</summary>
    private Tensor Tokens(Tensor images)
    {
        Tensor x = nn.functional.conv2d(images, _patches, _patchBias, [_sizes.Patch, _sizes.Patch]).flatten(2).transpose(1, 2);
        x = cat([_classToken.expand(images.shape[0], 1, _sizes.Width), x], 1) + _positions;
        return nn.functional.layer_norm(_blocks.Forward(x, causal: false), [_sizes.Width], _normWeight, _normBias, 1e-12);
    }
}
