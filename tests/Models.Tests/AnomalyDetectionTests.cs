using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>A number that is not finite is traced to the operation and the module that made it.</summary>
[Collection(AloneInTheProcess.Name)]
public sealed class AnomalyDetectionTests
{
    [Fact]
    public void TheOperationAndTheModuleAreNamed()
    {
        using Device device = Device.CreateCpu(1);
        using VisionTransformer model = Model(device);
        Spoil(model, "encoder.layer.1.intermediate.dense.weight", float.NaN);
        NotFiniteNumberException exception = Step(model, device, checkpoint: false);
        AnomalyException anomaly = Assert.IsType<AnomalyException>(exception.InnerException);
        Assert.StartsWith("encoder.layer.1.intermediate.dense", anomaly.Place, StringComparison.Ordinal);
        Assert.False(anomaly.IsBackward);
        foreach (string expected in (string[])["Step 1", anomaly.Operation, "encoder.layer.1.intermediate.dense.weight", "1 NaN"])
            Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnOverflowIsFoundWhereItHappensAlsoInsideACheckpoint()
    {
        foreach (bool checkpoint in (bool[])[false, true])
        {
            using Device device = Device.CreateCpu(1);
            using VisionTransformer model = Model(device);
            Spoil(model, "encoder.layer.0.output.dense.weight", 1e38f);
            Spoil(model, "encoder.layer.0.intermediate.dense.bias", 1e30f);
            AnomalyException anomaly = Assert.IsType<AnomalyException>(Step(model, device, checkpoint).InnerException);
            Assert.StartsWith("encoder.layer.0.output.dense", anomaly.Place, StringComparison.Ordinal);
            Assert.Contains("infinite", anomaly.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>√0 is 0, and its derivative is infinite: only the backward pass goes wrong.</summary>
    [Fact]
    public void AGradientThatIsNotFiniteIsTheBackwardPassOfItsOperation()
    {
        using Device device = Device.CreateCpu(1);
        using VisionTransformer model = Model(device);
        using Trainer trainer = TrainerOf(model);
        NotFiniteNumberException exception = Assert.Throws<NotFiniteNumberException>(() => trainer.TrainStep(() => (model.Forward(Tensor.Zeros([1, 3, 8, 8], device)) * 0f).Square().Sqrt().Sum()));
        AnomalyException anomaly = Assert.IsType<AnomalyException>(exception.InnerException);
        Assert.Equal(("Sqrt", true), (anomaly.Operation, anomaly.IsBackward));
        Assert.StartsWith("layernorm", anomaly.Place, StringComparison.Ordinal);
    }

    /// <summary>The logarithm of zero is let pass as a mask would be; when it has become a loss, the logarithm is named and not the sum.</summary>
    [Fact]
    public void NegativeInfinityIsTracedBackToItsOrigin()
    {
        using Device device = Device.CreateCpu(1);
        Tensor x = Tensor.FromArray([1f, 0f, 2f], [3], device);
        x.NeedsGradient = true;
        using AnomalyDetection detection = AnomalyDetection.Watch([("probabilities", x)]);
        using Tape tape = Tape.Record();
        Tensor logarithm = x.Log();
        AnomalyException anomaly = Assert.Throws<AnomalyException>(() => (logarithm * -0.5f).Sum());
        Assert.Equal(("Log", "probabilities", false), (anomaly.Operation, anomaly.Place, anomaly.IsBackward));
        Assert.Contains("[0, 2]", anomaly.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnInputThatIsNotFiniteIsSaidToBeOne()
    {
        using Device device = Device.CreateCpu(1);
        using VisionTransformer model = Model(device);
        using Trainer trainer = TrainerOf(model);
        NotFiniteNumberException exception = Assert.Throws<NotFiniteNumberException>(
            () => trainer.TrainStep(() => model.Forward(Tensor.Full([1, 3, 8, 8], float.PositiveInfinity, device)).Sum()));
        Assert.Contains("(an input) [1, 3, 8, 8] with 192 infinite", exception.Message, StringComparison.Ordinal);
    }

    /// <summary>A loss that cannot be computed twice keeps its own message, and a second pass never changes the weights.</summary>
    [Fact]
    public void ASecondPassThatFailsOrSucceedsChangesNothing()
    {
        using Device device = Device.CreateCpu(1);
        using VisionTransformer model = Model(device);
        using Trainer trainer = TrainerOf(model);
        Tensor Loss(float factor) => model.Forward(Tensor.Full([1, 3, 8, 8], 0.5f, device)).Square().Mean() * factor;
        float[] before = model.NamedParameters().First().Parameter.Value.ToArray();
        int calls = 0;
        NotFiniteNumberException once = Assert.Throws<NotFiniteNumberException>(() => trainer.TrainStep(() => calls++ == 0 ? Loss(float.NaN) : throw new InvalidOperationException("No more data.")));
        Assert.Contains("Step 1", once.Message, StringComparison.Ordinal);
        calls = 0;
        Assert.Throws<NotFiniteNumberException>(() => trainer.TrainStep(() => Loss(calls++ == 0 ? float.NaN : 1)));
        Assert.Equal(2, calls);
        Assert.Equal(before, model.NamedParameters().First().Parameter.Value.ToArray());
        Assert.Equal(0, trainer.Step);
        Assert.Equal(1, trainer.TrainStep(() => Loss(1)).Step);
    }

    private static VisionTransformer Model(Device device)
    {
        VisionTransformer model = new(new VisionTransformerConfig { ImageSize = 8, PatchSize = 4, Width = 16, Layers = 2, Heads = 2, HiddenWidth = 32 });
        model.Initialize(device, 1);
        model.Train();
        return model;
    }

    private static Trainer TrainerOf(VisionTransformer model)
        => new(model, new Sgd([new ParameterGroup(model.NamedParameters())], 0.1), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0.1) });

    private static void Spoil(VisionTransformer model, string name, float value)
    {
        Parameter parameter = model.NamedParameters().Single(named => named.Name == name).Parameter;
        float[] values = parameter.Value.ToArray();
        values[3] = value;
        parameter.Assign(values, parameter.Value.Device);
    }

    private static NotFiniteNumberException Step(VisionTransformer model, Device device, bool checkpoint)
    {
        model.Encoder.CheckpointGradients = checkpoint;
        using Trainer trainer = TrainerOf(model);
        return Assert.Throws<NotFiniteNumberException>(() => trainer.TrainStep(() => model.Forward(Tensor.Full([1, 3, 8, 8], 0.5f, device)).Square().Mean()));
    }
}
