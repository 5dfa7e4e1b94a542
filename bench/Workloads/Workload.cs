using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>Something to time.</summary>
/// <param name="Name">As in the tables of the README.</param>
/// <param name="Operations">
/// Floating-point operations of one run that its result needs, a multiplication and an addition counting as two, and exp or erf as one: where they
/// take longer than the memory does, memory is still the bound that counts.
/// </param>
/// <param name="Bytes">Bytes that one run cannot help reading and writing: each operand once, each result once.</param>
/// <param name="Prepare">Makes the operands on a device.</param>
public sealed record Workload(string Name, double Operations, double Bytes, Func<Device, PreparedWorkload> Prepare);

/// <summary>A workload with its operands.</summary>
/// <param name="run">One run.</param>
/// <param name="operands">Disposed at the end.</param>
public sealed class PreparedWorkload(Action run, params IDisposable[] operands) : IDisposable
{
    /// <summary>Runs it once.</summary>
    public void Run() => run();

    /// <summary>Gives the operands back.</summary>
    public void Dispose()
    {
        foreach (IDisposable operand in operands) operand.Dispose();
    }
}
