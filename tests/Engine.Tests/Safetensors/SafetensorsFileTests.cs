using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

public sealed class SafetensorsFileTests
{
    private const string A = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";
    private const string B = """{"b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}""";
    private const string Index = """{"metadata":{"total_size":16},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}""";

    private static string Save(TemporaryDirectory directory, string name, string header, int dataLength)
    {
        File.WriteAllBytes(directory[name], SafetensorsBytes.File(header, dataLength));
        return directory[name];
    }

    private static SafetensorsException Refused(string path) => Assert.Throws<SafetensorsException>(() => SafetensorsFile.Open(path));

    [Fact]
    public void What_is_no_file_is_refused()
    {
        using TemporaryDirectory directory = new();
        Assert.Contains("no.safetensors", Assert.Throws<FileNotFoundException>(() => SafetensorsFile.Open(directory["no.safetensors"])).Message, StringComparison.Ordinal);
        Assert.Equal("directory", Refused(directory.Path).Field);
        File.WriteAllBytes(directory["empty"], []);
        Assert.Equal("file length", Refused(directory["empty"]).Field);
        if (OperatingSystem.IsLinux())
        {
            Assert.Equal("file length", Refused("/dev/null").Field);
        }
    }

    [Fact]
    public void A_file_cut_short_is_refused()
    {
        using TemporaryDirectory directory = new();
        string path = Save(directory, "a.safetensors", A, 7);
        SafetensorsException error = Refused(path);
        Assert.Equal(("a", "data_offsets", path), (error.TensorName, error.Field, error.FilePath));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Float32_can_be_read_where_it_lies_and_nothing_else()
    {
        using TemporaryDirectory directory = new();
        using (SafetensorsWriter writer = SafetensorsWriter.Create(directory["a.safetensors"]))
        {
            writer.Declare("float32", SafetensorsDtype.F32, [2]);
            writer.Declare("bfloat16", SafetensorsDtype.BF16, [1]);
            writer.Declare("integer", SafetensorsDtype.I32, [1]);
            writer.Write("float32", [1.5f, -2f]);
            writer.Write("bfloat16", [3f]);
            writer.Write("integer", [4]);
            writer.Complete();
        }

        using SafetensorsFile file = SafetensorsFile.Open(directory["a.safetensors"]);
        Assert.True(file.TryMapFloat32("float32", out ReadOnlySpan<float> values));
        Assert.Equal([1.5f, -2f], values);
        Assert.False(file.TryMapFloat32("bfloat16", out values));
        Assert.True(values.IsEmpty);
        Assert.False(file.TryMapFloat32("integer", out _));
        Assert.Equal("absent", Assert.Throws<SafetensorsException>(() => file.TryMapFloat32("absent", out _)).TensorName);
    }

    [Fact]
    public void A_read_only_file_is_open_twice_at_once_and_can_be_replaced_meanwhile()
    {
        using TemporaryDirectory directory = new();
        string path = Save(directory, "a.safetensors", A, 8);
        File.SetAttributes(path, FileAttributes.ReadOnly);
        using SafetensorsFile first = SafetensorsFile.Open(path);
        using SafetensorsFile second = SafetensorsFile.Open(path);
        File.SetAttributes(path, FileAttributes.Normal);
        if (!OperatingSystem.IsWindows())
        {
            using SafetensorsWriter writer = SafetensorsWriter.Create(path);
            writer.Declare("a", SafetensorsDtype.F32, [2]);
            writer.Write("a", [1f, 2f]);
            writer.Complete();
        }

        Assert.Equal(new byte[8], first.ReadBytes("a"));
        Assert.Equal(new byte[8], second.ReadBytes("a"));
    }

    [Fact]
    public void Unaligned_data_is_read()
    {
        using TemporaryDirectory directory = new();
        byte[] header = [.. """{"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},"m":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"""u8];
        File.WriteAllBytes(directory["a"], SafetensorsBytes.File(header, [7, .. BitConverter.GetBytes(1.5f), .. BitConverter.GetBytes(-2f)]));
        using SafetensorsFile file = SafetensorsFile.Open(directory["a"]);
        float[] values = new float[2];
        file.ReadFloat32("a", values);
        Assert.Equal([1.5f, -2f], values);
    }

    [Fact]
    public void A_read_names_what_does_not_fit()
    {
        using TemporaryDirectory directory = new();
        byte[] header = [.. """{"i":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"m":{"dtype":"BOOL","shape":[2],"data_offsets":[16,18]}}"""u8];
        File.WriteAllBytes(directory["x"], SafetensorsBytes.File(header, [.. BitConverter.GetBytes(1L), .. BitConverter.GetBytes(1L << 31), 1, 2]));
        SafetensorsFile file = SafetensorsFile.Open(directory["x"]);

        SafetensorsException range = Assert.Throws<SafetensorsException>(() => file.ReadInt32("i", new int[2]));
        Assert.Contains("tensor 'i': element 1: expected a value from -2^31 to 2^31 - 1, actual 0x0000000080000000 (I64)", range.Message, StringComparison.Ordinal);
        Assert.Equal("element 1", Assert.Throws<SafetensorsException>(() => file.ReadInt32("m", new int[2])).Field);
        Assert.Equal("dtype", Assert.Throws<SafetensorsException>(() => file.ReadFloat32("i", new float[2])).Field);
        Assert.Equal("name", Assert.Throws<SafetensorsException>(() => file.ReadFloat32("q", new float[2])).Field);
        Assert.Contains("has 2 elements, the destination 3", Assert.Throws<ArgumentException>(() => file.ReadInt32("i", new int[3])).Message, StringComparison.Ordinal);
        Assert.Equal([1, 2], file.ReadBytes("m", 0, 2).ToArray());
        Assert.Equal([2], file.ReadBytes("m", 1, 1).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadBytes("m", 1, 2).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadBytes("m", -1, 2).Length);
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.ReadBytes("m").Length);
    }

