using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

/// <summary>Files written by the reference implementation (Python package safetensors); the numbers were read from them with Python's struct.</summary>
public sealed class SafetensorsGoldenTests
{
    [Fact]
    public void Float32_weights_and_metadata_are_read()
    {
        using SafetensorsFile file = SafetensorsFile.Open(SafetensorsBytes.Golden("bert_masked_lm.safetensors"));
        Assert.Equal("pt", file.Metadata["format"]);
        TensorEntry entry = file.Entries["bert.embeddings.word_embeddings.weight"];
        Assert.Equal(SafetensorsDtype.F32, entry.Dtype);
        Assert.Equal([59, 20], entry.Shape);
        Assert.Equal(59 * 20 * 4, entry.ByteLength);
        Assert.Equal("F32[59, 20] bert.embeddings.word_embeddings.weight", entry.ToString());

        float[] values = new float[entry.ElementCount];
        file.ReadFloat32(entry.Name, values);
        Assert.Equal([-0.018051715567708015f, 0.0253447275608778f, -0.32934266328811646f], values[..3]);
        Assert.Equal(-0.06376513093709946f, values[^1]);
        Assert.Equal(-7.1093885634691105, values.Sum(value => (double)value), 12);
    }

    [Fact]
    public void Integers_and_booleans_are_read_as_int32()
    {
        using SafetensorsFile file = SafetensorsFile.Open(SafetensorsBytes.Golden("flava_inputs.safetensors"));
        int[] labels = new int[27];
        file.ReadInt32("mlm_labels", labels);
        Assert.Equal(SafetensorsDtype.I64, file.Entries["mlm_labels"].Dtype);
        Assert.Equal((-100, -2066), (labels[0], labels.Sum()));

        int[] mask = new int[27];
        file.ReadInt32("bool_masked_pos", mask);
        Assert.Equal(SafetensorsDtype.Bool, file.Entries["bool_masked_pos"].Dtype);
        Assert.Equal((1, 0, 1, 16), (mask[0], mask[1], mask[^1], mask.Sum()));
    }

    [Theory]
    [InlineData("bert_masked_lm.safetensors")]
    [InlineData("flava_inputs.safetensors")]
    public void Written_again_the_file_is_the_same_to_the_last_byte(string name)
    {
        using TemporaryDirectory directory = new();
        using (SafetensorsFile file = SafetensorsFile.Open(SafetensorsBytes.Golden(name)))
        using (SafetensorsWriter writer = SafetensorsWriter.Create(directory[name], file.Metadata))
        {
            foreach (TensorEntry entry in file.Entries.Values.Reverse())
            {
                writer.Declare(entry.Name, entry.Dtype, entry.Shape.AsSpan());
            }

            foreach (TensorEntry entry in file.Entries.Values)
            {
                writer.WriteBytes(entry.Name, file.ReadBytes(entry.Name));
            }

            writer.Complete();
        }

        Assert.Equal(File.ReadAllBytes(SafetensorsBytes.Golden(name)), File.ReadAllBytes(directory[name]));
    }
}
