using System.Reflection;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>All cases: every class of this namespace whose name ends with Cases lists some in a static property <c>Cases</c>.</summary>
public static class OpCases
{
    public static IReadOnlyList<OpCase> All { get; } = [.. Find()];

    public static OpCase Get(string name) => All.Single(c => string.Equals(c.Name, name, StringComparison.Ordinal));

    private static IEnumerable<OpCase> Find()
    {
        IEnumerable<Type> tables = typeof(OpCases).Assembly.GetTypes()
            .Where(t => t.Name.EndsWith("Cases", StringComparison.Ordinal) && t != typeof(OpCases))
            .OrderBy(t => t.Name, StringComparer.Ordinal);
        foreach (Type table in tables)
        {
            PropertyInfo? property = table.GetProperty("Cases", BindingFlags.Static | BindingFlags.Public);
            if (property?.GetValue(null) is not IEnumerable<OpCase> cases) continue;
            foreach (OpCase opCase in cases) yield return opCase;
        }
    }
}
