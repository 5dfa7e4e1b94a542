using System.Text.Json.Nodes;
using MiniVlp.Bench.Gpu;
using MiniVlp.PtxSim.Driver;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>The process behind bench/gpu/run with <c>--device cuda</c>, on the stand-in driver: every kind of kernel workload, in bfloat16 where it has tensor cores.</summary>
[Collection(nameof(StandInDriver))]
public sealed class BenchWorkerTests
{
    [Theory]
    [InlineData("{\"kind\":\"copy\",\"elements\":100}")]
    [InlineData("{\"kind\":\"gemm\",\"precision\":\"bf16\",\"m\":64,\"n\":64,\"k\":64}")]
    [InlineData("{\"kind\":\"gemm\",\"precision\":\"bf16\",\"m\":64,\"n\":64,\"k\":64,\"mma\":true}")]
    [InlineData("{\"kind\":\"gemm\",\"precision\":\"tf32\",\"m\":64,\"n\":64,\"k\":32}")]
    [InlineData("{\"kind\":\"attention\",\"precision\":\"bf16\",\"batch\":1,\"heads\":1,\"tokens\":20,\"headSize\":64,\"causal\":true}")]
    [InlineData("{\"kind\":\"attention\",\"precision\":\"bf16\",\"batch\":1,\"heads\":1,\"tokens\":20,\"headSize\":64,\"stays\":true}")]
    [InlineData("{\"kind\":\"attention_backward\",\"precision\":\"bf16\",\"batch\":1,\"heads\":1,\"tokens\":20,\"headSize\":64}")]
    [InlineData("{\"kind\":\"gemm\",\"precision\":\"bf16\",\"m\":64,\"n\":64,\"k\":64,\"graph\":true}")]
    [InlineData("{\"kind\":\"layernorm\",\"rows\":3,\"columns\":64}")]
    [InlineData("{\"kind\":\"layernorm_backward\",\"rows\":3,\"columns\":64}")]
    [InlineData("{\"kind\":\"softmax\",\"rows\":3,\"columns\":64}")]
    [InlineData("{\"kind\":\"adamw\",\"elements\":256}")]
    [InlineData("{\"kind\":\"contrastive\",\"precision\":\"bf16\",\"batch\":16,\"columns\":16}")]
    public void A_workload_is_prepared_timed_and_released_on_cuda(string workload)
    {
        (Device? device, string reason) = SimulatedDevice.Instance;
        Assert.SkipWhen(device is null, reason);
        using Worker worker = new(device!);
        Assert.Null(worker.Answer($"{{\"do\":\"prepare\",\"batchSeconds\":0.001,\"workload\":{workload}}}")["error"]);
        Assert.InRange(worker.Answer("{\"do\":\"time\"}")["milliseconds"]!.GetValue<double>(), 1e-6, 1e7);
        JsonObject released = worker.Answer("{\"do\":\"release\"}");
        Assert.Null(released["error"]);
        Assert.True(released["peakBytes"]!.GetValue<long>() > 0);

        // The device is shared with other tests, which expect float32.
        worker.Answer("{\"do\":\"prepare\",\"workload\":{\"kind\":\"copy\",\"elements\":1}}");
    }
}