    [Fact]
    public void An_index_opens_all_its_files_and_a_directory_finds_it()
    {
        using TemporaryDirectory directory = new();
        Save(directory, "1.safetensors", A, 8);
        string second = Save(directory, "2.safetensors", B, 8);
        File.WriteAllText(directory["model.safetensors.index.json"], Index);
        using SafetensorsFile file = SafetensorsFile.Open(directory.Path);
        Assert.Equal(directory["model.safetensors.index.json"], file.Path);
        Assert.Equal(["a", "b"], file.Entries.Keys.Order());
        Assert.Equal(second, file.Entries["b"].FilePath);
        Assert.Equal(8, file.ReadBytes("b").Length);
    }

    [Theory]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}""", null, "3.safetensors")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}""", "b", "no entry")]
    [InlineData("""{"weight_map":{"a":"2.safetensors","b":"2.safetensors"}}""", "a", "none in '2.safetensors'")]
    [InlineData("""{"weight_map":{"a":"../1.safetensors"}}""", "a", "without a directory")]
    [InlineData("""{"weight_map":{"a":"/etc/passwd"}}""", "a", "without a directory")]
    [InlineData("""{"weight_map":{"a":".."}}""", "a", "without a directory")]
    [InlineData("""{"weight_map":{"a":""}}""", "a", "without a directory")]
    [InlineData("""{"weight_map":{"a":3}}""", "a", "actual Number")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","a":"1.safetensors"}}""", "a", "twice")]
    [InlineData("""{"weight_map":{},"weight_map":{}}""", null, "a second one")]
    [InlineData("""{"weight_map":[]}""", null, "StartArray")]
    [InlineData("""{"metadata":{}}""", null, "actual none")]
    [InlineData("[]", null, "StartArray")]
    [InlineData("", null, "valid JSON")]
    [InlineData("""{"metadata":[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]],"weight_map":{}}""", null, "valid JSON")]
    [InlineData("""{"weight_map":{"\udc00":"1.safetensors"}}""", null, "valid text")]
    public void A_lying_index_is_refused(string index, string? tensor, string fragment)
    {
        using TemporaryDirectory directory = new();
        Save(directory, "1.safetensors", A, 8);
        Save(directory, "2.safetensors", B, 8);
        File.WriteAllText(directory["model.safetensors.index.json"], index);
        SafetensorsException error = Refused(directory.Path);
        Assert.Equal(tensor, error.TensorName);
        Assert.Contains(fragment, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_in_two_files_is_refused()
    {
        using TemporaryDirectory directory = new();
        Save(directory, "1.safetensors", A, 8);
        Save(directory, "2.safetensors", A, 8);
        File.WriteAllText(directory["model.safetensors.index.json"], """{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}""");
        Assert.Equal("name", Refused(directory.Path).Field);
    }

    // A hole costs no disk: only the claim is large.
    [Fact]
    public void A_tensor_of_more_than_two_gigabytes_is_read_in_parts()
    {
        using TemporaryDirectory directory = new();
        const long Length = 3L << 30;
        byte[] head = SafetensorsBytes.File($$$"""{"a":{"dtype":"U8","shape":[{{{Length}}}],"data_offsets":[0,{{{Length}}}]}}""", 0);
        using (FileStream stream = File.Create(directory["a"]))
        {
            stream.Write(head);
            stream.SetLength(head.Length + Length);
            stream.Position = head.Length + Length - 1;
            stream.WriteByte(9);
        }

        using SafetensorsFile file = SafetensorsFile.Open(directory["a"]);
        Assert.Equal("byte length", Assert.Throws<SafetensorsException>(() => file.ReadBytes("a").Length).Field);
        Assert.Equal([0, 9], file.ReadBytes("a", Length - 2, 2).ToArray());
    }
}
