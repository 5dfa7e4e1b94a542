using System.Globalization;
using System.Text.RegularExpressions;

namespace MiniVlp.Cli.KernelReports;

/// <summary>One machine instruction: its address, and its mnemonic with what tells its kind (HMMA.16816, LDG.E.128).</summary>
internal readonly record struct SassInstruction(int Address, string Mnemonic);

/// <summary>A loop that holds no other: from the target of a backward branch to the branch.</summary>
/// <param name="Instructions">What is in it.</param>
internal sealed record SassLoop(IReadOnlyList<SassInstruction> Instructions)
{
    /// <summary>How often each instruction occurs, the most frequent first.</summary>
    public IEnumerable<(string Mnemonic, int Count)> Mix => Instructions.CountBy(instruction => instruction.Mnemonic, StringComparer.Ordinal)
        .OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => (pair.Key, pair.Value));
}

/// <summary>The machine code of one kernel, as cuobjdump prints it.</summary>
internal sealed partial record SassListing(IReadOnlyList<SassInstruction> Instructions, IReadOnlyList<SassLoop> InnerLoops)
{
    /// <summary>Instructions whose modifiers say what they cost, and how many of these to keep.</summary>
    private static readonly Dictionary<string, int> Modifiers = new(StringComparer.Ordinal)
    {
        ["HMMA"] = 1,
        ["HGMMA"] = 1,
        ["LDSM"] = 3,
        ["LDG"] = 2,
        ["STG"] = 2,
        ["LDS"] = 1,
        ["STS"] = 1,
        ["MUFU"] = 1,
        ["UTMALDG"] = 1,
    };

    /// <summary>No code.</summary>
    public static SassListing Empty { get; } = new([], []);

    /// <summary>Whether the tensor cores are used.</summary>
    public bool UsesTensorCores => Instructions.Any(IsTensorCore);

    /// <summary>Among the loops that hold no other, the largest of those on the tensor cores, else the largest.</summary>
    public SassLoop? MainLoop => InnerLoops.MaxBy(loop => (loop.Instructions.Any(IsTensorCore), loop.Instructions.Count));

    public static SassListing Parse(string text)
    {
        List<SassInstruction> instructions = [];
        List<(int From, int To)> loops = [];
        foreach (Match match in Instruction().Matches(text))
        {
            int address = Hexadecimal(match.Groups["address"].Value);
            string body = match.Groups["text"].Value.Trim();
            string mnemonic = MnemonicOf(Predicate().Replace(body, string.Empty));
            instructions.Add(new SassInstruction(address, mnemonic));

            // The endless branch to itself behind the last EXIT is no loop.
            if (Branch().Match(body) is { Success: true } branch && Hexadecimal(branch.Groups["target"].Value) is int target && target < address) loops.Add((target, address));
        }

        IEnumerable<(int From, int To)> inner = loops.Where(loop => !loops.Any(other => other != loop && other.From >= loop.From && other.To <= loop.To));
        return new SassListing(instructions, [.. inner.Select(loop => new SassLoop([.. instructions.Where(instruction => instruction.Address >= loop.From && instruction.Address <= loop.To)]))]);
    }

    private static bool IsTensorCore(SassInstruction instruction)
        => instruction.Mnemonic.StartsWith("HMMA", StringComparison.Ordinal) || instruction.Mnemonic.StartsWith("HGMMA", StringComparison.Ordinal);

    private static string MnemonicOf(string body)
    {
        string[] parts = body.Split(' ', 2)[0].Split('.');
        return string.Join('.', parts.Take(1 + Modifiers.GetValueOrDefault(parts[0])));
    }

    private static int Hexadecimal(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"/\*(?<address>[0-9a-f]{4,6})\*/\s+(?<text>[^;]*);", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Instruction();

    [GeneratedRegex(@"^@!?U?P\w+\s+", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Predicate();

    [GeneratedRegex(@"\bBRA(\.\w+)*\s+(!?U?P\w+,\s*)?0x(?<target>[0-9a-f]+)", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Branch();
}
