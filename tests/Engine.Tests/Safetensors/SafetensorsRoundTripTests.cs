using System.Collections.Immutable;
using CsCheck;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

public sealed class SafetensorsRoundTripTests
{
    private static readonly Gen<string> Name = Gen.OneOf(
        Gen.String[Gen.Char.AlphaNumeric, 1, 12],
        Gen.OneOf("", "a.b", "é", "\"quoted\\\"", "\u0001", "图像", "😀", "__metadata", "x\u007f"));

    private static readonly Gen<ImmutableArray<long>> Shape = Gen.Long[0, 5].Array[0, 4].Select(shape => shape.ToImmutableArray());

    private static readonly Gen<Declaration> Tensor = Gen.Select(Name, Gen.Enum<SafetensorsDtype>(), Shape, Gen.Int)
        .Select((name, dtype, shape, seed) => new Declaration(name, dtype, shape, Bytes(dtype, shape, seed)));

    private sealed record Declaration(string Name, SafetensorsDtype Dtype, ImmutableArray<long> Shape, byte[] Data);

    private static byte[] Bytes(SafetensorsDtype dtype, ImmutableArray<long> shape, int seed)
    {
        byte[] bytes = new byte[shape.Aggregate((long)dtype.ElementSize(), (product, length) => product * length)];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    [Fact]
    public void Names_types_shapes_bytes_and_metadata_survive_in_one_file_and_in_shards()
    {
        using TemporaryDirectory directory = new();
        Gen.Select(Tensor.Array[0, 8], Gen.Dictionary(Gen.String, Gen.String)[0, 3], Gen.Int[1, 900]).Sample(
            (declared, metadata, maxShardBytes) =>
            {
                Declaration[] tensors = [.. declared.DistinctBy(tensor => tensor.Name)];
                Dictionary<string, string> text = metadata.Where(pair => IsText(pair.Key) && IsText(pair.Value)).ToDictionary(StringComparer.Ordinal);

                using (SafetensorsWriter writer = SafetensorsWriter.Create(directory["one.safetensors"], text))
                {
                    Write(writer, tensors);
                }

                using (SafetensorsFile file = SafetensorsFile.Open(directory["one.safetensors"]))
                {
                    Check(file, tensors, text);
                }

                using (SafetensorsWriter writer = SafetensorsWriter.CreateSharded(directory.Path, maxShardBytes, "model", text))
                {
                    Write(writer, tensors);
                }

                using (SafetensorsFile file = SafetensorsFile.Open(directory.Path))
                {
                    Check(file, tensors, text);
                }
            },
            iter: 200,
            threads: 1);
    }

    private static bool IsText(string text) => System.Text.Unicode.Utf8.IsValid(System.Text.Encoding.UTF8.GetBytes(text)) && !text.Any(char.IsSurrogate);

    private static void Write(SafetensorsWriter writer, Declaration[] tensors)
    {
        foreach (Declaration tensor in tensors)
        {
            writer.Declare(tensor.Name, tensor.Dtype, tensor.Shape.AsSpan());
        }

        foreach (Declaration tensor in tensors.Reverse())
        {
            writer.WriteBytes(tensor.Name, tensor.Data);
        }

        writer.Complete();
    }

    private static void Check(SafetensorsFile file, Declaration[] tensors, Dictionary<string, string> metadata)
    {
        Assert.Equal(metadata, file.Metadata);
        Assert.Equal(tensors.Length, file.Entries.Count);
        foreach (Declaration tensor in tensors)
        {
            TensorEntry entry = file.Entry(tensor.Name);
            Assert.Equal((tensor.Name, tensor.Dtype), (entry.Name, entry.Dtype));
            Assert.Equal(tensor.Shape, entry.Shape);
            Assert.Equal(tensor.Data, file.ReadBytes(tensor.Name));
        }
    }

    [Theory]
    [InlineData(SafetensorsDtype.F32)]
    [InlineData(SafetensorsDtype.F16)]
    [InlineData(SafetensorsDtype.BF16)]
    public void Float32_values_come_back_rounded_to_the_type_of_the_file(SafetensorsDtype dtype)
    {
        // Longer than one block of the writer.
        float[] values = [.. Enumerable.Range(0, 70_001).Select(i => (i - 35_000) / 7f)];
        using TemporaryDirectory directory = new();
        using (SafetensorsWriter writer = SafetensorsWriter.Create(directory["x"]))
        {
            writer.Declare("x", dtype, [values.Length]);
            writer.Write("x", values);
            writer.Complete();
        }

        using SafetensorsFile file = SafetensorsFile.Open(directory["x"]);
        float[] read = new float[values.Length];
        file.ReadFloat32("x", read);
        double halfUnit = dtype == SafetensorsDtype.F32 ? 0 : Math.ScaleB(1, dtype == SafetensorsDtype.F16 ? -11 : -8);
        Assert.All(values.Zip(read), pair => Assert.InRange(Math.Abs((double)pair.First - pair.Second), 0, halfUnit * Math.Abs(pair.First)));
    }

    [Theory]
    [InlineData(SafetensorsDtype.I32, int.MinValue, int.MaxValue)]
    [InlineData(SafetensorsDtype.I64, int.MinValue, int.MaxValue)]
    [InlineData(SafetensorsDtype.U8, 0, 255)]
    [InlineData(SafetensorsDtype.Bool, 0, 1)]
    public void Int32_values_come_back(SafetensorsDtype dtype, int smallest, int largest)
    {
        using TemporaryDirectory directory = new();
        Gen.Int[smallest, largest].Array[0, 50].Sample(
            values =>
            {
                using (SafetensorsWriter writer = SafetensorsWriter.Create(directory["x"]))
                {
                    writer.Declare("x", dtype, [values.Length]);
                    writer.Write("x", values);
                    writer.Complete();
                }

                using SafetensorsFile file = SafetensorsFile.Open(directory["x"]);
                int[] read = new int[values.Length];
                file.ReadInt32("x", read);
                Assert.Equal(values, read);
            },
            iter: 50,
            threads: 1);
    }
}
