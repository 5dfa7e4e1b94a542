using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>The small ALBEF on libtorch: an image tower, and a text network whose last layers fuse, with all heads of the pre-training.</summary>
internal sealed class TorchAlbefModel : IDisposable
{
    public const int ImageSize = 64, Tokens = 32, Vocabulary = 512, Projection = 128;

    private const int Width = 128, Heads = 4, Hidden = 512, Patch = 8, ImageLayers = 3, TextLayers = 2, FusionLayers = 2, Positions = 64, TokenTypes = 2;
    private const int Patches = ImageSize / Patch * (ImageSize / Patch);

    private readonly TorchTransformer _imageBlocks;
    private readonly TorchTransformer _textBlocks;
    private readonly TorchTransformer _fusionBlocks;
    private readonly Parameter _patches, _patchBias, _classToken, _imagePositions, _imageNorm, _imageNormBias;
    private readonly Parameter _words, _textPositions, _types, _textNorm, _textNormBias;
    private readonly Parameter _imageProjection, _imageProjectionBias, _textProjection, _textProjectionBias;
    private readonly Parameter _match, _matchBias, _transform, _transformBias, _transformNorm, _transformNormBias, _wordBias;

    public TorchAlbefModel(bool needsGradient)
    {
        _imageBlocks = new TorchTransformer(ImageLayers, Heads, Width, Hidden, preNorm: true, needsGradient);
        _textBlocks = new TorchTransformer(TextLayers, Heads, Width, Hidden, preNorm: false, needsGradient);
        _fusionBlocks = new TorchTransformer(FusionLayers, Heads, Width, Hidden, preNorm: false, needsGradient, contextWidth: Width);
        _patches = Random(Width, 3, Patch, Patch);
        _patchBias = Zeros(Width);
        _classToken = Random(1, 1, Width);
        _imagePositions = Random(1, Patches + 1, Width);
        (_imageNorm, _imageNormBias) = (Ones(), Zeros(Width));
        _words = Random(Vocabulary, Width);
        _textPositions = Random(Positions, Width);
        _types = Random(TokenTypes, Width);
        (_textNorm, _textNormBias) = (Ones(), Zeros(Width));
        (_imageProjection, _imageProjectionBias) = (Random(Projection, Width), Zeros(Projection));
        (_textProjection, _textProjectionBias) = (Random(Projection, Width), Zeros(Projection));
        (_match, _matchBias) = (Random(2, Width), Zeros(2));
        (_transform, _transformBias) = (Random(Width, Width), Zeros(Width));
        (_transformNorm, _transformNormBias, _wordBias) = (Ones(), Zeros(Width), Zeros(Vocabulary));
        Temperature = new Parameter(tensor(0.07f), needsGradient);

        Parameter Random(params long[] shape) => new(randn(shape) * 0.02f, needsGradient);
        Parameter Zeros(long length) => new(zeros(length), needsGradient);
        Parameter Ones() => new(ones(Width), needsGradient);
    }

    /// <summary>τ: cosines are divided by it.</summary>
    public Parameter Temperature { get; }

    public IReadOnlyList<Parameter> Parameters =>
    [
        .. _imageBlocks.Parameters, .. _textBlocks.Parameters, .. _fusionBlocks.Parameters,
        _patches, _patchBias, _classToken, _imagePositions, _imageNorm, _imageNormBias, _words, _textPositions, _types, _textNorm, _textNormBias,
        _imageProjection, _imageProjectionBias, _textProjection, _textProjectionBias,
        _match, _matchBias, _transform, _transformBias, _transformNorm, _transformNormBias, _wordBias, Temperature,
    ];

    /// <summary>images [batch, 3, 64, 64] to tokens [batch, 1 + patches, width].</summary>
    public Tensor EncodeImage(Tensor images)
    {
        Tensor x = nn.functional.conv2d(images, _patches, _patchBias, [Patch, Patch]).flatten(2).transpose(1, 2);
        x = cat([_classToken.expand(images.shape[0], 1, Width), x], 1) + _imagePositions;
        return Norm(_imageBlocks.Forward(x, causal: false), _imageNorm, _imageNormBias);
    }

    /// <summary>ids [batch, tokens] to the states [batch, tokens, width] in front of the fusion layers.</summary>
    public Tensor EncodeText(Tensor ids)
    {
        Tensor x = Torch.Lookup(_words, ids) + _types[0] + _textPositions.narrow(0, 0, ids.shape[1]);
        return _textBlocks.Forward(Norm(x, _textNorm, _textNormBias), causal: false);
    }

    /// <summary>Tokens of the image tower to unit vectors [batch, projection].</summary>
    public Tensor ProjectImage(Tensor states) => nn.functional.normalize(nn.functional.linear(states.select(1, 0), _imageProjection, _imageProjectionBias), dim: 1);

    /// <summary>States of the text layers to unit vectors [batch, projection].</summary>
    public Tensor ProjectText(Tensor states) => nn.functional.normalize(nn.functional.linear(states.select(1, 0), _textProjection, _textProjectionBias), dim: 1);

    /// <summary>States of the text layers, with the image's tokens as context, to fused states [batch, tokens, width].</summary>
    public Tensor Fuse(Tensor textStates, Tensor imageStates) => _fusionBlocks.Forward(textStates, causal: false, imageStates);

    /// <summary>Fused states to logits [batch, 2].</summary>
    public Tensor Match(Tensor fused) => nn.functional.linear(fused.select(1, 0), _match, _matchBias);

    /// <summary>Fused states at some places, numbered through the batch, to scores of the words [places, vocabulary].</summary>
    public Tensor PredictWords(Tensor fused, Tensor places)
    {
        Tensor x = nn.functional.linear(fused.flatten(0, 1).index_select(0, places), _transform, _transformBias);
        return nn.functional.linear(Norm(nn.functional.gelu(x), _transformNorm, _transformNormBias), _words, _wordBias);
    }

    public void Dispose()
    {
        foreach (Parameter parameter in Parameters) parameter.Dispose();
    }

    private static Tensor Norm(Tensor x, Parameter weight, Parameter bias) => nn.functional.layer_norm(x, [Width], weight, bias, 1e-6);
}
