namespace MiniVlp.Bench.Peers;

/// <summary>The same work in another library.</summary>
/// <param name="run">One run.</param>
/// <param name="operands">Disposed at the end.</param>
internal sealed class PeerWorkload(Action run, params IDisposable[] operands) : IDisposable
{
    public void Run() => run();

    public void Dispose()
    {
        foreach (IDisposable operand in operands) operand.Dispose();
    }
}
