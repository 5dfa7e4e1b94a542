using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Engine.Tests.Goldens;

[Collection("op table")]
public sealed partial class OpGoldenTests
{
    [Theory]
    [MemberData(nameof(Names))]
    public void Outputs_and_gradients_equal_those_of_PyTorch(string name) => Check(name, TestDevices.Get(CpuBackend.WidestTier, 2));
}
