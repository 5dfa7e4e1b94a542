namespace MiniVlp.PtxSim.Text;

/// <summary>One instruction as it stands in the text, taken apart.</summary>
/// <param name="Line">Its line in the module.</param>
/// <param name="Text">The whole of it.</param>
/// <param name="Guard">The predicate in front, without its <c>!</c>; null where there is none.</param>
/// <param name="IsGuardNegated">Whether the guard stands with <c>!</c>.</param>
/// <param name="Opcode">For example <c>mul.wide.s32</c>.</param>
/// <param name="Operands">What stands between the commas; vectors in one piece, with their braces.</param>
internal sealed record PtxStatement(int Line, string Text, string? Guard, bool IsGuardNegated, string Opcode, string[] Operands)
{
    /// <summary>The opcode cut at its dots.</summary>
    public string[] Parts { get; } = Opcode.Split('.', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The last part of the opcode, in most instructions the type.</summary>
    public string Type => Parts[^1];

    /// <summary>Whether the opcode has this part.</summary>
    public bool Has(string part) => Array.IndexOf(Parts, part) >= 0;
}

/// <summary>A declared name that takes memory: a parameter, or a variable in shared or local memory.</summary>
/// <param name="Name">The name.</param>
/// <param name="Offset">Where it starts in its space.</param>
/// <param name="Bytes">Its size.</param>
internal sealed record PtxVariable(string Name, int Offset, int Bytes);

/// <summary>One kernel of a module, as text.</summary>
internal sealed class PtxEntry
{
    public required string Name { get; init; }

    /// <summary>Parameters with the offsets that the driver's packed argument buffer has.</summary>
    public List<PtxVariable> Parameters { get; } = [];

    /// <summary>Size of the argument buffer.</summary>
    public int ParameterBytes { get; set; }

    public Dictionary<string, PtxVariable> Shared { get; } = new(StringComparer.Ordinal);

    /// <summary>Bytes of static shared memory.</summary>
    public int SharedBytes { get; set; }

    public Dictionary<string, PtxVariable> Local { get; } = new(StringComparer.Ordinal);

    /// <summary>Bytes of local memory of one thread.</summary>
    public int LocalBytes { get; set; }

    /// <summary>Name of the dynamic shared memory, where the module has some.</summary>
    public string? DynamicShared { get; set; }

    /// <summary>Its declared alignment.</summary>
    public int DynamicSharedAlignment { get; set; } = 16;

    /// <summary>Registers and their types.</summary>
    public Dictionary<string, string> Registers { get; } = new(StringComparer.Ordinal);

    public List<PtxStatement> Statements { get; } = [];

    /// <summary>Labels and the statement that they stand in front of.</summary>
    public Dictionary<string, int> Labels { get; } = new(StringComparer.Ordinal);

    /// <summary>Groups of one cluster along each axis (.reqnctapercluster).</summary>
    public (int X, int Y, int Z) Cluster { get; set; } = (1, 1, 1);
}
