using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.Goldens;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Optimizers;

/// <summary>Optimizers, schedules, and clipping against what PyTorch computed.</summary>
[Collection("op table")]
public sealed class OptimizerGoldenTests
{
    private static readonly string[] Names = ["weight", "bias", "scale"];

    private static Device TestDevice => TestDevices.Get(CpuBackend.WidestTier, 2);

    [Theory]
    [InlineData("optim.sgd")]
    [InlineData("optim.sgd_momentum")]
    [InlineData("optim.sgd_nesterov")]
    [InlineData("optim.adam")]
    [InlineData("optim.adamw")]
    [InlineData("optim.adamw_betas")]
    public void Five_steps_from_given_gradients(string name)
    {
        OpGolden golden = new(name, TestDevice);
        using ParameterBag model = ParameterBag.From(golden, "start.", Names);
        double decay = golden.HasArgument("weight_decay") ? golden.Argument("weight_decay").GetDouble() : 0;
        using Optimizer optimizer = Create(golden, ParameterGroup.SplitByDecay(model.NamedParameters(), decay));
        float[] rates = golden.Floats("inputs", "lr").Values;
        for (int step = 1; step <= rates.Length; step++)
        {
            SetGradients(golden, model, $"grad{step}.");
            optimizer.LearningRate = rates[step - 1];
            optimizer.Step();
            optimizer.ClearGradients();
            foreach (string parameter in Names) golden.Expect($"step{step}.{parameter}", model[parameter].Value);
        }

        // The golden has no entry for the number of steps.
        foreach ((string state, Tensor value) in optimizer.State.Where(s => !s.Name.StartsWith("step.", StringComparison.Ordinal)))
            golden.Expect("state." + state, value);
        Assert.All(optimizer.State.Where(s => s.Name.StartsWith("step.", StringComparison.Ordinal)), s => Assert.Equal(rates.Length, s.Value.Item()));
    }

    [Fact]
    public void A_whole_training_loop()
    {
        OpGolden golden = new("optim.training", TestDevice);
        using ParameterBag model = ParameterBag.From(golden, "start.", "w1", "b1", "w2", "b2");
        using AdamW optimizer = new(ParameterGroup.SplitByDecay(model.NamedParameters(), 0.1), 0);
        Tensor x = golden["x"];
        IndexTensor target = golden.Indices("target");
        List<float> losses = [], norms = [];
        foreach (float rate in golden.Floats("inputs", "lr").Values)
        {
            using Tape tape = Tape.Record();
            Tensor hidden = x.Linear(model["w1"], model["b1"]).Gelu();
            Tensor loss = hidden.Linear(model["w2"], model["b2"]).CrossEntropy(target, labelSmoothing: golden.Float("label_smoothing"));
            losses.Add(loss.Item());
            tape.Backward(loss);
            norms.Add((float)optimizer.ClipByGlobalNorm(golden.Argument("max_norm").GetDouble()));
            optimizer.LearningRate = rate;
            optimizer.Step();
            optimizer.ClearGradients();
        }

        golden.Expect("losses", losses.ToArray());
        golden.Expect("grad_norms", norms.ToArray());
        foreach (string name in new[] { "w1", "b1", "w2", "b2" }) golden.Expect("final." + name, model[name].Value);
    }

    [Theory]
    [InlineData("clip_grad_norm.clipped")]
    [InlineData("clip_grad_norm.untouched")]
    public void Clipping_by_the_global_norm(string name)
    {
        OpGolden golden = new(name, TestDevice);
        using ParameterBag model = ParameterBag.From(golden, string.Empty, "a", "b", "c");
        SetGradients(golden, model, string.Empty);
        double norm = GradientClipping.ClipByGlobalNorm(model.NamedParameters().Select(p => p.Parameter), golden.Argument("max_norm").GetDouble());
        golden.Expect("norm", [(float)norm]);
        foreach ((string parameter, Parameter value) in model.NamedParameters()) golden.Expect(parameter, value.Gradient!);
    }

    [Theory]
    [InlineData("lr.warmup_cosine")]
    [InlineData("lr.warmup_linear")]
    public void Schedules(string name)
    {
        OpGolden golden = new(name, TestDevice);
        (double peak, int warmUp, int total) = (golden.Argument("base").GetDouble(), golden.Int("warmup"), golden.Int("total"));
        LearningRateSchedule schedule = name.EndsWith("cosine", StringComparison.Ordinal)
            ? LearningRateSchedule.Cosine(peak, warmUp, total)
            : LearningRateSchedule.Linear(peak, warmUp, total);
        golden.Expect("lr", [.. Enumerable.Range(0, total).Select(step => (float)schedule.At(step))]);
    }

    private static Optimizer Create(OpGolden golden, IReadOnlyList<ParameterGroup> groups)
    {
        double Argument(string name, double otherwise) => golden.HasArgument(name) ? golden.Argument(name).GetDouble() : otherwise;
        if (golden.Op == "sgd") return new Sgd(groups, 0, Argument("momentum", 0), golden.HasArgument("nesterov"));
        (double beta1, double beta2) = (golden.Argument("betas")[0].GetDouble(), golden.Argument("betas")[1].GetDouble());
        return golden.Op == "adam"
            ? new Adam(groups, 0) { Beta1 = beta1, Beta2 = beta2, Epsilon = Argument("eps", 0) }
            : new AdamW(groups, 0) { Beta1 = beta1, Beta2 = beta2, Epsilon = Argument("eps", 0) };
    }

    /// <summary>The loss Σ parameter · g has the gradient g.</summary>
    private static void SetGradients(OpGolden golden, ParameterBag model, string prefix)
    {
        using Tape tape = Tape.Record();
        Tensor? loss = null;
        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            (Shape shape, float[] values) = golden.Floats("inputs", prefix + name);
            Tensor term = (parameter.Value * Tensor.FromArray(values, shape, golden.Device)).Sum();
            loss = loss is null ? term : loss + term;
        }

        tape.Backward(loss!);
    }
}
