using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>A model folder with all that turns pictures and texts into what the model takes: weights, tokenizer, preprocessor.</summary>
public class ModelFolder : IDisposable
{
    /// <summary>A picture as large as most preprocessors make them: what they make of a square one is the size that the model was made for.</summary>
    private const int UsualSide = 224;

    private readonly bool _padsToContext;
    private readonly bool _masksPadding;

    public ModelFolder(PretrainedModel model, TextTokenizer tokenizer, ImagePreprocessor preprocessor, Device device)
    {
        Model = model;
        Tokenizer = tokenizer;
        Preprocessor = preprocessor;
        Device = device;
        ImageSize = preprocessor.OutputSize(UsualSide, UsualSide).Width;
        ContextLength = model switch
        {
            Clip clip => clip.Config.ContextLength,
            Siglip siglip => siglip.Config.ContextLength,
            VisionTextDualEncoder dual => dual.Config.Text.MaxPositions,
            Albef albef => albef.Config.Text.MaxPositions,
            AlbefEntailment albef => albef.Config.Text.MaxPositions,
            AlbefQuestionAnswering albef => albef.Config.Text.MaxPositions,
            BlipCaptioning blip => blip.Config.Text.MaxPositions,
            BlipForPreTraining blip => blip.Config.Text.MaxPositions,
            BlipQuestionAnswering blip => blip.Config.Text.MaxPositions,
            BlipRetrieval blip => blip.Config.Text.MaxPositions,
            ViltWithHead vilt => vilt.Backbone.Config.MaxPositions,
            _ => tokenizer.MaxLength,
        };
        _padsToContext = model is Siglip;
        _masksPadding = model is not (Clip or Siglip);
    }

    /// <summary>The model.</summary>
    public PretrainedModel Model { get; }

    public TextTokenizer Tokenizer { get; }

    public ImagePreprocessor Preprocessor { get; }

    public Device Device { get; }

    /// <summary>Longest text in tokens.</summary>
    public int ContextLength { get; }

    /// <summary>Side of the pictures that the model was made for.</summary>
    public int ImageSize { get; }

    /// <summary>Loads a Hugging Face folder of any model, as a <see cref="DualEncoderFolder"/> where it has two towers.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where to run.</param>
    /// <param name="weights">Packs the weights in this format, for a model that is only run; as they are when null.</param>
    public static ModelFolder Open(string folder, Device device, WeightFormat? weights = null) => Load(
        folder, device, weights, (model, tokenizer, preprocessor) => model is IDualEncoder ? new DualEncoderFolder(model, tokenizer, preprocessor, device) : new ModelFolder(model, tokenizer, preprocessor, device));

    /// <summary>Texts as the model takes them, [texts, longest], with a mask where it looks at padding otherwise.</summary>
    /// <param name="texts">At least one; longer ones than the model reads are cut.</param>
    /// <param name="padTo">Tokens of each row; when null, enough for the longest.</param>
    public TextBatch ToTexts(IReadOnlyList<string> texts, int? padTo = null)
    {
        int length = padTo ?? (_padsToContext ? ContextLength : ImageTextBatchBuilder.PaddedLength(texts.Max(text => Tokenizer.Encode(text, ContextLength).Length), ContextLength));
        (int[] ids, int[] mask) = Tokenizer.EncodeBatch(texts, length);
        Shape shape = [texts.Count, length];
        return new TextBatch(IndexTensor.FromArray(ids, shape, Device), _masksPadding ? IndexTensor.FromArray(mask, shape, Device) : null);
    }

    /// <summary>Pictures as the model takes them, [count, 3, height, width].</summary>
    /// <param name="images">At least one; what the preprocessor makes of them has one size.</param>
    /// <exception cref="ToolException">They come out in different sizes.</exception>
    public Tensor ToTensor(IReadOnlyList<RgbImage> images) => PixelBatch.ToTensor(Preprocessor, images, Device);

    public void Dispose()
    {
        Model.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static TFolder Load<TFolder>(string folder, Device device, WeightFormat? weights, Func<PretrainedModel, TextTokenizer, ImagePreprocessor, TFolder> create)
    {
        if (device.Backend is CpuBackend) KernelWarmup.Start(weights);
        PretrainedModel model = Architectures.Load(folder, device);
        if (weights is { } format) model.PackWeights(format);
        return create(model, TextTokenizer.FromPretrained(folder), ImagePreprocessor.FromPretrained(folder));
    }
}
