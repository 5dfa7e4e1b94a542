namespace MiniVlp.Kernels;

/// <summary>A float pointer that can be a field of a record struct, where C# allows no pointer types as type arguments.</summary>
internal readonly unsafe struct Pointer(float* address)
{
    private readonly float* _address = address;

    public static implicit operator float*(Pointer pointer) => pointer._address;

    public static implicit operator Pointer(float* address) => new(address);

    public static float* operator +(Pointer pointer, int elements) => pointer._address + elements;
}
