namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>Which instructions a kernel uses beyond those that every device has.</summary>
internal enum CudaLevel
{
    /// <summary>No inline PTX: CUDA of any generation, OpenCL, and ILGPU's CPU accelerator.</summary>
    Portable,

    /// <summary>Inline PTX of sm_80 and later: mma.sync, ldmatrix, cp.async.</summary>
    Sm80,

    /// <summary>Inline PTX of sm_90a and of nothing else: wgmma, TMA, setmaxnreg.</summary>
    Sm90a,
}
