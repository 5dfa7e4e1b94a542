using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>The rule that all operands of an operation are on one device.</summary>
internal static class SameDevice
{
    /// <exception cref="ArgumentException">An operand is elsewhere.</exception>
    public static void Require(string operation, Tensor first, params ReadOnlySpan<Tensor?> others)
    {
        foreach (Tensor? other in others)
            if (other is not null) Require(operation, first.Device, other.Device);
    }

    /// <exception cref="ArgumentException">The integers are elsewhere.</exception>
    public static void Require(string operation, Tensor first, IndexTensor? indices)
    {
        if (indices is not null) Require(operation, first.Device, indices.Device);
    }

    private static void Require(string operation, Device first, Device other)
    {
        if (ReferenceEquals(first, other)) return;
        string twins = first.ToString() == other.ToString() ? " (two devices of the same name: create all tensors with the device of the model)" : string.Empty;
        throw new ArgumentException($"{operation}: all operands must be on one device, but one is on {first} and one is on {other}{twins}.");
    }
}
