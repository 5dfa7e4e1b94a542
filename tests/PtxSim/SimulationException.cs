namespace MiniVlp.PtxSim;

/// <summary>A kernel did what it must not, or used what the simulator does not know; the message says where.</summary>
public sealed class SimulationException : Exception
{
    public SimulationException(string message)
        : base(message)
    {
    }

    public SimulationException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
