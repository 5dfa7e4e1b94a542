using System.Text;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

public sealed class SafetensorsWriterTests
{
    private static void Save(SafetensorsWriter writer, params (string Name, int Length)[] tensors)
    {
        using (writer)
        {
            foreach ((string name, int length) in tensors)
            {
                writer.Declare(name, SafetensorsDtype.F32, [length]);
            }

            foreach ((string name, int length) in tensors)
            {
                writer.Write(name, new float[length]);
            }

            writer.Complete();
        }
    }

    [Fact]
    public void The_layout_is_that_of_the_reference_implementation()
    {
        using TemporaryDirectory directory = new();
        using (SafetensorsWriter writer = SafetensorsWriter.Create(directory["x"]))
        {
            writer.Declare("z", SafetensorsDtype.Bool, [1]);
            writer.Declare("y", SafetensorsDtype.F32, [2, 1]);
            writer.Declare("x", SafetensorsDtype.F32, ReadOnlySpan<long>.Empty);
            writer.Declare("w", SafetensorsDtype.I64, [1]);
            writer.Write("z", [1]);
            writer.Write("y", [2f, 3f]);
            writer.Write("x", [4f]);
            writer.Write("w", [5]);
            writer.Complete();
        }

        const string Header = """{"__metadata__":{"format":"pt"},"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"""
            + "\"y\":" + """{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]},"z":{"dtype":"BOOL","shape":[1],"data_offsets":[20,21]}}""";
        byte[] padded = Encoding.UTF8.GetBytes(Header.PadRight((Header.Length + 7) / 8 * 8));
        byte[] data = [.. BitConverter.GetBytes(5L), .. BitConverter.GetBytes(4f), .. BitConverter.GetBytes(2f), .. BitConverter.GetBytes(3f), 1];
        Assert.Equal(SafetensorsBytes.File(padded, data), File.ReadAllBytes(directory["x"]));
        Assert.Equal(["x"], directory.Names);
    }

