using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>
/// Has the kernels of a forward pass compiled beside the loading of weights: a model with two small towers runs once, on a thread of its own. Kernels
/// are generic over the vector type and compiled when they first run; nothing but time depends on this.
/// </summary>
internal static class KernelWarmup
{
    private static int _isStarted;

    /// <summary>Starts it, once in a process and only where there is a second processor.</summary>
    /// <param name="weights">How the model's weights will be packed; null: not at all.</param>
    public static void Start(WeightFormat? weights)
    {
        if (Environment.ProcessorCount > 1 && Interlocked.Exchange(ref _isStarted, 1) == 0) _ = Task.Run(() => Run(weights));
    }

    private static void Run(WeightFormat? weights)
    {
        ClipTowerConfig tower = new() { Width = 64, Layers = 1, Heads = 1, HiddenWidth = 256 };
        ClipConfig config = ClipConfig.Small with { Vision = tower, Text = tower, ProjectionSize = 64, ImageSize = 64, PatchSize = 16, ContextLength = 16, VocabularySize = 64, EndTokenId = 0 };
        using Device device = Device.CreateCpu(threads: 1);
        using Clip model = new(config);
        model.Initialize(device);
        if (weights is { } format) model.PackWeights(format);
        using TensorScope scope = new();
        model.EncodeText(new TextBatch(IndexTensor.FromArray(new int[16], [1, 16], device), null));
        model.EncodeImage(Tensor.Zeros([1, 3, 64, 64], device));
    }
}
