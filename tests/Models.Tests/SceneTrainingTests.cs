using MiniVlp.Autograd;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>A tiny CLIP learns the built-in world from scratch: pictures, words, model, optimizer, all of it ours.</summary>
[Trait("Kind", "Training")]
public sealed class SceneTrainingTests
{
    private const int Batch = 64, Steps = 450, Size = 32, Context = 24, Gallery = 200;

    [Fact]
    public void ATinyClipFindsUnseenScenesFarMoreOftenThanChance()
    {
        using Device device = Device.CreateCpu();
        SceneDataset scenes = new(new SceneDatasetOptions { World = SceneOptions.Demo, Count = 16384, ImageSize = Size });
        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Gallery, UniqueCaptions = true });
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(Enumerable.Range(0, 1000).Select(scenes.GetCaption), 200));
        ImagePreprocessor preprocessor = ImagePreprocessor.Clip(Size);
        ClipTowerConfig tower = new() { Width = 64, Layers = 2, Heads = 2, HiddenWidth = 256 };
        using Clip clip = new(ClipConfig.Small with
        {
            Vision = tower,
            Text = tower,
            ProjectionSize = 64,
            ImageSize = Size,
            VocabularySize = tokenizer.VocabularySize,
            ContextLength = Context,
            EndTokenId = tokenizer.EndId,
        });
        clip.Initialize(device, seed: 1);
        using Trainer trainer = new(
            clip,
            new AdamW(ParameterGroup.SplitByDecay(clip.NamedParameters(), 0.1), 2e-3),
            new TrainerOptions { Schedule = LearningRateSchedule.Cosine(2e-3, warmUp: 20, total: Steps) });

        (Tensor Images, TextBatch Text) Load(SceneDataset source, int start, int count)
        {
            ImageTextSample[] samples = [.. Enumerable.Range(start, count).Select(i => source.Get(i % source.Count))];
            float[] pixels = [.. samples.SelectMany(sample => preprocessor.Process(sample.Image))];
            (int[] ids, int[] mask) = tokenizer.EncodeBatch([.. samples.Select(sample => sample.Caption)], Context);
            return (
                Tensor.FromArray(pixels, [count, 3, Size, Size], device),
                new TextBatch(IndexTensor.FromArray(ids, [count, Context], device), IndexTensor.FromArray(mask, [count, Context], device)));
        }

        for (int step = 0; step < Steps; step++)
        {
            trainer.TrainStep(() =>
            {
                (Tensor images, TextBatch text) = Load(scenes, step * Batch, Batch);
                return clip.Loss(images, text);
            });
        }

        using TensorScope scope = new();
        (Tensor pictures, TextBatch captions) = Load(unseen, 0, Gallery);
        float[] similarity = clip.EncodeText(captions).MatMul(clip.EncodeImage(pictures), transposeRight: true).ToArray();
        int found = Enumerable.Range(0, Gallery).Count(text => Enumerable.Range(0, Gallery).MaxBy(image => similarity[(text * Gallery) + image]) == text);
        Assert.True(found >= 10, $"{found} of {Gallery} captions found their scene at once; ten times chance is 10");
    }
}
