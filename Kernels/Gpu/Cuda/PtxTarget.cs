using System.Globalization;
using ILGPU.Runtime.Cuda;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>What PTX is written for: a generation of devices, and the version of the language that the driver reads.</summary>
/// <param name="Major">Major number of the compute capability: 9 of 9.0.</param>
/// <param name="Minor">Minor number of the compute capability: 0 of 9.0.</param>
/// <param name="PtxVersion">Version of the PTX language.</param>
internal sealed record PtxTarget(int Major, int Minor, Version PtxVersion)
{
    /// <summary>Ampere (A100) and, since PTX is compiled by the driver, everything after it.</summary>
    public static PtxTarget Sm80 { get; } = new(8, 0, new Version(7, 8));

    /// <summary>Hopper (H100) with the instructions that only Hopper has.</summary>
    public static PtxTarget Sm90a { get; } = new(9, 0, new Version(8, 3));

    /// <summary>The highest level of kernels that run there.</summary>
    public CudaLevel Level => this switch
    {
        { Major: 9, Minor: 0 } when PtxVersion >= Sm90a.PtxVersion => CudaLevel.Sm90a,
        { Major: >= 8 } => CudaLevel.Sm80,
        _ => CudaLevel.Portable,
    };

    /// <summary>Name of the generation, as ptxas spells it: <c>sm_80</c>, <c>sm_90a</c>.</summary>
    public string Architecture => ArchitectureFor(Level);

    /// <summary>A target by name.</summary>
    /// <exception cref="ArgumentException">Not one of <c>sm_80</c> and <c>sm_90a</c>.</exception>
    public static PtxTarget Parse(string architecture) => architecture switch
    {
        "sm_80" => Sm80,
        "sm_90a" => Sm90a,
        _ => throw new ArgumentException($"{architecture}: PTX is written for sm_80 and sm_90a.", nameof(architecture)),
    };

    /// <inheritdoc/>
    public override string ToString() => $"{Architecture}, PTX {PtxVersion}";

    public static PtxTarget Of(CudaAccelerator accelerator) => new(
        accelerator.Architecture.Major, accelerator.Architecture.Minor, new Version(accelerator.InstructionSet.Major, accelerator.InstructionSet.Minor));

    public CudaArchitecture IlgpuArchitecture => new(Major, Minor);

    public CudaInstructionSet IlgpuInstructionSet => new(PtxVersion.Major, PtxVersion.Minor);

    /// <summary>
    /// The least that a kernel must be declared for. Text for an older generation runs on every later one; the features of sm_90a are an
    /// exception to that in both directions.
    /// </summary>
    public string ArchitectureFor(CudaLevel level) => level switch
    {
        CudaLevel.Sm90a => "sm_90a",
        _ when Major >= 8 => "sm_80",
        _ => string.Create(CultureInfo.InvariantCulture, $"sm_{Major}{Minor}"),
    };
}
