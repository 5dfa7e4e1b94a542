using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>Makes a CLIP of random weights that fits a tokenizer.</summary>
public static class NewModel
{
    /// <summary>Builds a vocabulary from the captions of a data set; of scenes, also from the words of questions and answers about them.</summary>
    /// <param name="dataset">The data.</param>
    /// <param name="size">Most pieces.</param>
    /// <param name="specialTokens">Further special tokens, behind the pieces.</param>
    public static TextTokenizer BuildTokenizer(IImageTextDataset dataset, int size, params IReadOnlyList<string> specialTokens)
    {
        IEnumerable<string> texts = Enumerable.Range(0, dataset.Count).Select(dataset.GetCaption);

        // Pieces that occur twice are joined: so each of these words becomes one.
        if (dataset is SceneDataset) texts = texts.Concat(SceneGrammar.AllWords).Concat(SceneGrammar.AllWords);
        return TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(texts, size), specialTokens);
    }

    /// <summary>A model with random weights; vocabulary and end token are the tokenizer's, pictures are normalised as CLIP does.</summary>
    /// <param name="preset">The other sizes.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="device">Where the parameters are kept.</param>
    /// <param name="seed">Of the weights.</param>
    public static DualEncoderFolder Create(ClipConfig preset, TextTokenizer tokenizer, Device device, int seed)
    {
        ClipConfig config = preset with
        {
            VocabularySize = tokenizer.VocabularySize,
            ContextLength = Math.Min(preset.ContextLength, tokenizer.MaxLength),
            EndTokenId = tokenizer.EndId,
        };

        // 2 stands for configs written before the field was right, and would be read as "the largest id".
        if (config.EndTokenId == 2) throw new ToolException("The end token of the tokenizer has id 2, which a CLIP config cannot express; put another token in front of it.");
        Clip model = new(config);
        model.Initialize(device, seed);
        return new DualEncoderFolder(model, tokenizer, ImagePreprocessor.Clip(config.ImageSize), device);
    }
}
