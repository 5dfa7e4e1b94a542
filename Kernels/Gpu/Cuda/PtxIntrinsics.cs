using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Reflection;
using System.Text;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.IR.Types;
using ILGPU.IR.Values;
using Registers = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// The PTX text of a method: %n is the n-th operand, results first and structs taken apart; %m..n are operands m to n with commas between; @n
/// is operand n as an immediate, so it must be a compile-time constant there.
/// </summary>
/// <param name="template">PTX with the operands left open.</param>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxAttribute(string template) : Attribute
{
    /// <summary>Stands for the address of a <c>ref</c> argument in shared memory, as 32 bits.</summary>
    public const string SharedAddress = "#shared";

    /// <summary>Stands for the address of a <c>ref</c> argument in global memory, as 64 bits.</summary>
    public const string GlobalAddress = "#global";

    /// <summary>Sets all results, floats, to zero.</summary>
    public const string Zero = "#zero";

    /// <summary>Copies all arguments, floats, to the results.</summary>
    public const string Copy = "#copy";

    public string Template => template;

    /// <summary>The result takes the registers of the first argument (accumulators); the argument must not be used afterwards.</summary>
    public bool InPlace { get; init; }
}

/// <summary>
/// PTX instructions as C# methods, through ILGPU's public hook for intrinsics: the instruction works on the registers of its operands, without
/// a way through local memory, with any number of operands and with structs as results.
/// </summary>
internal static class PtxIntrinsics
{
    private static readonly ConcurrentDictionary<MethodInfo, PtxAttribute> Instructions = new();

    /// <summary>Registers all methods of a type that carry <see cref="PtxAttribute"/>.</summary>
    public static void Register(
        IntrinsicImplementationManager manager,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.NonPublicMethods)] Type type)
    {
        foreach (MethodInfo method in type.GetMethods(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static))
            if (method.GetCustomAttribute<PtxAttribute>() is { } instruction) Register(manager, method, instruction);
    }

    /// <summary>Gives a method of .NET a PTX instruction.</summary>
    public static void Register(IntrinsicImplementationManager manager, MethodInfo method, string template) => Register(manager, method, new PtxAttribute(template));

    private static void Register(IntrinsicImplementationManager manager, MethodInfo method, PtxAttribute instruction)
    {
        Instructions[method] = instruction;
        manager.RegisterMethod(method, new PTXIntrinsic(typeof(PtxIntrinsics), nameof(Generate), IntrinsicImplementationMode.GenerateCode));
    }

    /// <summary>Writes one call; the signature is ILGPU's PTXIntrinsic.Handler.</summary>
    private static void Generate(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        MethodCall call = (MethodCall)value;
        MethodInfo method = (MethodInfo)call.Target.Source;
        PtxAttribute instruction = Instructions[method];
        List<Registers.PrimitiveRegister> operands = [], arguments = [];
        foreach (Value argument in call.Nodes) Flatten(generator.Load(argument), arguments);
        if (instruction.InPlace)
        {
            Registers.Register result = generator.Load(call.Nodes[0]);
            RequireRegisters(result, method);
            generator.Bind(value, result);
            Flatten(result, operands);
        }
        else if (method.ReturnType != typeof(void))
        {
            Flatten(generator.Allocate(value), operands);
        }

        int results = operands.Count;
        operands.AddRange(arguments);
        generator.Builder.Append('\t').AppendLine(Expand(Template(instruction, call, results), operands, generator, method));
    }

    private static string Template(PtxAttribute instruction, MethodCall call, int results) => instruction.Template switch
    {
        // A pointer comes in the address space that ILGPU inferred; one that is generic still has to be converted.
        PtxAttribute.SharedAddress => call.Nodes[0].Type is PointerType { AddressSpace: MemoryAddressSpace.Shared }
            ? "cvt.u32.u64 %0, %1;"
            : "{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }",
        PtxAttribute.GlobalAddress => call.Nodes[0].Type is PointerType { AddressSpace: MemoryAddressSpace.Global }
            ? "mov.u64 %0, %1;"
            : "cvta.to.global.u64 %0, %1;",
        PtxAttribute.Zero => string.Concat(Enumerable.Range(0, results).Select(i => $"mov.f32 %{i}, 0f00000000; ")),
        PtxAttribute.Copy => string.Concat(Enumerable.Range(0, results).Select(i => $"mov.f32 %{i}, %{results + i}; ")),
        _ => instruction.Template,
    };

    private static string Expand(string template, List<Registers.PrimitiveRegister> operands, PTXCodeGenerator generator, MethodInfo method)
    {
        StringBuilder text = new();
        for (int i = 0; i < template.Length; i++)
        {
            char c = template[i];
            if (c is not ('%' or '@') || i + 1 == template.Length || !char.IsAsciiDigit(template[i + 1]))
            {
                text.Append(c);
                continue;
            }

            i++;
            int operand = Number(template, ref i), last = operand;
            if (template.AsSpan(i).StartsWith("..", StringComparison.Ordinal))
            {
                i += 2;
                last = Number(template, ref i);
            }

            i--;
            for (int first = operand; operand <= last; operand++)
            {
                if (operand > first) text.Append(", ");
                text.Append(c == '%' ? InRegister(operands, operand, generator) : Immediate(operands[operand], operand, method));
            }
        }

        return text.ToString();
    }

    private static int Number(string template, ref int at)
    {
        int value = 0;
        while (at < template.Length && char.IsAsciiDigit(template[at])) value = (10 * value) + (template[at++] - '0');
        return value;
    }

    private static string InRegister(List<Registers.PrimitiveRegister> operands, int operand, PTXCodeGenerator generator)
    {
        operands[operand] = generator.EnsureHardwareRegister(operands[operand]);
        return "%" + PTXRegisterAllocator.GetStringRepresentation((Registers.HardwareRegister)operands[operand]);
    }

    private static string Immediate(Registers.PrimitiveRegister register, int operand, MethodInfo method)
        => register is Registers.ConstantRegister constant
            ? constant.Value.RawValue.ToString(CultureInfo.InvariantCulture)
            : throw new NotSupportedException($"{method.Name}: operand {operand} must be a compile-time constant.");

    private static void RequireRegisters(Registers.Register register, MethodInfo method)
    {
        if (register is Registers.CompoundRegister compound) foreach (Registers.Register child in compound.Children) RequireRegisters(child, method);
        else if (register is not Registers.HardwareRegister) throw new NotSupportedException($"{method.Name}: an operand in place is a constant; it must be loaded into a register first.");
    }

    private static void Flatten(Registers.Register register, List<Registers.PrimitiveRegister> into)
    {
        if (register is Registers.CompoundRegister compound) foreach (Registers.Register child in compound.Children) Flatten(child, into);
        else into.Add((Registers.PrimitiveRegister)register);
    }
}
