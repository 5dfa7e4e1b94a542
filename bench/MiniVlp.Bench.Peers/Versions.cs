using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MiniVlp.Bench.Peers;

/// <summary>What runs here.</summary>
internal static class Versions
{
    /// <summary>The runtime and, unless they are left out, the peers.</summary>
    public static SoftwareLine OfThisProcess(bool oursOnly)
    {
        SortedDictionary<string, string> software = new(StringComparer.Ordinal) { [".NET"] = RuntimeInformation.FrameworkDescription };
        if (!oursOnly) AddPeers(software);
        return new SoftwareLine(software);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AddPeers(SortedDictionary<string, string> software)
    {
        software["libtorch"] = TorchSharp.torch.__version__;
        software["TorchSharp"] = Version(typeof(TorchSharp.torch));
        software["ONNX Runtime"] = Microsoft.ML.OnnxRuntime.OrtEnv.Instance().GetVersionString();
    }

    private static string Version(Type type) => FileVersionInfo.GetVersionInfo(type.Assembly.Location).ProductVersion ?? "unknown";
}
