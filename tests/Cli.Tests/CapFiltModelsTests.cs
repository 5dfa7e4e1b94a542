using MiniVlp.Cli.CapFilt;
using MiniVlp.Cli.Training;
using MiniVlp.Data.Scenes;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>The three trainings of CapFilt.</summary>
public sealed class CapFiltModelsTests : IDisposable
{
    private const int Steps = 6, TuningSteps = 4;

    private static readonly SceneDataset Web = new(new SceneDatasetOptions { Count = 24, ImageSize = 32, NoiseRate = 0.4 });
    private static readonly SceneDataset Clean = new(new SceneDatasetOptions { Count = 12, ImageSize = 32, Split = SceneSplit.Validation });

    private readonly TemporaryFolder _folder = new();
    private readonly Device _device = Device.CreateCpu(1);

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    /// <summary>Each training is stopped after its second step and goes on from its folder: the three models are the same to the bit as without a stop.</summary>
    [Fact]
    public void ATrainingThatWasStoppedGoesOn()
    {
        Assert.True(Models().Pretrain(_folder["whole/pretrained"], default));
        Assert.True(Models().TrainCaptioner(_folder["whole/pretrained"], _folder["whole/captioner"], default));
        Assert.True(Models().TrainFilter(_folder["whole/pretrained"], _folder["whole/filter"], default));

        Interrupted((models, token) => models.Pretrain(_folder["parts/pretrained"], token));
        Interrupted((models, token) => models.TrainCaptioner(_folder["parts/pretrained"], _folder["parts/captioner"], token));
        Interrupted((models, token) => models.TrainFilter(_folder["parts/pretrained"], _folder["parts/filter"], token));
        foreach (string stage in (string[])["pretrained", "captioner", "filter"])
            Assert.True(File.ReadAllBytes(_folder[$"whole/{stage}/model.safetensors"]).AsSpan().SequenceEqual(File.ReadAllBytes(_folder[$"parts/{stage}/model.safetensors"])), stage);
    }

    private void Interrupted(Func<BlipCapFiltModels, CancellationToken, bool> train)
    {
        using CancellationTokenSource interrupt = new();
        List<int> first = [], rest = [];
        Assert.False(train(Models(step => { first.Add(step); if (step == 2) interrupt.Cancel(); }), interrupt.Token));
        Assert.True(train(Models(rest.Add), default));
        Assert.Equal([1, 2], first);
        Assert.Equal(3, rest[0]);
    }

    private BlipCapFiltModels Models(Action<int>? stepped = null)
        => new(Web, Clean, new CapFiltTraining { Preset = "tiny", Vocabulary = 300, Steps = Steps, TuningSteps = TuningSteps, BatchSize = 4, Seed = 3 }, new CapFiltOptions(), _device, (_, train) => train(new Steppers(stepped)));

    private sealed class Steppers(Action<int>? stepped) : ITrainingObserver
    {
        public void Stepped(TrainingProgress progress) => stepped?.Invoke(progress.Latest.Step);

        public void Saved(int step)
        {
        }

        public void Warned(TrainingWarning warning)
        {
        }
    }
}
