using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Gpu;

/// <summary>What a workload works on, given back together.</summary>
internal sealed class Operands(IBackend backend) : IDisposable
{
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly List<IDisposable> _others = [];

    /// <summary>Where they are.</summary>
    public IBackend Backend => backend;

    /// <summary>Memory with undefined contents.</summary>
    public DeviceBuffer Rent(int length)
    {
        _buffers.Add(backend.Rent(length));
        return _buffers[^1];
    }

    /// <summary>Memory with numbers uniform in [-1, 1).</summary>
    public DeviceBuffer Random(int length, int seed)
    {
        DeviceBuffer buffer = Rent(length);
        backend.RandomUniform(buffer, -1f, 1f, new RandomStream((ulong)seed, 0));
        return buffer;
    }

    /// <summary>Memory for a gradient that is written, not added to.</summary>
    public GradientTarget Gradient(int length) => new(Rent(length), Accumulate: false);

    /// <summary>A tensor with numbers uniform in [-1, 1).</summary>
    public Tensor Uniform(int[] shape, int seed, Device device)
    {
        Random random = new(seed);
        float[] values = new float[shape.Aggregate(1, (a, b) => a * b)];
        foreach (ref float value in values.AsSpan()) value = (2f * random.NextSingle()) - 1f;
        return Keep(Tensor.FromArray(values, [.. shape], device));
    }

    /// <summary>[rows, columns] with rows of length 1.</summary>
    public Tensor UnitRows(int rows, int columns, int seed, Device device)
    {
        using Tensor x = Uniform([rows, columns], seed, device);
        _others.RemoveAt(_others.Count - 1);
        return Keep(x.L2Normalize());
    }

    /// <summary>Something to dispose with the operands.</summary>
    public T Keep<T>(T operand)
        where T : IDisposable
    {
        _others.Add(operand);
        return operand;
    }

    /// <summary>Gives everything back.</summary>
    public void Dispose()
    {
        for (int i = _others.Count - 1; i >= 0; i--) _others[i].Dispose();
        foreach (DeviceBuffer buffer in _buffers) backend.Return(buffer);
        _others.Clear();
        _buffers.Clear();
    }
}
