using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>What pre-training remembers between batches, on each GPU as on the CPU: the same places, ids and choices, and nothing left rented.</summary>
public sealed class GpuPretrainingTests
{
    public static TheoryData<string> Devices => GpuDevices.All;

    [Theory]
    [MemberData(nameof(Devices))]
    public void A_queue_wraps_and_a_bank_moves_as_on_the_CPU(string deviceName)
    {
        Device device = GpuDevices.Require(deviceName);
        int rented = device.Backend.RentedCount;
        (float[] queue, int[] ids, float[] bank) = Run(device);
        (float[] expectedQueue, int[] expectedIds, float[] expectedBank) = Run(Device.Cpu);
        Assert.Equal(expectedIds, ids);
        for (int i = 0; i < queue.Length; i++) Assert.Equal(expectedQueue[i], queue[i], 1e-5f);
        for (int i = 0; i < bank.Length; i++) Assert.Equal(expectedBank[i], bank[i], 1e-5f);
        Assert.Equal(rented, device.Backend.RentedCount);

        static (float[] Queue, int[] Ids, float[] Bank) Run(Device device)
        {
            using FeatureQueue queue = new(5, 3, device, seed: 1);
            using MemoryBank bank = new(5, 3, device, seed: 2);
            for (int i = 0; i < 3; i++)
            {
                using TensorScope scope = new();
                Tensor features = Tensor.FromArray([1 + i, 2, 3, -1, 0.5f * i, 2], [2, 3], device).L2Normalize();
                queue.Enqueue(features, i == 1 ? null : IndexTensor.FromArray([10 + i, 20 + i], [2], device));
                bank.Update(features, IndexTensor.FromArray([i, 4], [2], device));
            }

            return (queue.Features.ToArray(), queue.Ids.ToArray(), bank.Features.ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void Momentum_contrast_has_the_gradient_of_the_CPU(string deviceName)
    {
        Device device = GpuDevices.Require(deviceName);
        int rented = device.Backend.RentedCount;
        (float loss, float[] gradient, float[] key) = Run(device);
        (float expectedLoss, float[] expectedGradient, float[] expectedKey) = Run(Device.Cpu);
        Assert.Equal(expectedLoss, loss, 1e-4f);
        for (int i = 0; i < gradient.Length; i++) Assert.Equal(expectedGradient[i], gradient[i], 1e-4f);
        for (int i = 0; i < key.Length; i++) Assert.Equal(expectedKey[i], key[i], 1e-5f);
        Assert.Equal(rented, device.Backend.RentedCount);

        static (float Loss, float[] Gradient, float[] Key) Run(Device device)
        {
            using Linear online = new(4, 3, bias: false, initializer: Initializers.Normal(0.5f)), copy = new(4, 3, bias: false);
            online.Initialize(device, 1);
            MomentumEncoder momentum = new(online, copy, MomentumSchedule.Constant(0.75));
            using FeatureQueue queue = new(4, 3, device);
            online.Weight.Assign([.. Enumerable.Range(0, 12).Select(i => MathF.Sin(i))], device);
            momentum.Update();
            using Tape tape = Tape.Record();
            Tensor x = Tensor.FromArray([.. Enumerable.Range(0, 8).Select(i => MathF.Cos(i))], [2, 4], device), scale = Tensor.FromScalar(5, device), k;
            using (Tape.NoGradient()) k = copy.Forward(x).L2Normalize();
            Tensor loss = online.Forward(x).L2Normalize().SoftmaxContrastive(
                k, scale, new() { Direction = ContrastiveDirection.ImageToText, TextQueue = queue.Features, InBatchNegatives = false });
            tape.Backward(loss);
            queue.Enqueue(k);
            return (loss.Item(), online.Weight.Gradient!.ToArray(), copy.Weight.Value.ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void Negatives_and_masks_are_those_of_the_CPU_and_lie_on_the_device(string deviceName)
    {
        Device device = GpuDevices.Require(deviceName);
        int rented = device.Backend.RentedCount;
        using (TensorScope scope = new())
        {
            Assert.Equal(Run(Device.Cpu), Run(device));
        }

        Assert.Equal(rented, device.Backend.RentedCount);

        static int[] Run(Device device)
        {
            Tensor similarities = Tensor.FromArray([5, 1, 0, 2, 5, 1, 0, 3, 5], [3, 3], device);
            IndexTensor negatives = new HardNegativeSampler().Sample(similarities, IndexTensor.FromArray([1, 2, 1], [3], device), generator: new Generator(3));
            ConditionalMasking masking = new(new TokenMasking { MaskId = 1, VocabularySize = 9, Rate = 0.5 }, new PatchMasking(3, 3, 4));
            ConditionallyMasked masked = masking.Apply(IndexTensor.FromArray([2, 3, 4, 5, 6, 7, 8, 2], [4, 2], device), new Generator(4));
            Assert.All([negatives, masked.Text.Ids, masked.Text.Labels, masked.Patches], indices => Assert.Same(device, indices.Device));
            return [.. negatives.ToArray(), .. masked.Text.Ids.ToArray(), .. masked.Text.Labels.ToArray(), .. masked.Patches.ToArray()];
        }
    }
}
