using System.Text.Json.Nodes;
using MiniVlp.Bench.Gpu;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests.Bench;

/// <summary>The process that bench/gpu/run talks to, on the CPU: every kind of workload runs, gives its memory back, and an error is an answer.</summary>
public sealed class WorkerTests
{
    [Theory]
    [InlineData("{\"kind\":\"copy\",\"elements\":100}")]
    [InlineData("{\"kind\":\"gemm\",\"m\":9,\"n\":7,\"k\":5}")]
    [InlineData("{\"kind\":\"attention\",\"batch\":2,\"heads\":2,\"tokens\":9,\"headSize\":8,\"causal\":true}")]
    [InlineData("{\"kind\":\"attention_backward\",\"batch\":2,\"heads\":2,\"tokens\":9,\"headSize\":8}")]
    [InlineData("{\"kind\":\"layernorm\",\"rows\":3,\"columns\":5}")]
    [InlineData("{\"kind\":\"layernorm_backward\",\"rows\":3,\"columns\":5}")]
    [InlineData("{\"kind\":\"softmax\",\"rows\":3,\"columns\":5}")]
    [InlineData("{\"kind\":\"adamw\",\"elements\":100}")]
    [InlineData("{\"kind\":\"contrastive\",\"batch\":6,\"columns\":8}")]
    [InlineData("{\"kind\":\"clip_infer\",\"batch\":1,\"model\":\"small\"}")]
    [InlineData("{\"kind\":\"clip_train\",\"batch\":2,\"model\":\"small\"}")]
    [InlineData("{\"kind\":\"clip_trainer\",\"batch\":2,\"model\":\"small\",\"graph\":true}")]
    public void A_workload_is_prepared_timed_and_released(string workload)
    {
        using Device device = Device.CreateCpu(threads: 1);
        using Worker worker = new(device);
        JsonObject prepared = worker.Answer($"{{\"do\":\"prepare\",\"batchSeconds\":0.001,\"workload\":{workload}}}");
        Assert.Null(prepared["error"]);
        Assert.InRange(worker.Answer("{\"do\":\"time\"}")["milliseconds"]!.GetValue<double>(), 1e-6, 1e6);
        Assert.Null(worker.Answer("{\"do\":\"release\"}")["error"]);
        Assert.Equal(0, device.Backend.RentedCount);
    }

    [Theory]
    [InlineData("{\"do\":\"prepare\",\"workload\":{\"kind\":\"juggling\"}}", "juggling")]
    [InlineData("{\"do\":\"prepare\",\"workload\":{\"kind\":\"gemm\",\"precision\":\"int4\"}}", "int4")]
    [InlineData("{\"do\":\"prepare\",\"workload\":{\"kind\":\"clip_infer\",\"model\":\"huge\"}}", "huge")]
    [InlineData("{\"do\":\"time\"}", "No workload is prepared")]
    [InlineData("{\"do\":\"dance\"}", "dance")]
    [InlineData("{}", "what to do")]
    [InlineData("not json", "Json")]
    public void What_cannot_be_done_is_answered_by_an_error_and_the_worker_goes_on(string request, string expected)
    {
        using Device device = Device.CreateCpu(threads: 1);
        using Worker worker = new(device);
        Assert.Contains(expected, worker.Answer(request)["error"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Null(worker.Answer("{\"do\":\"info\"}")["error"]);
    }

    [Fact]
    public void Requests_and_answers_are_lines()
    {
        using Device device = Device.CreateCpu(threads: 1);
        using Worker worker = new(device);
        using StringWriter output = new();
        worker.Serve(new StringReader("{\"do\":\"info\"}\n{\"do\":\"release\"}\n"), output);
        Assert.Equal(2, output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }
}
