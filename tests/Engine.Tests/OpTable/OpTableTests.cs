using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Runs every case of the table on every CPU tier, with one and two threads.</summary>
[Collection("op table")]
public sealed class OpTableTests
{
    public static TheoryData<SimdTier, string> Rows()
    {
        TheoryData<SimdTier, string> rows = [];
        foreach (SimdTier tier in Enum.GetValues<SimdTier>())
            foreach (OpCase opCase in OpCases.All) rows.Add(tier, opCase.Name);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Forward_and_gradients_equal_the_reference(SimdTier tier, string name)
    {
        OpCase opCase = OpCases.Get(name);
        OpExpectation expected = OpExpectation.Of(opCase);
        OpRunner.Result one = OpRunner.Check(opCase, TestDevices.Get(tier, 1));
        OpRunner.Result two = OpRunner.Run(opCase, expected, TestDevices.Get(tier, 2), needsGradient: null);
        OpRunner.AssertSameBits(one.Output, two.Output, "forward with two threads");
        for (int i = 0; i < one.Gradients.Length; i++) OpRunner.AssertSameBits(one.Gradients[i], two.Gradients[i], $"gradient of operand {i} with two threads");

        // A gradient does not depend on which other operands need one.
        for (int only = 0; opCase.HasGradient && opCase.Inputs.Length > 1 && only < opCase.Inputs.Length; only++)
        {
            OpRunner.Result alone = OpRunner.Run(opCase, expected, TestDevices.Get(tier, 1), needsGradient: only);
            OpRunner.AssertSameBits(one.Gradients[only], alone.Gradients[only], $"gradient of operand {only} alone");
        }
    }
}
