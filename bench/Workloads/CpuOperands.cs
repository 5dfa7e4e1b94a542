using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>What a workload works on: flat memory for kernels, tensors for operations, given back together. Numbers are uniform in [-1, 1).</summary>
internal sealed class CpuOperands(Device device) : IDisposable
{
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly List<IDisposable> _others = [];
    private ulong _seed;

    public Device Device => device;

    public IBackend Backend => device.Backend;

    /// <summary>Memory with undefined contents.</summary>
    public DeviceBuffer Rent(int length)
    {
        _buffers.Add(Backend.Rent(length));
        return _buffers[^1];
    }

    public DeviceBuffer Random(int length)
    {
        DeviceBuffer buffer = Rent(length);
        Fill(buffer);
        return buffer;
    }

    /// <summary>Memory for a gradient that is written, not added to.</summary>
    public GradientTarget Gradient(int length) => new(Rent(length), Accumulate: false);

    public Tensor RandomTensor(Shape shape)
    {
        Tensor tensor = Keep(Tensor.CreatePersistent(shape, device));
        Fill(tensor.Buffer);
        return tensor;
    }

    /// <summary>Indices from 0 to below a limit.</summary>
    public IndexTensor RandomIndices(Shape shape, int limit)
    {
        Random random = new(1);
        int[] indices = new int[shape.Length];
        foreach (ref int index in indices.AsSpan()) index = random.Next(limit);
        return Keep(IndexTensor.FromArray(indices, shape, device));
    }

    /// <summary>Texts of the full length that end with the end token.</summary>
    public IndexTensor RandomTexts(int batch, int tokens, int vocabulary, int endId)
    {
        Random random = new(1);
        int[] ids = new int[batch * tokens];
        for (int i = 0; i < ids.Length; i++) ids[i] = (i + 1) % tokens == 0 ? endId : random.Next(vocabulary - 1);
        return Keep(IndexTensor.FromArray(ids, [batch, tokens], device));
    }

    /// <summary>Fills with the next stream of numbers.</summary>
    public void Fill(DeviceBuffer buffer) => Backend.RandomUniform(buffer, -1f, 1f, new RandomStream(++_seed, 0));

    /// <summary>Something to dispose with the operands.</summary>
    public T Keep<T>(T operand)
        where T : IDisposable
    {
        _others.Add(operand);
        return operand;
    }

    public void Dispose()
    {
        for (int i = _others.Count - 1; i >= 0; i--) _others[i].Dispose();
        foreach (DeviceBuffer buffer in _buffers) Backend.Return(buffer);
        _others.Clear();
        _buffers.Clear();
    }
}
