using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Pieces of a contrastive batch of which not every part needs a gradient.</summary>
public sealed class ContrastiveAccumulationTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ATowerThatTheLossOrTheTrainingLeavesOutIsLeftOut(bool lossReadsImages)
    {
        using Linear images = new(3, 4), texts = new(3, 4);
        images.Initialize(Device.Cpu, 1);
        texts.Initialize(Device.Cpu, 2);
        images.SetTrainable(!lossReadsImages);
        float[] values = [.. Enumerable.Range(0, 12).Select(i => MathF.Sin(i))];
        using Tensor input = Tensor.FromArray(values, [4, 3]), scale = Tensor.FromScalar(2f);

        using (Tape tape = Tape.Record()) tape.Backward(Loss(images.Forward(input), texts.Forward(input)));
        float[] whole = texts.Weight.Gradient!.ToArray();
        texts.ClearGradients();
        new ContrastiveAccumulation(2, piece => (images.Forward(input.Slice(2 * piece, 2)), texts.Forward(input.Slice(2 * piece, 2))), Loss).AccumulateGradients();
        float[] pieces = texts.Weight.Gradient!.ToArray();
        for (int i = 0; i < whole.Length; i++) Assert.Equal(whole[i], pieces[i], 1e-5f);
        Assert.Null(images.Weight.Gradient);

        Tensor Loss(Tensor image, Tensor text) => lossReadsImages ? image.SoftmaxContrastive(text, scale) : text.SoftmaxContrastive(text, scale);
    }
}
