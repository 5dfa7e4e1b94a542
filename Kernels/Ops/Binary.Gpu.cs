namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Binary<TOp>(DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, Broadcast layout)
        where TOp : struct, IBinaryOp
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void BinaryBackward<TOp>( DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, DeviceBuffer dy, Broadcast layout, GradientTarget dfull, GradientTarget dsmall)
        where TOp : struct, IBinaryOp
        => throw new NotSupportedException("Pending.");
}
