using System.Reflection;
using ILGPU;
using ILGPU.Backends.OpenCL;
using ILGPU.Frontend.Intrinsic;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.IR.Values;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Teaches a context the methods that ILGPU does not know: fused multiply-add everywhere, and PTX instructions on CUDA.</summary>
internal static class GpuIntrinsics
{
    static GpuIntrinsics()
        => RemappedIntrinsics.AddRemapping(typeof(MathF), typeof(GpuIntrinsics), nameof(FusedMultiplyAdd), typeof(float), typeof(float), typeof(float));

    public static void Register(Context context)
    {
        MethodInfo fusedMultiplyAdd = typeof(GpuIntrinsics).GetMethod(nameof(FusedMultiplyAdd))!;
        IntrinsicImplementationManager manager = context.GetIntrinsicManager();
        PtxIntrinsics.Register(manager, fusedMultiplyAdd, "fma.rn.f32 %0, %1, %2, %3;");
        PtxIntrinsics.Register(manager, typeof(InstructionsAmpere));
        PtxIntrinsics.Register(manager, typeof(InstructionsHopper));
        manager.RegisterMethod(fusedMultiplyAdd, new CLIntrinsic(typeof(GpuIntrinsics), nameof(GenerateOpenClFusedMultiplyAdd), IntrinsicImplementationMode.GenerateCode));
    }

    /// <summary>What MathF.FusedMultiplyAdd becomes in a kernel; this body is for ILGPU's CPU accelerator.</summary>
    [IntrinsicImplementation]
    public static float FusedMultiplyAdd(float x, float y, float z) => (float)(((double)x * y) + z);

    private static void GenerateOpenClFusedMultiplyAdd(CLBackend backend, CLCodeGenerator generator, Value value)
    {
        MethodCall call = (MethodCall)value;
        using CLCodeGenerator.StatementEmitter statement = generator.BeginStatement(generator.Allocate(value));
        statement.AppendCommand("fma(");
        for (int i = 0; i < call.Nodes.Length; i++)
        {
            if (i > 0) statement.AppendCommand(", ");
            statement.Append(generator.Load(call.Nodes[i]));
        }

        statement.AppendCommand(")");
    }
}
