namespace MiniVlp.Tensors.Safetensors;

/// <summary>
/// The element types of the safetensors format that are read and written, in the order in which the reference implementation ranks them:
/// a file holds its tensors by descending rank, then by name.
/// </summary>
public enum SafetensorsDtype
{
    /// <summary>BOOL: one byte, 0 or 1.</summary>
    Bool,

    /// <summary>U8: unsigned 8-bit integer.</summary>
    U8,

    /// <summary>I8: signed 8-bit integer.</summary>
    I8,

    /// <summary>I16: signed 16-bit integer.</summary>
    I16,

    /// <summary>U16: unsigned 16-bit integer.</summary>
    U16,

    /// <summary>F16: IEEE 754 half precision.</summary>
    F16,

    /// <summary>BF16: the upper half of an IEEE 754 single.</summary>
    BF16,

    /// <summary>I32: signed 32-bit integer.</summary>
    I32,

    /// <summary>U32: unsigned 32-bit integer.</summary>
    U32,

    /// <summary>F32: IEEE 754 single precision.</summary>
    F32,

    /// <summary>F64: IEEE 754 double precision.</summary>
    F64,

    /// <summary>I64: signed 64-bit integer.</summary>
    I64,

    /// <summary>U64: unsigned 64-bit integer.</summary>
    U64,
}

/// <summary>Names and sizes of <see cref="SafetensorsDtype"/>.</summary>
public static class SafetensorsDtypes
{
    internal static readonly string KnownNames = string.Join(", ", Enum.GetValues<SafetensorsDtype>().Select(dtype => dtype.FormatName()));

    /// <summary>The bytes that one element takes: 1, 2, 4 or 8.</summary>
    public static int ElementSize(this SafetensorsDtype dtype) => dtype switch
    {
        SafetensorsDtype.Bool or SafetensorsDtype.U8 or SafetensorsDtype.I8 => 1,
        SafetensorsDtype.I16 or SafetensorsDtype.U16 or SafetensorsDtype.F16 or SafetensorsDtype.BF16 => 2,
        SafetensorsDtype.I32 or SafetensorsDtype.U32 or SafetensorsDtype.F32 => 4,
        SafetensorsDtype.F64 or SafetensorsDtype.I64 or SafetensorsDtype.U64 => 8,
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "Not a safetensors element type."),
    };

    /// <summary>The name the format uses, for example <c>BOOL</c> or <c>BF16</c>.</summary>
    public static string FormatName(this SafetensorsDtype dtype) => dtype == SafetensorsDtype.Bool ? "BOOL" : dtype.ToString();

    internal static bool TryParse(string name, out SafetensorsDtype dtype)
    {
        foreach (SafetensorsDtype candidate in Enum.GetValues<SafetensorsDtype>())
        {
            if (string.Equals(candidate.FormatName(), name, StringComparison.Ordinal))
            {
                dtype = candidate;
                return true;
            }
        }

        dtype = default;
        return false;
    }
}
