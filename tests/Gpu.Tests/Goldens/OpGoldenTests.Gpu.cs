using MiniVlp.Gpu.Tests;
using Xunit;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    public static TheoryData<string, string> DevicesAndNames()
    {
        TheoryData<string, string> rows = [];
        foreach (string device in GpuDevices.Names.Where(device => device != "ilgpu-cpu"))
        {
            if (GpuDevices.Find(device).Device is null) rows.Add(device, string.Empty);
            else foreach (string name in Names().Select(row => row.Data)) rows.Add(device, name);
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(DevicesAndNames))]
    public void Outputs_and_gradients_equal_those_of_PyTorch(string deviceName, string name) => Check(name, GpuDevices.RequireFast(deviceName));
}
