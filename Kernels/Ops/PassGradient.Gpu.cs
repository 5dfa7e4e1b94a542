namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void PassGradient(DeviceBuffer dy, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        if (dx.Accumulate) Map<FirstOperand>(new TermBuffers(dy), Broadcast.None(dy.Length), dx);
        else Copy(dy, dx.Buffer);
    }
}
