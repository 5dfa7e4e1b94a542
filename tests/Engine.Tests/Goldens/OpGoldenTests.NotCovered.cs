using Xunit;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    private const string WithResNet = "convolution, pooling and BatchNorm come with ResNet";
    private const string Optimizers = "checked by OptimizerGoldenTests";
    private const string Pretraining = "checked by PretrainingGoldenTests";
    private const string Images = "a picture operation, checked by Data.Tests";

    /// <summary>Operators or cases without a handler here, and why.</summary>
    private static readonly Dictionary<string, string> NotCovered = new(StringComparer.Ordinal)
    {
        ["conv2d.general"] = WithResNet,
        ["conv2d.groups"] = WithResNet,
        ["conv2d.depthwise"] = WithResNet,
        ["conv2d.dilated"] = WithResNet,
        ["conv2d.stem"] = WithResNet,
        ["conv_transpose2d"] = WithResNet,
        ["batch_norm"] = WithResNet,
        ["max_pool2d"] = WithResNet,
        ["avg_pool2d"] = WithResNet,
        ["adaptive_avg_pool2d"] = WithResNet,
        ["t5_relative_position_bucket"] = "integer arithmetic on positions comes with T5",
        ["attention"] = "checked by AttentionGoldenTests, forward and backward with each mask",
        ["sgd"] = Optimizers,
        ["adam"] = Optimizers,
        ["adamw"] = Optimizers,
        ["training_loop"] = Optimizers,
        ["lr_schedule"] = Optimizers,
        ["clip_grad_norm"] = Optimizers,
        ["ema_update"] = Pretraining,
        ["moco"] = Pretraining,
        ["pil_resize"] = Images,
        ["pil_resize_box"] = Images,
        ["pil_convert_grey"] = Images,
        ["clip_preprocess"] = Images,
        ["blip_preprocess"] = Images,
        ["vit_preprocess"] = Images,
    };

    [Fact]
    public void Every_golden_is_computed_or_listed_with_a_reason()
    {
        foreach (string name in OpGolden.Names)
        {
            bool isListed = NotCovered.ContainsKey(name) || NotCovered.ContainsKey(OpGolden.OpOf(name));
            Assert.True(FindHandler(name) is not null || isListed, $"{name} is neither computed nor listed as not covered.");
            Assert.False(FindHandler(name) is not null && isListed, $"{name} is computed but still listed as not covered.");
        }

        HashSet<string> known = [.. OpGolden.Names, .. OpGolden.Names.Select(OpGolden.OpOf)];
        Assert.All(Handlers.Keys.Concat(NotCovered.Keys), key => Assert.Contains(key, known));
    }
}
