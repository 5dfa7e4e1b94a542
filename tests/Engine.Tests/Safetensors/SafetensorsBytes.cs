using System.Buffers.Binary;
using System.Text;

namespace MiniVlp.Engine.Tests.Safetensors;

/// <summary>Safetensors files put together by hand, byte by byte, so that no test depends on the writer to read.</summary>
internal static class SafetensorsBytes
{
    public static byte[] File(string header, int dataLength) => File(Encoding.UTF8.GetBytes(header), new byte[dataLength]);

    public static byte[] File(byte[] header, byte[] data)
    {
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        return [.. length, .. header, .. data];
    }

    public static string Golden(string name) => Path.Combine(AppContext.BaseDirectory, "Goldens", "safetensors", name);
}
