using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>One training step of the small CLIP on libtorch: both towers, symmetric InfoNCE, backward, AdamW.</summary>
internal sealed class TorchClip : IDisposable
{
    private const int Width = 192, Layers = 6, Heads = 3, Hidden = 768, ImageSize = 64, Patch = 8, Tokens = 32, Vocabulary = 2000, Projection = 128;
    private const int Patches = ImageSize / Patch * (ImageSize / Patch);

    private readonly TorchTransformer _image = new(Layers, Heads, Width, Hidden, preNorm: true, needsGradient: true, Torch.QuickGelu);
    private readonly TorchTransformer _text = new(Layers, Heads, Width, Hidden, preNorm: true, needsGradient: true, Torch.QuickGelu);
    private readonly Parameter _patches = new(randn(Width, 3, Patch, Patch) * 0.02f);
    private readonly Parameter _classToken = new(randn(1, 1, Width) * 0.02f);
    private readonly Parameter _imagePositions = new(randn(1, Patches + 1, Width) * 0.02f);
    private readonly Parameter _words = new(randn(Vocabulary, Width) * 0.02f);
    private readonly Parameter _textPositions = new(randn(1, Tokens, Width) * 0.02f);
    private readonly Parameter _imageProjection = new(randn(Projection, Width) * 0.02f);
    private readonly Parameter _textProjection = new(randn(Projection, Width) * 0.02f);
    private readonly Parameter _logitScale = new(tensor(2.6592f));
    private readonly Parameter[] _norms = [.. Enumerable.Range(0, 3).SelectMany(_ => new Parameter[] { new(ones(Width)), new(zeros(Width)) })];
    private readonly Tensor _images;
    private readonly Tensor _ids;
    private readonly Tensor _targets;
    private readonly optim.Optimizer _optimizer;

    private TorchClip(long batch)
    {
        _images = randn(batch, 3, ImageSize, ImageSize);
        _ids = randint(0, Vocabulary, [batch, Tokens]);
        _targets = arange(batch, int64);
        _optimizer = optim.AdamW(Parameters, 1e-3);
    }

    private IEnumerable<Parameter> Parameters =>
    [
        .. _image.Parameters, .. _text.Parameters, _patches, _classToken, _imagePositions, _words, _textPositions, _imageProjection, _textProjection, _logitScale, .. _norms,
    ];

    public static PeerWorkload TrainStep(long batch)
    {
        TorchClip clip = new(batch);
        return new PeerWorkload(clip.Step, clip);
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        foreach (Parameter parameter in Parameters) parameter.Dispose();
        _images.Dispose();
        _ids.Dispose();
        _targets.Dispose();
    }

    private void Step()
    {
        using DisposeScope scope = NewDisposeScope();
        _optimizer.zero_grad();
        long batch = _images.shape[0];
        Tensor x = nn.functional.conv2d(_images, _patches, null, [Patch, Patch]).flatten(2).transpose(1, 2);
        x = Norm(cat([_classToken.expand(batch, 1, Width), x], 1) + _imagePositions, 0);
        x = Norm(_image.Forward(x, causal: false).select(1, 0), 1);
        Tensor image = nn.functional.normalize(nn.functional.linear(x, _imageProjection), dim: 1);
        Tensor t = _text.Forward(Torch.Lookup(_words, _ids) + _textPositions, causal: true).select(1, Tokens - 1);
        Tensor text = nn.functional.normalize(nn.functional.linear(Norm(t, 2), _textProjection), dim: 1);
        Tensor logits = image.matmul(text.t()) * _logitScale.exp();
        Tensor loss = (nn.functional.cross_entropy(logits, _targets) + nn.functional.cross_entropy(logits.t(), _targets)) / 2;
        loss.backward();
        _optimizer.step();
    }

    private Tensor Norm(Tensor x, int index) => nn.functional.layer_norm(x, [Width], _norms[2 * index], _norms[(2 * index) + 1], 1e-5);
}