    [Fact]
    public void Misuse_is_named_and_leaves_the_old_file()
    {
        using TemporaryDirectory directory = new();
        File.WriteAllText(directory["x"], "old");
        using (SafetensorsWriter writer = SafetensorsWriter.Create(directory["x"]))
        {
            writer.Declare("f", SafetensorsDtype.F32, [2]);
            writer.Declare("u", SafetensorsDtype.U8, [2]);
            Says<ArgumentException>("'f' is reserved or declared", () => writer.Declare("f", SafetensorsDtype.F32, [2]));
            Says<ArgumentException>("'__metadata__' is reserved", () => writer.Declare("__metadata__", SafetensorsDtype.F32, [2]));
            Says<ArgumentException>("[2, -1]", () => writer.Declare("n", SafetensorsDtype.F32, [2, -1]));
            Says<ArgumentException>("2^63", () => writer.Declare("n", SafetensorsDtype.F32, [long.MaxValue, 2]));
            Says<ArgumentException>("surrogate", () => writer.Declare("\ud800", SafetensorsDtype.F32, [2]));
            Says<ArgumentOutOfRangeException>("element type", () => writer.Declare("n", (SafetensorsDtype)99, [2]));
            Says<ArgumentException>("'q' was not declared", () => writer.Write("q", [1f]));
            Says<ArgumentException>("has 2 elements, the data 1", () => writer.Write("f", [1f]));
            Says<ArgumentException>("takes 8 bytes, not 3", () => writer.WriteBytes("f", [1, 2, 3]));
            Says<ArgumentException>("float32 can become", () => writer.Write("u", [1f, 2f]));
            Says<ArgumentException>("int32 can become", () => writer.Write("f", [1, 2]));
            Says<ArgumentException>("Element 1 of the tensor 'u' is 256", () => writer.Write("u", [255, 256]));
            Says<InvalidOperationException>("'n' is declared after", () => writer.Declare("n", SafetensorsDtype.F32, [2]));
            writer.Write("f", [1f, 2f]);
            Says<InvalidOperationException>("'f' was written already", () => writer.Write("f", [1f, 2f]));
            Says<InvalidOperationException>("1 declared tensors were not written: u", writer.Complete);
        }

        Assert.Equal("old", File.ReadAllText(directory["x"]));
        Assert.Equal(["x"], directory.Names);
        Says<ArgumentException>("surrogate", () => SafetensorsWriter.Create(directory["x"], new Dictionary<string, string> { ["a"] = "\udfff" }).Dispose());

        static void Says<T>(string fragment, Action action)
            where T : Exception => Assert.Contains(fragment, Assert.Throws<T>(action).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_closed_writer_refuses()
    {
        using TemporaryDirectory directory = new();
        SafetensorsWriter writer = SafetensorsWriter.Create(directory["x"]);
        writer.Complete();
        Assert.Throws<ObjectDisposedException>(writer.Complete);
        Assert.Throws<ObjectDisposedException>(() => writer.Declare("a", SafetensorsDtype.U8, [1]));
        writer.Dispose();
        using SafetensorsFile file = SafetensorsFile.Open(directory["x"]);
        Assert.Empty(file.Entries);
    }

    [Fact]
    public void Shards_follow_the_order_of_declaration_and_the_index_is_as_hugging_face_writes_it()
    {
        using TemporaryDirectory directory = new();
        Save(SafetensorsWriter.CreateSharded(directory.Path, maxShardBytes: 16), ("c", 2), ("b", 2), ("a", 1), ("big", 9));

        Assert.Equal(
            ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json"],
            directory.Names);
        const string Index = """
            {
              "metadata": {
                "total_size": 56
              },
              "weight_map": {
                "a": "model-00002-of-00003.safetensors",
                "b": "model-00001-of-00003.safetensors",
                "big": "model-00003-of-00003.safetensors",
                "c": "model-00001-of-00003.safetensors"
              }
            }

            """;
        Assert.Equal(Index.ReplaceLineEndings("\n"), File.ReadAllText(directory["model.safetensors.index.json"]));
    }

    [Fact]
    public void Saving_again_in_another_split_leaves_nothing_of_the_old_model()
    {
        using TemporaryDirectory directory = new();
        File.WriteAllText(directory["model-other-of-names.safetensors"], "");
        Save(SafetensorsWriter.CreateSharded(directory.Path, 8), ("a", 2), ("b", 2), ("c", 2));
        Save(SafetensorsWriter.CreateSharded(directory.Path, 16), ("a", 2), ("b", 2), ("c", 2));
        Assert.Equal(4, directory.Names.Length);
        Save(SafetensorsWriter.CreateSharded(directory.Path), ("a", 2));
        Assert.Equal(["model-other-of-names.safetensors", "model.safetensors"], directory.Names);
        Save(SafetensorsWriter.CreateSharded(directory.Path, 8), ("a", 2), ("b", 2));
        Assert.Equal(4, directory.Names.Length);
        using SafetensorsFile file = SafetensorsFile.Open(directory.Path);
        Assert.Equal(["a", "b"], file.Entries.Keys.Order());
    }

    [Fact]
    public void An_exception_in_between_leaves_the_old_shards()
    {
        using TemporaryDirectory directory = new();
        Save(SafetensorsWriter.CreateSharded(directory.Path, 8), ("a", 2), ("b", 2));
        string[] before = directory.Names;
        using (SafetensorsWriter writer = SafetensorsWriter.CreateSharded(directory.Path, 8))
        {
            writer.Declare("n", SafetensorsDtype.F32, [2]);
            writer.Declare("o", SafetensorsDtype.F32, [2]);
            writer.Write("n", [1f, 2f]);
        }

        Assert.Equal(before, directory.Names);
        using SafetensorsFile file = SafetensorsFile.Open(directory.Path);
        Assert.Equal(["a", "b"], file.Entries.Keys.Order());
    }
}
