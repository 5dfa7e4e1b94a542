using MiniVlp.Cli;
using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using MiniVlp.PtxSim.Machine;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>A CUDA device that cannot be opened or computes wrongly: passed over with a warning where nobody asked for it, an error where somebody did.</summary>
public sealed class DeviceChoiceTests : IDisposable
{
    private const int DeviceUnavailable = 46;

    public DeviceChoiceTests()
    {
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver fails when it is told to.");
        SimulatedDevice.RequireDriver();
    }

    public void Dispose()
    {
        StandInDriver.DeviceCount = 1;
        StandInDriver.ContextError = 0;
        StandInDriver.OnLaunch = null;
        StandInDriver.OnModule = null;
    }

    [Fact]
    public void ADeviceThatCannotBeOpened_IsNotSupported_WithTheReason()
    {
        StandInDriver.ContextError = DeviceUnavailable;
        PlatformNotSupportedException exception = Assert.Throws<PlatformNotSupportedException>(() => GpuBackend.CreateCuda());
        Assert.Contains($"error {DeviceUnavailable}", exception.Message, StringComparison.Ordinal);
        StandInDriver.ContextError = 0;
        using GpuBackend backend = GpuBackend.CreateCuda();
        Assert.Null(backend.SelfTest());
    }

    [Fact]
    public void ADamagedKernel_IsSeenByTheSelfTest()
    {
        using GpuBackend backend = GpuBackend.CreateCuda();
        StandInDriver.OnModule = text => text.Contains(".entry MatMul", StringComparison.Ordinal) ? text.Replace("add.f32", "sub.f32", StringComparison.Ordinal) : text;
        Assert.Contains("a matrix product is wrong", backend.SelfTest(), StringComparison.Ordinal);
    }

    [Fact]
    public void AKernelThatFails_IsSeenByTheSelfTest()
    {
        using GpuBackend backend = GpuBackend.CreateCuda();
        StandInDriver.OnLaunch = FailingLaunch;
        Assert.Contains("a stray write", backend.SelfTest(), StringComparison.Ordinal);
    }

    [Fact]
    public void WhereNobodyAskedForIt_OneWarningIsGiven()
    {
        // A launch that fails and wrong numbers on the device that the process shares; whether it was opened before depends on other tests.
        foreach ((Action<SimulatedKernel, KernelLaunch> fault, string expected) in ((Action<SimulatedKernel, KernelLaunch>, string)[])[(FailingLaunch, "a stray write"), (OtherSeed, "random numbers is wrong")])
        {
            StandInDriver.OnLaunch = fault;
            string warning = Assert.Single(WarningsOfTheSearch());
            Assert.Contains("failed its self-test", warning, StringComparison.Ordinal);
            Assert.Contains(expected, warning, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void ADeviceThatCannotBeOpened_IsPassedOver_AndMayBeOpenedLater()
    {
        StandInDriver.DeviceCount = 2;
        StandInDriver.ContextError = DeviceUnavailable;
        StandInDriver.OnLaunch = FailingLaunch;
        Assert.Collection(
            WarningsOfTheSearch(),
            first => Assert.StartsWith("cuda (", first, StringComparison.Ordinal),
            second => Assert.Matches(@"^cuda:1 \(.*cannot be used: .*error 46", second));
        Assert.Contains($"--device cuda: The device cuda:1 is there and cannot be opened: error {DeviceUnavailable}", ErrorOfTheTool("cuda:1"), StringComparison.Ordinal);
        StandInDriver.ContextError = 0;
        Assert.Equal("cuda:1", Device.Cuda(1).ToString());
    }

    [Fact]
    public void WhereItIsNamed_AFailedSelfTestIsAnError()
    {
        StandInDriver.OnLaunch = FailingLaunch;
        Assert.Contains("--device cuda: the device failed its self-test: a kernel failed: ", ErrorOfTheTool("cuda"), StringComparison.Ordinal);
    }

    private static string ErrorOfTheTool(string device)
    {
        using StringWriter output = new(), error = new();
        Assert.Equal(ExitCode.Failure, Tool.Run(["info", "nowhere", "--device", device], output, error, TestContext.Current.CancellationToken));
        return error.ToString();
    }

    private static List<string> WarningsOfTheSearch()
    {
        List<string> warnings = [];
        Device device = Device.FindBest(warnings.Add);
        Assert.NotEqual("cuda", device.ToString());
        return warnings;
    }

    private static void FailingLaunch(SimulatedKernel kernel, KernelLaunch launch) => throw new SimulationException("a stray write");

    /// <summary>Random numbers that are not those of the seed: it follows the view, an offset and a scale.</summary>
    private static void OtherSeed(SimulatedKernel kernel, KernelLaunch launch)
    {
        if (kernel.Name.StartsWith("DrawKernel", StringComparison.Ordinal)) launch.Arguments[24] ^= 1;
    }
}
