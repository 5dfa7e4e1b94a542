using System.Globalization;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>CUDA graphs on the stand-in driver: what is captured, what a launch repeats, and whose memory it is.</summary>
public sealed class GraphTests : StandInDriverTest
{
    private const int Length = 1000;

    [Fact]
    public void Launch_RepeatsTheWorkOnWhatIsInTheBuffers()
    {
        DeviceBuffer x = Uploaded(-1f), y = Uploaded(9f);
        using GpuGraph graph = Backend.Capture(() => Backend.Unary<Relu>(x, y));
        Assert.Equal(9f, Only(y));
        graph.Launch();
        Assert.Equal(0f, Only(y));
        Backend.Upload(Values(3f), x);
        graph.Launch();
        Assert.Equal(3f, Only(y));
        Backend.Return(x);
        Backend.Return(y);
    }

    [Fact]
    public void ScratchOfTheGraph_IsHandedToNobodyElse()
    {
        DeviceBuffer x = Uploaded(2f), y = Uploaded(0f);
        Body();
        GpuGraph graph = Backend.Capture(Body);
        Assert.True(graph.HeldBytes >= 3 * Length * sizeof(float));
        DeviceBuffer other = Uploaded(7f);
        graph.Launch();
        Assert.Equal(2f, Only(y));
        Assert.Equal(7f, Only(other));
        long cached = Backend.CachedBytes;
        graph.Dispose();
        Assert.True(Backend.CachedBytes > cached);
        Assert.Throws<InvalidOperationException>(graph.Launch);
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[x, y, other]) Backend.Return(buffer);
        Assert.Equal(0, Backend.RentedCount);

