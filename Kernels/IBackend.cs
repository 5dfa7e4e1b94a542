namespace MiniVlp.Kernels;

/// <summary>
/// The vocabulary of a device: flat buffers in, flat buffers out, no shapes checked (that is done above, in Autograd/Ops).
/// Each file in Ops/ adds the methods of one operation, forward and backward side by side, so that a backend without one of them
/// does not compile.
/// </summary>
public partial interface IBackend : IDisposable
{
    /// <summary>Short name of the device, such as <c>cpu-512</c>.</summary>
    string Name { get; }

    /// <summary>Number of buffers rented out and not returned yet; zero when nothing leaks.</summary>
    int RentedCount { get; }

    /// <summary>Rents <paramref name="length"/> elements with undefined contents.</summary>
    DeviceBuffer Rent(int length, ElementType elementType = ElementType.Float32);

    /// <summary>Gives rented memory back; the whole block goes, whatever range <paramref name="buffer"/> shows of it.</summary>
    /// <exception cref="InvalidOperationException">The memory was returned before.</exception>
    void Return(DeviceBuffer buffer);

    /// <summary>Copies host values to the device: destination[i] = source[i]; lengths are equal.</summary>
    void Upload(ReadOnlySpan<float> source, DeviceBuffer destination);

    /// <summary>Copies host integers to the device: destination[i] = source[i]; lengths are equal.</summary>
    void Upload(ReadOnlySpan<int> source, DeviceBuffer destination);

    /// <summary>Copies device values to the host: destination[i] = source[i]; lengths are equal.</summary>
    void Download(DeviceBuffer source, Span<float> destination);

    /// <summary>Copies device integers to the host: destination[i] = source[i]; lengths are equal.</summary>
    void Download(DeviceBuffer source, Span<int> destination);

    /// <summary>Copies between buffers of this device: destination[i] = source[i]; lengths are equal.</summary>
    void Copy(DeviceBuffer source, DeviceBuffer destination);

    /// <summary>Sets every element: destination[i] = value.</summary>
    void Fill(DeviceBuffer destination, float value);
}
