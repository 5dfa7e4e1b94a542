using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.Goldens;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Engine.Tests.Optimizers;
using MiniVlp.Kernels;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>Moving average, queue and momentum contrast against what PyTorch computed.</summary>
[Collection("op table")]
public sealed class PretrainingGoldenTests
{
    private static Device TestDevice => TestDevices.Get(CpuBackend.WidestTier, 2);

    [Fact]
    public void Exponential_moving_average()
    {
        OpGolden golden = new("ema", TestDevice);
        (Shape shape, float[] online) = golden.Floats("inputs", "online");
        using ParameterBag model = new(golden.Device, ("p", shape, online)), copy = new(golden.Device, ("p", shape, online));
        MomentumEncoder average = new(model, copy, MomentumSchedule.Constant(golden.Argument("momentum").GetDouble()));
        copy["p"].Assign(golden.Floats("inputs", "target").Values, golden.Device);
        average.Update();
        golden.Expect("y", copy["p"].Value);
        Assert.False(copy["p"].Value.NeedsGradient);
        Assert.Equal(online, model["p"].Value.ToArray());
    }

    [Fact]
    public void Three_steps_of_momentum_contrast()
    {
        OpGolden golden = new("moco", TestDevice);
        double temperature = golden.Argument("temperature").GetDouble();
        using ParameterBag query = ParameterBag.From(golden, "start.query_", "weight"), key = ParameterBag.From(golden, "start.key_", "weight");
        float[] keyStart = key["weight"].Value.ToArray();
        MomentumEncoder momentum = new(query, key, MomentumSchedule.Constant(golden.Argument("momentum").GetDouble()));
        key["weight"].Assign(keyStart, golden.Device);
        using Sgd optimizer = new([new ParameterGroup(query.NamedParameters())], golden.Argument("learning_rate").GetDouble());
        (Shape queueShape, float[] columns) = golden.Floats("inputs", "start.queue");
        (int width, int length) = (queueShape[0], queueShape[1]);
        using FeatureQueue queue = new(length, width, golden.Device);
        queue.Features.CopyFrom([.. Enumerable.Range(0, length * width).Select(i => columns[(i % width * length) + (i / width)])]);
        queue.RestoreCounters(new JsonObject { ["position"] = golden.Integers("inputs", "start.pointer").Values[0], ["filled"] = length });
        for (int step = 1; step <= 3; step++)
        {
            momentum.Update();
            golden.Expect($"step{step}.key_weight", key["weight"].Value);
            using Tape tape = Tape.Record();
            Tensor scale = Tensor.FromScalar((float)(1 / temperature), golden.Device);
            Tensor q = golden[$"step{step}.x_query"].Linear(query["weight"]).L2Normalize(), k = golden[$"step{step}.x_key"].Linear(key["weight"]).L2Normalize();
            Tensor loss = q.SoftmaxContrastive(k, scale, new()
            {
                Direction = ContrastiveDirection.ImageToText,
                TextQueue = queue.Features,
                InBatchNegatives = false,
            });
            golden.Expect($"step{step}.loss", loss);
            tape.Backward(loss);
            golden.Expect($"step{step}.query_grad", query["weight"].Gradient!);
            optimizer.Step();
            optimizer.ClearGradients();
            golden.Expect($"step{step}.query_weight", query["weight"].Value);

            queue.Enqueue(k);
            golden.Expect($"step{step}.queue", queue.Features.Transpose());
            golden.Expect($"step{step}.pointer", [queue.Position]);
        }
    }
}