        void Body()
        {
            DeviceBuffer scratch = Backend.Rent(Length), again;
            Backend.Unary<Relu>(x, scratch);
            Backend.Unary<Negate>(scratch, y);
            Backend.Return(scratch);
            again = Backend.Rent(Length);
            Assert.Same(scratch.Memory, again.Memory);
            Backend.Unary<Negate>(y, again);
            Backend.Copy(again, y);
            Backend.Return(again);
        }
    }

    [Fact]
    public void ReturnedBuffer_StaysWithTheGraph()
    {
        DeviceBuffer x = Uploaded(5f), y = Uploaded(0f);
        GpuGraph graph = Backend.Capture(() => Backend.Unary<Relu>(x, y));
        Backend.Return(y);
        DeviceBuffer other = Uploaded(7f);
        Assert.NotSame(y.Memory, other.Memory);
        graph.Launch();
        Assert.Equal(7f, Only(other));
        graph.Dispose();
        DeviceBuffer reused = Backend.Rent(Length);
        Assert.Same(y.Memory, reused.Memory);
        foreach (DeviceBuffer buffer in (DeviceBuffer[])[x, other, reused]) Backend.Return(buffer);
    }

    [Fact]
    public void Update_ChangesNumbersInPlace_AndOtherWorkAnew()
    {
        DeviceBuffer y = Uploaded(0f), z = Uploaded(0f);
        using GpuGraph graph = Backend.Capture(() => Backend.Fill(y, 1f));
        graph.Launch();
        Assert.Equal(1f, Only(y));
        Assert.True(graph.Update(() => Backend.Fill(y, 2f)));
        graph.Launch();
        Assert.Equal(2f, Only(y));
        Assert.False(graph.Update(() =>
        {
            Backend.Fill(y, 3f);
            Backend.Unary<Negate>(y, z);
        }));
        graph.Launch();
        Assert.Equal(3f, Only(y));
        Assert.Equal(-3f, Only(z));
        Backend.Return(y);
        Backend.Return(z);
    }

    [Fact]
    public void WhatWaits_IsRefused_AndLeavesTheDeviceUsable()
    {
        DeviceBuffer y = Uploaded(4f);
        foreach (Action body in (Action[])[() => _ = Only(y), () => Backend.Upload(Values(1f), y), Backend.Synchronize, () => Backend.Capture(() => { })])
            Assert.Throws<InvalidOperationException>(() => Backend.Capture(body));
        Assert.Throws<FormatException>(() => Backend.Capture(() => throw new FormatException()));
        Assert.Equal(4f, Only(y));
        GpuGraph graph = Backend.Capture(() => Backend.Fill(y, 1f));
        Assert.Throws<FormatException>(() => graph.Update(() => throw new FormatException()));
        Assert.False(graph.IsValid);
        graph.Dispose();
        Backend.Return(y);
        Assert.Equal(0, Backend.RentedCount);
    }

    /// <summary>Inference at one shape: the input is replaced, the work is launched, the output is read.</summary>
    [Fact]
    public void A_model_is_run_again_on_other_input()
    {
        Device device = new(Backend);
        using Linear layer = new(6, 5);
        layer.Initialize(device, 1);
        using Tensor input = Tensor.CreatePersistent([3, 6], device), output = Tensor.CreatePersistent([3, 5], device);
        Run();
        using GpuGraph graph = Backend.Capture(Run);
        input.CopyFrom([.. Enumerable.Range(0, 18).Select(i => MathF.Sin(i))]);
        graph.Launch();
        float[] launched = output.ToArray();
        Run();
        Assert.Equal(output.ToArray(), launched);
        Assert.NotEqual(0f, launched[0]);

        void Run()
        {
            using TensorScope scope = new();
            output.CopyFrom(layer.Forward(input).L2Normalize());
        }
    }

    /// <summary>Labels from the host have been looked at there: an operation on them asks the device nothing.</summary>
    [Fact]
    public void Labels_are_checked_without_waiting()
    {
        Device device = new(Backend);
        using Tensor logits = Tensor.CreatePersistent([3, 4], device), loss = Tensor.CreatePersistent([], device);
        using IndexTensor labels = IndexTensor.CreatePersistent([3], device);
        labels.CopyFrom([2, -100, 0]);
        Run();
        using GpuGraph graph = Backend.Capture(Run);
        logits.CopyFrom([.. Enumerable.Range(0, 12).Select(i => MathF.Cos(i))]);
        labels.CopyFrom([3, 1, -100]);
        graph.Launch();
        float launched = loss.Item();
        Run();
        Assert.Equal(loss.Item(), launched);
        foreach (int wrong in (int[])[4, -1, -99])
        {
            labels.CopyFrom([wrong, -100, 1]);
            Assert.Contains(wrong.ToString(CultureInfo.InvariantCulture), Assert.Throws<ArgumentException>(Run).Message, StringComparison.Ordinal);
        }

        void Run()
        {
            using TensorScope scope = new();
            loss.CopyFrom(logits.CrossEntropy(labels));
        }
    }

    /// <summary>Larger and smaller than what travels on the stream of its own, and more at a time than there are blocks.</summary>
    [Fact]
    public void Uploads_ArriveInOrder()
    {
        foreach (int length in (int[])[1, 1000, 65_536, 300_000])
        {
            DeviceBuffer x = Backend.Rent(length), sum = Backend.Rent(length);
            Backend.Fill(sum, 0f);
            for (int i = 1; i <= 20; i++)
            {
                Backend.Upload(Enumerable.Range(0, length).Select(j => (float)((i * j) % 1001)).ToArray(), x);
                Backend.Copy(x, sum);
            }

            float[] result = new float[length];
            Backend.Download(sum, result);
            Assert.Equal(Enumerable.Range(0, length).Select(j => (float)((20 * j) % 1001)), result);
            Backend.Return(x);
            Backend.Return(sum);
        }
    }

    private static float[] Values(float value) => [.. Enumerable.Repeat(value, Length)];

    private DeviceBuffer Uploaded(float value)
    {
        DeviceBuffer buffer = Backend.Rent(Length);
        Backend.Upload(Values(value), buffer);
        return buffer;
    }

    /// <summary>The value that all elements have.</summary>
    private float Only(DeviceBuffer buffer)
    {
        float[] values = new float[Length];
        Backend.Download(buffer, values);
        return Assert.Single(values.Distinct());
    }
}
