using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;
using Group = ILGPU.Group;

namespace MiniVlp.Gpu.Tests;

/// <summary>The PTX of kernels, made without a device.</summary>
public sealed partial class PtxCompilerTests
{
    [Fact]
    public void Text_IsTheSameFromEveryContext()
    {
        GpuKernelInfo kernel = GpuKernelInfo.Of<GpuBackend.UnaryBackwardKernel<Gelu>>();
        using PtxCompiler first = new(PtxTarget.Sm80), second = new(PtxTarget.Sm80);
        _ = second.Compile(GpuKernelInfo.Of<GpuBackend.FillKernel>());
        PtxKernel ptx = first.Compile(kernel);
        Assert.Equal("UnaryBackwardKernel_Gelu", ptx.Name);
        Assert.Equal(ptx.Text, second.Compile(kernel).Text);
        Assert.Equal(ptx.Text, first.Compile(kernel).Text);
        Assert.Contains(".visible .entry UnaryBackwardKernel_Gelu(", ptx.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(".func", ptx.Text, StringComparison.Ordinal);
        Assert.Contains("fma.rn.f32", ptx.Text, StringComparison.Ordinal);
    }

    /// <summary>These two share most of their methods, with other sizes in them: a context that remembers gives the second one another order of loads.</summary>
    [Fact]
    public void Text_DoesNotDependOnEarlierKernels()
    {
        GpuKernelInfo narrow = GpuKernelInfo.Of<GpuBackend.AttentionKernel<AlignedAccess, GpuBackend.HeadWidth64>>(), wide = GpuKernelInfo.Of<GpuBackend.AttentionKernel<AlignedAccess, GpuBackend.HeadWidth128>>();
        using PtxCompiler narrowFirst = new(PtxTarget.Sm90a), wideFirst = new(PtxTarget.Sm90a);
        string narrowAlone = narrowFirst.Compile(narrow).Text, wideAlone = wideFirst.Compile(wide).Text;
        Assert.Equal(narrowAlone, wideFirst.Compile(narrow).Text);
        Assert.Equal(wideAlone, narrowFirst.Compile(wide).Text);
    }

    [Fact]
    public void Text_NamesTheTarget()
    {
        using PtxCompiler hopper = new(PtxTarget.Sm90a), turing = new(new PtxTarget(7, 5, new Version(7, 8)));
        Assert.Contains(".version 8.3\n.target sm_80\n", hopper.Compile(GpuKernelInfo.Of<GpuBackend.FillKernel>()).Text, StringComparison.Ordinal);
        Assert.Contains(".version 8.3\n.target sm_90a\n", hopper.Compile(GpuKernelInfo.Of<Hopper>()).Text, StringComparison.Ordinal);
        Assert.Contains(".version 7.8\n.target sm_75\n", turing.Compile(GpuKernelInfo.Of<GpuBackend.FillKernel>()).Text, StringComparison.Ordinal);
        NotSupportedException exception = Assert.Throws<NotSupportedException>(() => turing.Compile(GpuKernelInfo.Of<Hopper>()));
        Assert.Contains("Sm90a", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ClusterAndSharedMemory_AreDeclared()
    {
        using PtxCompiler compiler = new(PtxTarget.Sm90a);
        string text = compiler.Compile(GpuKernelInfo.Of<Hopper>()).Text;
        Assert.Contains(".maxntid 128, 1, 1\n.reqnctapercluster 2, 1, 1\n.minnctapersm 2\n", text, StringComparison.Ordinal);
        Assert.Contains(".extern .shared .align 1024 ", text, StringComparison.Ordinal);
        Assert.Contains("\t.shared .align 16 ", text, StringComparison.Ordinal);
    }

    [Fact]
    public void BranchOnAnAtomic_IsNotUniform()
    {
        using PtxCompiler compiler = new(PtxTarget.Sm80);
        string text = compiler.Compile(GpuKernelInfo.Of<BranchOnAtomic>()).Text;
        Assert.Matches(@"@!?%p\d+\s+bra\s", text);
        Assert.DoesNotMatch(@"@!?%p\d+\s+bra\.uni", text);
    }

    [Fact]
    public void FailedKernel_DoesNotSpoilTheNext()
    {
        using PtxCompiler compiler = new(PtxTarget.Sm80);
        NotSupportedException exception = Assert.Throws<NotSupportedException>(() => compiler.Compile(GpuKernelInfo.Of<Throwing>()));
        Assert.Contains(nameof(Throwing), exception.Message, StringComparison.Ordinal);
        Assert.Contains("st.global", compiler.Compile(GpuKernelInfo.Of<GpuBackend.FillKernel>()).Text, StringComparison.Ordinal);
    }

    public static TheoryData<Type> Kernels =>
    [
        typeof(GpuBackend.FillKernel), typeof(GpuBackend.UnaryKernel<Gelu>), typeof(GpuBackend.UnaryBackwardKernel<Gelu>),
        typeof(Nested), typeof(ViewAlone), typeof(NumberAlone), typeof(Hopper), typeof(BranchOnAtomic), typeof(Mixed),
    ];

    /// <summary>ILGPU loads every field of the parameter; where it reads, the packer must have written.</summary>
    [Theory]
    [MemberData(nameof(Kernels))]
    public void PackedParameter_HasTheLayoutOfThePtx(Type kernel)
    {
        using PtxCompiler compiler = new(PtxTarget.Sm90a);
        string text = compiler.Compile(GpuKernelInfo.Of(kernel)).Text;
        Type arguments = typeof(KernelArguments<>).MakeGenericType(kernel);
        int size = (int)arguments.GetProperty("Size", BindingFlags.Public | BindingFlags.Static)!.GetValue(null)!;
        IReadOnlyList<ParameterField> fields = (IReadOnlyList<ParameterField>)arguments.GetProperty("Fields", BindingFlags.Public | BindingFlags.Static)!.GetValue(null)!;

        Match parameter = Parameter().Match(text);
        Assert.True(parameter.Success, text);
        Assert.Equal(Number(parameter.Groups["bytes"], Number(parameter.Groups["bits"], 0) / 8), size);
        ParameterField[] read = [.. Load().Matches(text).Select(match => new ParameterField(Number(match.Groups["offset"], 0), Number(match.Groups["bits"], 0) / 8))];
        Assert.Equal(fields, read);
    }

    private static int Number(System.Text.RegularExpressions.Group group, int otherwise) => group.Success ? int.Parse(group.ValueSpan, CultureInfo.InvariantCulture) : otherwise;

    [GeneratedRegex(@"\.entry \w+\(\n\t\.param (\.align \d+ )?\.[bfsu](?<bits>\d+) \w+(\[(?<bytes>\d+)\])?\n\)", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Parameter();

    [GeneratedRegex(@"ld\.param\.[bfsu](?<bits>\d+)\s+%\w+, \[\w+?(\+(?<offset>\d+))?\];", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Load();

    internal readonly record struct Pair(int First, double Second);

    internal readonly record struct Deep(byte Small, Pair Pair, short Short);

    internal readonly record struct Nested(int Number, GpuTarget Target, Deep Deep, float Last, GpuTarget Second) : IGpuKernel
    {
        public static int GroupSize => 64;

        public void Execute()
        {
            Target.Put(Number, (float)Deep.Pair.Second + Deep.Pair.First + Deep.Small + Deep.Short);
            Second.Put(Number, Last);
        }
    }

    internal readonly record struct ViewAlone(ArrayView<int> View) : IGpuKernel
    {
        public static int GroupSize => 64;

        public void Execute() => View[Group.IdxX] = (int)View.Length;
    }

    internal readonly record struct NumberAlone(long Number) : IGpuKernel
    {
        public static int GroupSize => 64;

        public void Execute()
        {
            ArrayView<long> shared = SharedMemory.Allocate<long>(64);
            shared[Group.IdxX] = Number;
        }
    }

    internal readonly record struct Mixed(byte A, ArrayView<double> B, short C, Pair D, int E, long F, float G) : IGpuKernel
    {
        public static int GroupSize => 64;

        public void Execute() => B[Group.IdxX] = A + C + D.First + D.Second + E + F + G;
    }

    internal readonly record struct Hopper(ArrayView<float> Values) : IGpuKernel
    {
        public static int GroupSize => 128;

        public static int DynamicSharedBytes => 1 << 16;

        public static int MinGroupsPerMultiprocessor => 2;

        public static int ClusterSize => 2;

        public static CudaLevel Level => CudaLevel.Sm90a;

        public void Execute()
        {
            ArrayView<float> dynamic = SharedMemory.GetDynamic<float>(), fixedSize = SharedMemory.Allocate<float>(128);
            dynamic[Group.IdxX] = Values[Group.IdxX];
            fixedSize[Group.IdxX] = Values[Group.IdxX + 128];
            Group.Barrier();
            Values[Group.IdxX] = dynamic[Group.IdxX ^ 1] + fixedSize[Group.IdxX ^ 1];
        }
    }

    internal readonly record struct BranchOnAtomic(ArrayView<int> Values, int Count) : IGpuKernel
    {
        public static int GroupSize => 128;

        public void Execute()
        {
            int value = Atomic.Add(ref Values[0], 1);
            if (value > 5)
            {
                for (int i = 0; i < Count; i++) Values[i + 1] = value;
            }

            Values[Group.IdxX + 1000] = value;
        }
    }

    internal readonly record struct Throwing(ArrayView<float> Values) : IGpuKernel
    {
        public static int GroupSize => 128;

        public void Execute() => Values[0] = float.Parse("1", CultureInfo.InvariantCulture);
    }
}
