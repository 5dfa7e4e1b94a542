using BenchmarkDotNet.Attributes;
using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Tensors;

namespace MiniVlp.Bench;

/// <summary>
/// Every case of the tests' table, forward and with backward. The shapes are small, so this shows what a call costs beside its arithmetic;
/// pick cases with <c>--filter</c> and parameters.
/// </summary>
[MemoryDiagnoser]
[ShortRunJob]
public class OpTableBenchmarks
{
    private Device? _device;
    private OpCase? _case;
    private Tensor[] _inputs = [];

    public static IEnumerable<string> Names => OpCases.All.Select(c => c.Name);

    [ParamsSource(nameof(Names))]
    public string Name { get; set; } = string.Empty;

    [GlobalSetup]
    public void Prepare()
    {
        _device = Device.CreateCpu(1);
        _case = OpCases.Get(Name);
        Random random = new(1);
        _inputs = [.. _case.Inputs.Select((shape, i) => Tensor.FromArray(_case.Values.TryGetValue(i, out float[]? values) ? values : Draw(shape), shape, _device))];
        foreach (Tensor input in _inputs) input.NeedsGradient = _case.HasGradient;

        float[] Draw(Shape shape)
        {
            float[] drawn = new float[shape.Length];
            foreach (ref float value in drawn.AsSpan()) value = _case.Range.Low + ((_case.Range.High - _case.Range.Low) * random.NextSingle());
            return drawn;
        }
    }

    [Benchmark]
    public void Forward()
    {
        using TensorScope scope = new();
        _case!.Op(_inputs);
    }

    [Benchmark]
    public void ForwardAndBackward()
    {
        using Tape tape = Tape.Record();
        Tensor y = _case!.Op(_inputs);
        if (y.NeedsGradient) tape.Backward(y);
    }

    [GlobalCleanup]
    public void Release()
    {
        foreach (Tensor input in _inputs) input.Dispose();
        _device?.Dispose();
    }
}
