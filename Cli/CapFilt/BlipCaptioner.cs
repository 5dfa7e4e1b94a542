using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.CapFilt;

/// <summary>A BLIP that was trained to write captions.</summary>
internal sealed class BlipCaptioner : ICaptioner
{
    private readonly BlipCaptioning _model;
    private readonly TextTokenizer _tokenizer;
    private readonly ImagePreprocessor _preprocessor;
    private readonly GenerationOptions _generation;
    private readonly Device _device;

    public BlipCaptioner(string folder, CapFiltOptions options, Device device)
    {
        _device = device;
        _model = BlipCaptioning.FromPretrained(folder, device);
        _model.Evaluate();
        _tokenizer = TextTokenizer.FromPretrained(folder);
        _preprocessor = ImagePreprocessor.FromPretrained(folder);
        BlipTextConfig text = _model.Config.Text;
        int longest = Math.Min(options.MaxTokens, text.MaxPositions);
        _generation = new GenerationOptions
        {
            Sample = options.Beams == 1,
            TopP = options.TopP,
            Beams = options.Beams,
            MaxNewTokens = longest,
            MinNewTokens = Math.Min(options.MinTokens, longest),
            StopTokens = [text.EndId],
            PadToken = text.PaddingId,
            SuppressTokens = [.. _tokenizer.SpecialIds.Where(id => id != text.EndId).Order()],
            Seed = (ulong)options.Seed,
        };
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> Caption(IReadOnlyList<RgbImage> images, int first)
    {
        using TensorScope scope = new();
        GenerationResult result = _model.Caption(PixelBatch.ToTensor(_preprocessor, images, _device), _generation with { FirstRow = first });
        string[] captions = new string[images.Count];
        Array.Fill(captions, string.Empty);
        foreach (GeneratedText text in result.Texts) captions[text.Row] = _tokenizer.Decode([.. text.Tokens]).Trim();
        return captions;
    }

    public void Dispose() => _model.Dispose();
}
