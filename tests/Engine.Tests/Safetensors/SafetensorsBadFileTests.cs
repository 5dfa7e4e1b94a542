using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

/// <summary>Files that lie: each is refused with a message that names the field, in less than a second and without memory for what it claims.</summary>
public sealed class SafetensorsBadFileTests
{
    private const string Good = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";

    private static SafetensorsException Refused(byte[] bytes)
    {
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        Stopwatch watch = Stopwatch.StartNew();
        SafetensorsException error = Assert.Throws<SafetensorsException>(() => SafetensorsHeader.Parse(bytes, bytes.Length, "bad.safetensors"));
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 1);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 100_000 + (64L * bytes.Length));
        Assert.StartsWith("'bad.safetensors': ", error.Message, StringComparison.Ordinal);
        return error;
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8, "a", "data_offsets", "12 bytes for F32[3]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}""", 8, "a", "data_offsets", "[0, 16]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}""", 8, "a", "data_offsets", "4 bytes for F32[1]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8, "a", "data_offsets", "[8, 0]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}}""", 8, "a", "data_offsets", "at most 2")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", 8, "a", "data_offsets", "1 numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":"0-8"}}""", 8, "a", "data_offsets", "a text")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}""", 8, "a", "data_offsets", "18446744073709551615")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8, "a", "shape", "-2")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}""", 8, "a", "shape", "2.5")]
    [InlineData("""{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}""", 8, "a", "shape", "actual 2")]
    [InlineData("""{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}""", 8, "a", "shape", "an array")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}""", 8, "a", "shape", "less than 2^63")]
    [InlineData("""{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,8]}}""", 8, "a", "shape", "less than 2^63")]
    [InlineData("""{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}""", 8, "a", "dtype", "actual Q4")]
    [InlineData("""{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}""", 8, "a", "dtype", "actual f32")]
    [InlineData("""{"a":{"dtype":1,"shape":[2],"data_offsets":[0,8]}}""", 8, "a", "dtype", "a text")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2]}}""", 8, "a", "data_offsets", "actual none")]
    [InlineData("""{"a":{"dtype":"F32","data_offsets":[0,8]}}""", 8, "a", "shape", "actual none")]
    [InlineData("""{"a":{"shape":[2],"data_offsets":[0,8]}}""", 8, "a", "dtype", "actual none")]
    [InlineData("""{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "a", "dtype", "twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""", 8, "a", "shape", "twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}}""", 8, "a", "data_offsets", "twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"scale":2}}""", 8, "a", "fields", "actual scale")]
    [InlineData("""{"a":[]}""", 0, "a", "value", "an array")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2, "a", "name", "twice")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2, "a", "name", "twice")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}""", 3, "b", "data_offsets", "overlaps")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}""", 5, "b", "data_offsets", "hole")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}""", 3, "a", "data_offsets", "hole")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", 3, null, "file length", "where the last tensor ends")]
    [InlineData("{}", 1, null, "file length", "where the last tensor ends")]
    [InlineData("""{"__metadata__":{"format":1}}""", 0, null, "__metadata__.format", "a text")]
    [InlineData("""{"__metadata__":[]}""", 0, null, "__metadata__", "an array")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", 0, null, "__metadata__", "two")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", 0, null, "__metadata__.a", "twice")]
    [InlineData("", 0, null, "header", "no bytes")]
    [InlineData("[]", 0, null, "header", "0x5B")]
    [InlineData(" {}", 0, null, "header", "0x20")]
    [InlineData("{", 0, null, "header", "valid JSON")]
    [InlineData("{}x", 0, null, "header", "valid JSON")]
    [InlineData("{/**/}", 0, null, "header", "valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}""", 8, null, "header", "valid JSON")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, null, "header", "valid text")]
    public void A_lying_header_is_refused(string header, int dataLength, string? tensor, string field, string fragment)
    {
        SafetensorsException error = Refused(SafetensorsBytes.File(header, dataLength));
        Assert.Equal((tensor, field), (error.TensorName, error.Field));
        Assert.Contains(fragment, error.Message, StringComparison.Ordinal);
        Assert.Contains("expected", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(100_000_001, "at most 100000000")]
    [InlineData(ulong.MaxValue, "at most 100000000")]
    [InlineData(1UL << 63, "at most 100000000")]
    [InlineData(63, "at most the 62 bytes")]
    public void A_lying_header_length_is_refused(ulong length, string fragment)
    {
        byte[] bytes = SafetensorsBytes.File(Good, 8);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        SafetensorsException error = Refused(bytes);
        Assert.Equal("header length", error.Field);
        Assert.Contains(fragment, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        byte[] bytes = SafetensorsBytes.File(Good, 8);
        for (int length = 0; length < bytes.Length; length++)
        {
            Refused(bytes[..length]);
        }
    }

    [Fact]
    public void Deep_json_is_refused_without_recursion()
    {
        Refused(SafetensorsBytes.File(new string('[', 1_000_000), 0));
        string objects = string.Concat(Enumerable.Repeat("{\"a\":", 1_000_000));
        Refused(SafetensorsBytes.File(objects, 0));
        SafetensorsException shape = Refused(SafetensorsBytes.File($$"""{"a":{"dtype":"F32","shape":{{new string('[', 1_000_000)}}""", 0));
        Assert.Equal("a", shape.TensorName);
    }

    [Fact]
    public void A_shape_with_a_million_axes_is_refused()
    {
        string ones = string.Join(',', Enumerable.Repeat(1, 1_000_000));
        SafetensorsException error = Refused(SafetensorsBytes.File($$$"""{"a":{"dtype":"U8","shape":[{{{ones}}}],"data_offsets":[0,1]}}""", 1));
        Assert.Equal("shape", error.Field);
    }

    [Fact]
    public void Bytes_that_are_no_utf8_are_refused()
    {
        byte[] header = Encoding.UTF8.GetBytes(Good);
        header[2] = 0xFF;
        Assert.Contains("UTF-8", Refused(SafetensorsBytes.File(header, new byte[8])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_message_stays_on_a_short_line_whatever_the_file_says()
    {
        string name = "\\n" + new string('x', 1_000_000);
        SafetensorsException error = Refused(SafetensorsBytes.File($$"""{"{{name}}":1}""", 0));
        Assert.InRange(error.Message.Length, 1, 500);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void Headers_at_the_edge_of_the_format_are_accepted()
    {
        SafetensorsHeader header = Parse("""{"b":{"data_offsets":[4,4],"shape":[0,7],"dtype":"F32"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   """, 4);
        Assert.Equal((0L, 1L), (header.Entries["b"].ElementCount, header.Entries["a"].ElementCount));
        Assert.Empty(Parse("{}", 0).Entries);

        static SafetensorsHeader Parse(string json, int dataLength)
        {
            byte[] bytes = SafetensorsBytes.File(json, dataLength);
            return SafetensorsHeader.Parse(bytes, bytes.Length, "edge.safetensors");
        }
    }
}
