namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void CopyRows(DeviceBuffer source, StridedRows from, GradientTarget destination, StridedRows to, int rows, int length)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void SumStridedRows(DeviceBuffer source, StridedRows from, GradientTarget destination, int rows, int length)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void Permute(DeviceBuffer x, GradientTarget y, PermuteArgs args)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void GatherRows(DeviceBuffer table, DeviceBuffer ids, DeviceBuffer y, int width, RowGroups groups)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void ScatterAddRows(DeviceBuffer dy, DeviceBuffer ids, GradientTarget dTable, int width, RowGroups groups, int ignoredId)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public (int Smallest, int Largest) IndexRange(DeviceBuffer ids)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void FirstIndexOf(DeviceBuffer ids, int columns, int value, DeviceBuffer position)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void ArgMaxIndex(DeviceBuffer ids, int columns, DeviceBuffer position)
        => throw new NotSupportedException("Pending.");
}
