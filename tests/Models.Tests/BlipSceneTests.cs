using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models.Generation;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>A tiny BLIP learns the built-in world from scratch.</summary>
[Trait("Kind", "Training")]
public sealed class BlipSceneTests
{
    private const int Batch = 32, Steps = 200, Size = 32, Tokens = 12, Unseen = 64;

    /// <summary>
    /// Two hundred steps lower all three losses, and captions of unseen scenes come out word for word: one object in one of 8 shapes and 8 colours, of
    /// which a guess gets one in 64.
    /// </summary>
    [Fact]
    public void TwoHundredStepsLowerAllThreeLossesAndCaptionUnseenScenes()
    {
        SceneDataset scenes = new(new SceneDatasetOptions { World = SceneOptions.Demo.SingleObjects(), Count = 8192, ImageSize = Size });
        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Unseen });
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(Enumerable.Range(0, 1000).Select(scenes.GetCaption), 100), [.. BlipTextConfig.AddedTokens]);
        ImagePreprocessor preprocessor = ImagePreprocessor.Clip(Size);
        using BlipForPreTraining model = new(BlipConfig.Tiny.WithVocabulary(
            tokenizer.VocabularySize, tokenizer.IdOf("[DEC]")!.Value, tokenizer.IdOf("[ENC]")!.Value, tokenizer.EndId, tokenizer.PadId));
        model.Initialize(Device.Cpu, seed: 1);
        using BlipPretraining objective = new(model, new BlipPretrainingOptions { QueueSize = 256 }) { StepsPerEpoch = 100 };
        using Trainer trainer = new(
            objective,
            new AdamW(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.05), 3e-3),
            new TrainerOptions { Schedule = LearningRateSchedule.Cosine(3e-3, warmUp: 20, total: Steps) });
        Dictionary<string, List<float>> losses = new() { ["itc"] = [], ["itm"] = [], ["lm"] = [] };
        for (int step = 0; step < Steps; step++)
        {
            using TensorScope scope = new();
            StepResult result = trainer.TrainStep(objective, Load(scenes, step * Batch, Batch));
            foreach (LossPartValue part in result.Parts) losses[part.Name].Add(part.Value);
        }

        // The matching loss has to fall below what knowing the prior alone gives.
        string report = string.Join(", ", losses.Select(part => $"{part.Key} {part.Value.Take(10).Average():F3} to {part.Value.TakeLast(10).Average():F3}"));
        Assert.True(Drop("itc") > 1, report);
        Assert.True(losses["itm"].TakeLast(10).Average() < 0.625, report);
        Assert.True(Drop("lm") > 2, report);

        using TensorScope evaluation = new();
        IReadOnlyList<string> captions = model.Captioning.Caption(Load(unseen, 0, Unseen).Images, ids => tokenizer.Decode(ids), new GenerationOptions { MaxNewTokens = Tokens - 1 });
        int exact = Enumerable.Range(0, Unseen).Count(i => captions[i] == unseen.GetCaption(i));
        Assert.True(exact >= 8, $"{exact} of {Unseen} captions were exact; a guess gets 1");

        double Drop(string name) => losses[name].Take(10).Average() - losses[name].TakeLast(10).Average();

        PairBatch Load(SceneDataset source, int start, int count)
        {
            ImageTextSample[] samples = [.. Enumerable.Range(start, count).Select(i => source.Get(i % source.Count))];
            (int[] ids, int[] mask) = tokenizer.EncodeBatch([.. samples.Select(sample => sample.Caption)], Tokens);
            // Scenes that one caption describes count as one picture: none is a negative of another.
            int[] pictures = [.. samples.Select(sample => tokenizer.Encode(sample.Caption, Tokens).Aggregate(0, (hash, id) => (hash * 31) + id) & int.MaxValue)];
            return new PairBatch(
                Tensor.FromArray([.. samples.SelectMany(sample => preprocessor.Process(sample.Image))], [count, 3, Size, Size]),
                new TextBatch(IndexTensor.FromArray(ids, [count, Tokens]), IndexTensor.FromArray(mask, [count, Tokens])),
                IndexTensor.FromArray(pictures, [count]));
        }
    }
}
