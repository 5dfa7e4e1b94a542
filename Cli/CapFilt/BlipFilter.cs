using MiniVlp.Autograd;
using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.CapFilt;

/// <summary>A BLIP that was trained to tell whether a text matches a picture.</summary>
internal sealed class BlipFilter : ICaptionFilter
{
    private readonly BlipRetrieval _model;
    private readonly TextTokenizer _tokenizer;
    private readonly ImagePreprocessor _preprocessor;
    private readonly Device _device;

    public BlipFilter(string folder, Device device)
    {
        _device = device;
        _model = BlipRetrieval.FromPretrained(folder, device);
        _model.Evaluate();
        _tokenizer = TextTokenizer.FromPretrained(folder);
        _preprocessor = ImagePreprocessor.FromPretrained(folder);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Match(IReadOnlyList<RgbImage> images, params IReadOnlyList<IReadOnlyList<string>> texts)
    {
        using TensorScope scope = new();
        Tensor imageTokens = _model.VisionEncoder.Forward(PixelBatch.ToTensor(_preprocessor, images, _device));
        return [.. texts.Select(list => _model.PredictMatch(_model.Ground(imageTokens, ToTexts(list))).Softmax().Narrow(1, 1, 1).ToArray())];
    }

    public void Dispose() => _model.Dispose();

    private TextBatch ToTexts(IReadOnlyList<string> texts)
    {
        int context = _model.Config.Text.MaxPositions;
        int length = ImageTextBatchBuilder.PaddedLength(texts.Max(text => _tokenizer.Encode(text, context).Length), context);
        (int[] ids, int[] mask) = _tokenizer.EncodeBatch(texts, length);
        Shape shape = [texts.Count, length];
        return new TextBatch(IndexTensor.FromArray(ids, shape, _device), IndexTensor.FromArray(mask, shape, _device));
    }
}
