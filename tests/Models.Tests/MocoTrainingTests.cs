using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Models.Probes;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>
/// A tiny vision transformer learns to tell scenes apart without a label. What it learns first is colour, which tells most pairs of scenes apart and
/// which the crops leave alone; shape stays behind, as easy features suppress others in contrastive learning (Chen et al., arXiv:2011.02803).
/// </summary>
[Trait("Kind", "Training")]
public sealed class MocoTrainingTests(ITestOutputHelper output)
{
    private const int Size = 32, Batch = 64, Steps = 120, Pictures = 1024, Gallery = 256, Probed = 400;

    [Fact]
    public void NearestNeighborsOfATrainedEncoderShareTheColorFarMoreOftenThanThoseOfAnUntrainedOne()
    {
        SceneOptions world = SceneOptions.Demo with { PairWeight = 0, GroupWeight = 0, CrowdWeight = 0 };
        SceneDataset scenes = new(new SceneDatasetOptions { World = world, Count = Pictures, ImageSize = Size });
        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Probed });
        RgbImage[] pictures = [.. Enumerable.Range(0, Pictures).Select(i => scenes.Get(i).Image)];
        ContrastiveAugmentation augmentation = new(new RandomResizedCrop(Size) { Scale = (0.5, 1) })
        {
            Jitter = new ColorJitter(0.2, 0.2, 0.2, 0.01),
            Flip = new HorizontalFlip(),
        };
        using Device device = Device.CreateCpu();
        VisionTransformerConfig config = new() { ImageSize = Size, PatchSize = 8, Width = 64, Layers = 2, Heads = 4, HiddenWidth = 128 };
        using Moco<VisionTransformer> moco = new(
            MocoConfig.V2 with { BatchSize = Batch, Negatives = 512, Momentum = 0.99, FeatureSize = 64, Temperature = 0.1f }, () => new VisionTransformer(config, pooler: false), device, seed: 1);
        double untrained = Accuracy();
        using Trainer trainer = new(
            moco, new AdamW(ParameterGroup.SplitByDecay(moco.Model.NamedParameters(), 0.05), 1e-3), new TrainerOptions { Schedule = LearningRateSchedule.Cosine(1e-3, 10, Steps) });
        List<float> losses = [];
        for (int step = 0; step < Steps; step++)
        {
            using TensorScope scope = new();
            int first = step * Batch % Pictures, epoch = step * Batch / Pictures;
            (RgbImage First, RgbImage Second)[] views = [.. Enumerable.Range(first, Batch).Select(i => augmentation.Views(pictures[i], 7, epoch, i))];
            losses.Add(trainer.TrainStep(moco, new ImageViews(Images(views.Select(view => view.First)), Images(views.Select(view => view.Second)))).Loss);
        }

        double trained = Accuracy();
        output.WriteLine($"k-NN accuracy of the colour: {untrained:P1} before, {trained:P1} after; loss {losses[0]:F2} to {losses[^1]:F2}");

        // At first all features are alike, so that the right key is far ahead of the random ones in the queue; then the queue is full of real ones.
        Assert.True(losses[^1] < Math.Log(513) - 0.75, $"the loss ended at {losses[^1]:F2}");
        Assert.True(trained >= untrained + 0.15, $"the accuracy was {untrained:P1} before the training and {trained:P1} after it");

        Tensor Images(IEnumerable<RgbImage> images)
        {
            float[] pixels = [.. images.SelectMany(ImagePreprocessor.Vit(Size).Process)];
            return Tensor.FromArray(pixels, [pixels.Length / (3 * Size * Size), 3, Size, Size], device);
        }

        double Accuracy()
        {
            using TensorScope scope = new();
            using NearestNeighborProbe probe = new(
                moco.Encoder.Backbone.ImageFeatures(Images(pictures.Take(Gallery))), Labels(scenes, Gallery), Enum.GetValues<SceneColor>().Length, new NearestNeighborOptions { Neighbors = 5 });
            return probe.Accuracy(moco.Encoder.Backbone.ImageFeatures(Images(Enumerable.Range(0, Probed).Select(i => unseen.Get(i).Image))), Labels(unseen, Probed));
        }

        static int[] Labels(SceneDataset source, int count) => [.. Enumerable.Range(0, count).Select(i => (int)source.SceneAt(i).Objects[0].Color)];
    }
}
