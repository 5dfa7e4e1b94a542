using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Patchify(in PatchifyArgs args, DeviceBuffer images, DeviceBuffer patches)
        => Move(images, 0, PatchAxes(args), new GradientTarget(patches, false), 0);

    /// <inheritdoc/>
    public void PatchifyBackward(in PatchifyArgs args, DeviceBuffer patchGradient, GradientTarget imageGradient)
    {
        if (!imageGradient.IsNeeded) return;
        Move(patchGradient, 0, [.. PatchAxes(args).Select(axis => new MoveAxis(axis.Size, axis.To, axis.From))], imageGradient, 0);
    }

    /// <summary>Cutting into patches as an order of axes: batch, patch row, patch column, channel, y, x.</summary>
    private static MoveAxis[] PatchAxes(in PatchifyArgs args)
    {
        int patch = args.Patch, width = args.Width, area = args.Height * width, square = patch * patch;
        int columns = width / patch, rows = args.Height / patch, patchLength = args.Channels * square;
        return
        [
            new(args.Batch, args.Channels * area, rows * columns * patchLength),
            new(rows, patch * width, columns * patchLength),
            new(columns, patch, patchLength),
            new(args.Channels, area, square),
            new(patch, width, patch),
            new(patch, 1, 1),
        ];
    }
}
