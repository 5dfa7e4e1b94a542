namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Patchify(in PatchifyArgs args, DeviceBuffer images, DeviceBuffer patches)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void PatchifyBackward(in PatchifyArgs args, DeviceBuffer patchGradient, GradientTarget imageGradient)
        => throw new NotSupportedException("Pending.");
}
