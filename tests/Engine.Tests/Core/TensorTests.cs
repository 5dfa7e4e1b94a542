using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Shapes, tensors and scopes.</summary>
public sealed class TensorTests
{
    [Fact]
    public void ShapesCountFromBothEnds()
    {
        Shape shape = [2, 3, 4];
        Assert.Equal(24, shape.Length);
        Assert.Equal(4, shape[-1]);
        Assert.Equal(2, shape[0]);
        Assert.Equal(12, shape.LengthAfter(0));
        Assert.Equal(6, shape.LengthBefore(-1));
        Assert.Equal([2, 7, 4], shape.With(1, 7));
        Assert.Equal([2, 4], shape.Without(1));
        Assert.Equal("[2, 3, 4]", shape.ToString());
        Assert.Equal([2, 3, 4], shape.ToArray());
        Assert.True(shape != shape.With(0, 1) && shape.Equals((object)Shape.Create([2, 3, 4])) && !shape.Equals("[2, 3, 4]"));
        Assert.Equal(shape.GetHashCode(), Shape.Create([2, 3, 4]).GetHashCode());
        Assert.Equal(1, default(Shape).Length);
        int sum = 0;
        foreach (int size in shape) sum += size;
        Assert.Equal(9, sum);
    }

    [Fact]
    public void WrongShapesAreNamed()
    {
        Assert.Contains("axes", Assert.Throws<ShapeException>(() => Shape.Create([1, 1, 1, 1, 1, 1, 1])).Message, StringComparison.Ordinal);
        Assert.Contains("-2", Assert.Throws<ShapeException>(() => Shape.Create([3, -2])).Message, StringComparison.Ordinal);
        Assert.Contains("65536", Assert.Throws<ShapeException>(() => Shape.Create([65536, 65536])).Message, StringComparison.Ordinal);
        Assert.Contains("[2, 3]", Assert.Throws<ShapeException>(() => Shape.Create([2, 3])[2]).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ValuesGoInAndOut()
    {
        using TensorScope scope = new();
        Tensor tensor = Tensor.FromArray([1, 2, 3, 4, 5, 6], [2, 3]);
        Assert.Equal([1, 2, 3, 4, 5, 6], tensor.ToArray());
        tensor.CopyFrom([6, 5, 4, 3, 2, 1]);
        Tensor copy = Tensor.Zeros([2, 3]);
        copy.CopyFrom(tensor);
        Assert.Equal([6, 5, 4, 3, 2, 1], copy.ToArray());
        Assert.Equal([7, 7], Tensor.Full([2], 7).ToArray());
        Assert.Throws<ShapeException>(() => Tensor.FromArray([1, 2, 3], [2, 2]));
        Assert.Throws<ShapeException>(() => tensor.CopyTo(new float[5]));
        Assert.Throws<ShapeException>(() => tensor.CopyFrom([1]));
        Assert.Throws<ShapeException>(() => tensor.Item());
        string message = Assert.Throws<ShapeException>(() => tensor.CopyFrom(Tensor.Zeros([3, 2]))).Message;
        Assert.Contains("[2, 3]", message, StringComparison.Ordinal);
        Assert.Contains("Reshape", message, StringComparison.Ordinal);
        Assert.Equal("Tensor [2, 3] on " + Device.Cpu, tensor.ToString());
        IndexTensor ids = IndexTensor.FromArray([3, 1, 2], [3]);
        Assert.Equal([3, 1, 2], ids.Reshape([3, 1]).ToArray());
        Assert.Throws<ShapeException>(() => ids.Reshape([2]));
        Assert.Throws<ShapeException>(() => IndexTensor.FromArray([1], [2]));
        Assert.Equal([0, 1, 2], IndexTensor.Range(3).ToArray());
        Assert.StartsWith("IndexTensor [3]", ids.ToString(), StringComparison.Ordinal);
        ids.Dispose();
        Assert.Throws<ObjectDisposedException>(() => ids.ToArray());
    }

    [Fact]
    public void AScopeReturnsWhatItOwnsAndKeepsWhatIsKept()
    {
        using Device device = new(new CpuBackend(1));
        Tensor kept, lost;
        using (TensorScope outer = new())
        {
            using (TensorScope inner = new())
            {
                lost = Tensor.Zeros([4], device);
                kept = inner.Keep(Tensor.Full([4], 2f, device));
                _ = new IndexTensor([4], device);
                Assert.Equal(3, device.Backend.RentedCount);
            }

            Assert.Equal(1, device.Backend.RentedCount);
            Assert.Equal([2, 2, 2, 2], kept.ToArray());
            Assert.True(lost.IsReleased);
            Assert.Contains("[4]", Assert.Throws<ObjectDisposedException>(() => lost.ToArray()).Message, StringComparison.Ordinal);
        }

        Assert.Equal(0, device.Backend.RentedCount);
    }

    [Fact]
    public void ScopesCloseInReverseOrder()
    {
        TensorScope outer = new();
        TensorScope inner = new();
        Assert.Throws<InvalidOperationException>(outer.Dispose);
        inner.Dispose();
        inner.Dispose();
        Assert.Throws<ObjectDisposedException>(() => inner.Keep(Tensor.FromScalar(1)));
        outer.Dispose();
        Assert.Null(TensorScope.Current);
    }

    [Fact]
    public void ATensorWithoutAScopeIsFreedByItsFinalizer()
    {
        using Device device = new(new CpuBackend(1));
        WeakReference memory = Abandon(device);
        for (int i = 0; i < 5 && memory.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(memory.IsAlive);

        static WeakReference Abandon(Device device) => new(Tensor.Zeros([1000], device).Buffer.Memory);
    }

    [Fact]
    public void TheTapeRefusesWhatItCannotDo()
    {
        using Tape tape = Tape.Record();
        Tensor x = Tensor.Full([3], 2f), y = x.Square().Sum();
        Assert.Contains("NeedsGradient", Assert.Throws<InvalidOperationException>(() => tape.Backward(y)).Message, StringComparison.Ordinal);
        x.NeedsGradient = true;
        Tensor loss = x.Square().Sum();
        Assert.Throws<ShapeException>(() => tape.Backward(loss, Tensor.Zeros([2])));
        tape.Backward(loss);
        Assert.Equal([4, 4, 4], x.Gradient!.ToArray());
        Assert.Contains("once", Assert.Throws<InvalidOperationException>(() => tape.Backward(loss)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void BackwardReturnsIntermediatesAndKeepsWhatIsRetained()
    {
        using Tape tape = Tape.Record();
        Tensor x = Tensor.Full([3], 2f);
        x.NeedsGradient = true;
        Tensor square = x.Square(), exp = tape.Retain(square.Exp()), loss = exp.Sum();
        tape.Backward(loss, Tensor.FromScalar(0.5f));
        Assert.True(square.IsReleased);
        Assert.Equal(MathF.Exp(4), exp.ToArray()[0], 1e-4f);
        Assert.Equal([0.5f, 0.5f, 0.5f], exp.Gradient!.ToArray());
        Assert.Equal(0.5f * MathF.Exp(4) * 4, x.Gradient!.ToArray()[0], 1e-3f);
        Assert.Equal(3 * MathF.Exp(4), loss.Item(), 1e-3f);
    }

    [Fact]
    public void PausedOperationsAreNotRecorded()
    {
        using Tape tape = Tape.Record();
        Tensor x = Tensor.Full([3], 2f);
        x.NeedsGradient = true;
        Tensor constant;
        using (Tape.NoGradient())
        {
            Assert.False(Tape.IsRecording);
            constant = x.Square();
        }

        Assert.True(Tape.IsRecording);
        Assert.False(constant.NeedsGradient);
        tape.Backward((x * constant).Sum());
        Assert.Equal([4, 4, 4], x.Gradient!.ToArray());
        Assert.False(Tape.IsRecording);
    }

    [Fact]
    public void IntegersAreReplacedInPartAndWhatIsKnownOfThemIsForgotten()
    {
        using IndexTensor ids = IndexTensor.CreatePersistent([3, 2], Device.Cpu), fresh = IndexTensor.FromArray([7, 8], [1, 2]);
        ids.CopyFrom([1, 2, 3, 4, 5, 0]);
        ids.CopyFrom(fresh.Slice(0, 1), 3);
        Assert.Equal([1, 2, 3, 7, 8, 0], ids.ToArray());
        Assert.Equal(Shape.Create([2, 2]), ids.Slice(1, 2).Shape);
        Assert.Equal([3, 7, 8, 0], ids.Slice(1, 2).ToArray());

        // 8 is now the largest: a table of six rows has no such row.
        Assert.Throws<ArgumentOutOfRangeException>(() => Tensor.Zeros([6, 1]).GatherRows(ids));
        Assert.Throws<ShapeException>(() => ids.CopyFrom(fresh, 5));
        Assert.Throws<ShapeException>(() => ids.Slice(2, 2));
        using Device other = Device.CreateCpu(1);
        using IndexTensor elsewhere = IndexTensor.FromArray([1], [1], other);
        Assert.Throws<ArgumentException>(() => ids.CopyFrom(elsewhere, 0));
    }

    [Fact]
    public void TheHostDrawsFromTheStreamThatAPositionNames()
    {
        Generator generator = new(3, 5);
        double first = generator.NextUniform();
        Assert.Equal(6UL, generator.Position);
        Assert.Equal(first, new Generator(3, 5).NextUniform());
        int[] counts = new int[7];
        double sum = 0;
        for (int i = 0; i < 70_000; i++)
        {
            counts[generator.Next(7)]++;
            double uniform = generator.NextUniform();
            Assert.InRange(uniform, 0, 1 - 1e-17);
            sum += uniform;
        }

        Assert.All(counts, count => Assert.InRange(count, 9_600, 10_400));
        Assert.Equal(0.5, sum / 70_000, 0.005);
        int[] values = [.. Enumerable.Range(0, 20)];
        generator.Shuffle<int>(values);
        Assert.NotEqual(Enumerable.Range(0, 20), values);
        Assert.Equal(Enumerable.Range(0, 20), values.Order());
        Assert.Throws<ArgumentOutOfRangeException>(() => generator.Next(0));
    }

    /// <summary>The one way to a tensor with undefined contents is a Function, whose Backward is abstract.</summary>
    [Fact]
    public void NothingButAFunctionAllocatesAResult()
    {
        Assert.True(typeof(Function).GetMethod(nameof(Function.Backward))!.IsAbstract);
        Assert.Equal([typeof(Function)], typeof(Function).Assembly.GetTypes().Concat(typeof(Tensor).Assembly.GetTypes()).Where(type => type.BaseType == typeof(TensorProducer)));
        Assert.Empty(typeof(Tensor).GetConstructors());
        Assert.All(typeof(TensorProducer).GetConstructors(System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic), constructor => Assert.True(constructor.IsFamilyAndAssembly));
    }
}
