using MiniVlp.Autograd;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Models.Probes;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>A tiny vision transformer learns to tell scenes apart without a label.</summary>
public sealed class MocoTrainingTests(ITestOutputHelper output)
{
    private const int Size = 32, Batch = 64, Steps = 150, Pictures = 1024, Probed = 400;

    [Fact]
    public void NearestNeighborsOfATrainedEncoderAreMoreAlikeThanThoseOfAnUntrainedOne()
    {
        SceneOptions world = SceneOptions.Demo with { PairWeight = 0, GroupWeight = 0, CrowdWeight = 0 };
        SceneDataset scenes = new(new SceneDatasetOptions { World = world, Count = Pictures, ImageSize = Size });
        SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = Probed });
        RgbImage[] pictures = [.. Enumerable.Range(0, Pictures).Select(i => scenes.Get(i).Image)];
        ContrastiveAugmentation augmentation = new(new RandomResizedCrop(Size) { Scale = (0.4, 1) })
        {
            Jitter = new ColorJitter(0.3, 0.3, 0.3, 0.02),
            Flip = new HorizontalFlip(),
        };
        using Device device = Device.CreateCpu();
        VisionTransformerConfig config = new() { ImageSize = Size, PatchSize = 8, Width = 64, Layers = 2, Heads = 4, HiddenWidth = 128 };
        using Moco<VisionTransformer> moco = new(
            MocoConfig.V2 with { BatchSize = Batch, Negatives = 512, Momentum = 0.99, FeatureSize = 64 }, () => new VisionTransformer(config, pooler: false), device, seed: 1);
        double untrained = Accuracy();
        using Trainer trainer = new(
            moco, new AdamW(ParameterGroup.SplitByDecay(moco.Model.NamedParameters(), 0.05), 2e-3), new TrainerOptions { Schedule = LearningRateSchedule.Cosine(2e-3, 10, Steps) });
        List<float> losses = [];
        for (int step = 0; step < Steps; step++)
        {
            using TensorScope scope = new();
            int first = step * Batch % Pictures, epoch = step * Batch / Pictures;
            (RgbImage First, RgbImage Second)[] views = [.. Enumerable.Range(first, Batch).Select(i => augmentation.Views(pictures[i], 7, epoch, i))];
            losses.Add(trainer.TrainStep(moco, new ImageViews(Images(views.Select(view => view.First)), Images(views.Select(view => view.Second)))).Loss);
        }

        double trained = Accuracy();
        output.WriteLine($"k-NN accuracy of shape and colour: {untrained:P1} before, {trained:P1} after; loss {losses[0]:F2} to {losses[^1]:F2}");
        Assert.True(losses[^1] < losses.Max() / 2);
        Assert.True(trained >= untrained + 0.1, $"the accuracy was {untrained:P1} before the training and {trained:P1} after it");

        Tensor Images(IEnumerable<RgbImage> images)
        {
            float[] pixels = [.. images.SelectMany(ImagePreprocessor.Vit(Size).Process)];
            return Tensor.FromArray(pixels, [pixels.Length / (3 * Size * Size), 3, Size, Size], device);
        }

        // Unseen scenes by the nearest of the training's: the right class is the right shape in the right colour.
        double Accuracy()
        {
            using TensorScope scope = new();
            int colors = Enum.GetValues<SceneColor>().Length, shapes = Enum.GetValues<SceneShape>().Length;
            using NearestNeighborProbe probe = new(moco.Encoder.Backbone.ImageFeatures(Images(pictures)), Labels(scenes, Pictures), colors * shapes, new NearestNeighborOptions { Neighbors = 10 });
            return probe.Accuracy(moco.Encoder.Backbone.ImageFeatures(Images(Enumerable.Range(0, Probed).Select(i => unseen.Get(i).Image))), Labels(unseen, Probed));

            int[] Labels(SceneDataset source, int count)
                => [.. Enumerable.Range(0, count).Select(i => source.SceneAt(i).Objects[0]).Select(o => ((int)o.Color * shapes) + (int)o.Shape)];
        }
    }
}
