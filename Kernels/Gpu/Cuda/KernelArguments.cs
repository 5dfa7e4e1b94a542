using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>One field of a kernel's parameter, nested structs taken apart: a view is two of them.</summary>
/// <param name="Offset">Where it lies, in bytes.</param>
/// <param name="Size">Its size in bytes.</param>
internal readonly record struct ParameterField(int Offset, int Size);

/// <summary>
/// Writes a kernel struct as the device reads it: field by field in the order of declaration with natural alignment, a view as a 64-bit pointer and
/// a 64-bit length. The code that does so is made once per kernel type, and a launch allocates nothing.
/// </summary>
internal static unsafe class KernelArguments<TKernel>
    where TKernel : struct, IGpuKernel
{
    private static readonly Packer Instance = new(typeof(TKernel));

    /// <summary>Bytes of the parameter.</summary>
    public static int Size => Instance.Size;

    /// <summary>What is written where.</summary>
    public static IReadOnlyList<ParameterField> Fields => Instance.Fields;

    /// <summary>Writes <see cref="Size"/> bytes; padding is left as it is.</summary>
    public static void Write(in TKernel kernel, byte* destination) => Instance.Write(ref Unsafe.AsRef(in kernel), destination);

    private delegate void WriteFields(ref TKernel kernel, byte* destination);

    private sealed class Packer
    {
        private readonly List<ParameterField> _fields = [];
        private readonly List<FieldInfo> _path = [];

        [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Kernels are compiled at run time: ILGPU needs a just-in-time compiler anyway.")]
        public Packer(Type kernel)
        {
            DynamicMethod method = new("Write" + kernel.Name, typeof(void), [kernel.MakeByRefType(), typeof(byte*)], typeof(ViewArgument).Module, skipVisibility: true);
            ILGenerator code = method.GetILGenerator();
            (int end, int alignment) = Emit(code, kernel, 0);
            code.Emit(OpCodes.Ret);
            Size = AlignUp(end, alignment);
            Write = method.CreateDelegate<WriteFields>();
        }

        public int Size { get; }

        public IReadOnlyList<ParameterField> Fields => _fields;

        public WriteFields Write { get; }

        /// <summary>Emits the writes of one struct at an offset that is aligned for it.</summary>
        /// <returns>The offset behind its last field, and the alignment of the struct.</returns>
        [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Kernels are compiled at run time: ILGPU needs a just-in-time compiler anyway.")]
        [UnconditionalSuppressMessage("Trimming", "IL2076", Justification = "A struct's constructor is its default value.")]
        private (int End, int Alignment) Emit(ILGenerator code, Type type, int offset)
        {
            int start = offset, alignment = 1;
            FieldInfo[] fields = [.. InstanceFields(type).OrderBy(field => field.MetadataToken)];
            if (fields.Length == 0) throw new NotSupportedException($"{typeof(TKernel).Name}: {type.Name} has no fields, and an empty struct has no place in a parameter.");
            foreach (FieldInfo field in fields)
            {
                _path.Add(field);
                (int size, int fieldAlignment) = SizeOf(field.FieldType);
                offset = AlignUp(offset, fieldAlignment);
                if (IsView(field.FieldType))
                {
                    EmitDestination(code, offset);
                    EmitSource(code);
                    code.Emit(OpCodes.Call, typeof(ViewArgument).GetMethod(nameof(ViewArgument.Write))!.MakeGenericMethod(field.FieldType));
                    _fields.Add(new ParameterField(offset, sizeof(long)));
                    _fields.Add(new ParameterField(offset + sizeof(long), sizeof(long)));
                }
                else if (field.FieldType.IsPrimitive)
                {
                    EmitDestination(code, offset);
                    EmitSource(code);
                    code.Emit(OpCodes.Ldobj, field.FieldType);
                    code.Emit(OpCodes.Stobj, field.FieldType);
                    _fields.Add(new ParameterField(offset, size));
                }
                else
                {
                    Emit(code, field.FieldType, offset);
                }

                offset += size;
                alignment = Math.Max(alignment, fieldAlignment);
                _path.RemoveAt(_path.Count - 1);
            }

            return (start + AlignUp(offset - start, alignment), alignment);
        }

        private static void EmitDestination(ILGenerator code, int offset)
        {
            code.Emit(OpCodes.Ldarg_1);
            code.Emit(OpCodes.Ldc_I4, offset);
            code.Emit(OpCodes.Add);
        }

        private void EmitSource(ILGenerator code)
        {
            code.Emit(OpCodes.Ldarg_0);
            foreach (FieldInfo field in _path) code.Emit(OpCodes.Ldflda, field);
        }

        private static (int Size, int Alignment) SizeOf(Type type)
        {
            if (IsView(type)) return (2 * sizeof(long), sizeof(long));
            if (type.IsPrimitive)
            {
                int size = Type.GetTypeCode(type) switch
                {
                    TypeCode.SByte or TypeCode.Byte => sizeof(byte),
                    TypeCode.Int16 or TypeCode.UInt16 => sizeof(short),
                    TypeCode.Int32 or TypeCode.UInt32 or TypeCode.Single => sizeof(int),
                    TypeCode.Int64 or TypeCode.UInt64 or TypeCode.Double => sizeof(long),
                    _ => throw new NotSupportedException($"{typeof(TKernel).Name}: a field may not be {type.Name}."),
                };
                return (size, size);
            }

            if (!type.IsValueType || type.IsEnum) throw new NotSupportedException($"{typeof(TKernel).Name}: a field may not be {type.Name}.");
            int end = 0, alignment = 1;
            foreach (FieldInfo field in InstanceFields(type).OrderBy(field => field.MetadataToken))
            {
                (int size, int fieldAlignment) = SizeOf(field.FieldType);
                end = AlignUp(end, fieldAlignment) + size;
                alignment = Math.Max(alignment, fieldAlignment);
            }

            return (AlignUp(end, alignment), alignment);
        }

        [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "The fields of a kernel are used where the kernel is made.")]
        private static FieldInfo[] InstanceFields(Type type) => type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic);

        private static bool IsView(Type type) => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ArrayView<>);

        private static int AlignUp(int value, int alignment) => (value + alignment - 1) / alignment * alignment;
    }
}

/// <summary>A view as a device reads it.</summary>
internal static unsafe class ViewArgument
{
    /// <summary>Writes the address of the first element and the number of elements; an empty view is zeros.</summary>
    public static void Write<TView>(byte* destination, ref TView view)
        where TView : struct, IContiguousArrayView
    {
        *(nint*)destination = Address(ref view);
        *(long*)(destination + sizeof(long)) = view.IsValid ? view.Length : 0;
    }

    /// <summary>The address of the first element on the device; 0 for an empty view.</summary>
    public static nint Address<TView>(ref TView view)
        where TView : struct, IContiguousArrayView
        => view.IsValid ? view.Buffer.NativePtr + (nint)view.IndexInBytes : 0;
}
