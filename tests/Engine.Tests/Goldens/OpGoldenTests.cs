using System.Reflection;
using MiniVlp.Autograd;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Goldens;

/// <summary>Marks the method of <see cref="OpGoldenTests"/> that computes the golden cases of these operators.</summary>
/// <param name="ops">The operators or single cases, as index.json spells them.</param>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class GoldenOpAttribute(params string[] ops) : Attribute
{
    public IReadOnlyList<string> Ops => ops;
}

/// <summary>
/// Operator cases of Goldens/ops, computed by PyTorch and checked in float64 there. One handler for each operator, in one partial file for
/// each family: <c>[GoldenOp("softmax")] private static void Softmax(OpGolden golden) => golden.Expect("y", golden["x"].Softmax());</c>
/// </summary>
public sealed partial class OpGoldenTests
{
    private static readonly Dictionary<string, Action<OpGolden>> Handlers = FindHandlers();

    public static TheoryData<string> Names() => [.. OpGolden.Names.Where(name => FindHandler(name) is not null)];

    /// <summary>Computes a case on a device and compares outputs and gradients; nothing stays rented.</summary>
    private static void Check(string name, Device device)
    {
        int rented = device.Backend.RentedCount;
        using (Tape tape = Tape.Record())
        {
            OpGolden golden = new(name, device);
            FindHandler(name)!(golden);
            golden.CheckGradients(tape);
        }

        Assert.Equal(rented, device.Backend.RentedCount);
    }

    /// <summary>The handler of a case, or of its operator.</summary>
    private static Action<OpGolden>? FindHandler(string name) => Handlers.GetValueOrDefault(name) ?? Handlers.GetValueOrDefault(OpGolden.OpOf(name));

    private static Dictionary<string, Action<OpGolden>> FindHandlers()
    {
        Dictionary<string, Action<OpGolden>> handlers = new(StringComparer.Ordinal);
        foreach (MethodInfo method in typeof(OpGoldenTests).GetMethods(BindingFlags.Static | BindingFlags.NonPublic))
        {
            if (method.GetCustomAttribute<GoldenOpAttribute>() is not { } attribute) continue;
            foreach (string op in attribute.Ops) handlers.Add(op, method.CreateDelegate<Action<OpGolden>>());
        }

        return handlers;
    }
}
