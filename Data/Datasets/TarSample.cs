using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace MiniVlp.Data.Datasets;

/// <summary>A stretch of a tar file; <c>default</c> where the member is absent (data never starts at byte 0).</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct TarSpan(long Offset, int Length)
{
    public bool Exists => Offset > 0;
}

/// <summary>The members of one sample of a shard, read on demand.</summary>
internal sealed class TarSample(string shard, string key)
{
    public const int JsonLimit = 4 << 20;

    public string Key { get; } = key;

    /// <summary>Name for people: shard file and key.</summary>
    public string Name => $"{Path.GetFileName(shard)}/{Key}";

    public TarSpan Image { get; private set; }

    public TarSpan Text { get; private set; }

    public TarSpan Json { get; private set; }

    public void Set(TarShardIndex.Member kind, TarSpan span, string name)
    {
        TarSpan old = kind switch
        {
            TarShardIndex.Member.Image => Image,
            TarShardIndex.Member.Text => Text,
            _ => Json,
        };
        if (old.Exists)
        {
            throw new InvalidDataException($"{shard}: member '{name}': the sample '{Key}' has more than one such member.");
        }

        switch (kind)
        {
            case TarShardIndex.Member.Image:
                Image = span;
                break;
            case TarShardIndex.Member.Text:
                Text = span;
                break;
            default:
                Json = span;
                break;
        }
    }

    public byte[] Read(TarSpan span)
    {
        using SafeFileHandle file = File.OpenHandle(shard, FileMode.Open, FileAccess.Read, FileShare.Read, FileOptions.RandomAccess);
        byte[] bytes = new byte[span.Length];
        int done = 0;
        while (done < bytes.Length)
        {
            int read = RandomAccess.Read(file, bytes.AsSpan(done), span.Offset + done);
            if (read == 0)
            {
                throw new EndOfStreamException($"{shard}: sample '{Key}': the file is shorter than when it was opened.");
            }

            done += read;
        }

        return bytes;
    }

    public JsonElement? ReadJson()
    {
        if (!Json.Exists)
        {
            return null;
        }

        using JsonDocument document = InputFile.ParseJson(Read(Json), $"{shard}: member '{Key}.json'");
        return document.RootElement.Clone();
    }

    public string ReadCaption(JsonElement? json)
    {
        if (Text.Exists)
        {
            return ImageFiles.CaptionText(Read(Text), $"{shard}: member '{Key}.txt'");
        }

        string where = $"{shard}: member '{Key}.json'";
        return InputFile.Field(json ?? ReadJson()!.Value, "caption", JsonValueKind.String, where).GetString()!.Trim();
    }
}
