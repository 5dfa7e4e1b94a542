using System.Collections.Immutable;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>What a safetensors header says about one tensor; no data is read to know it.</summary>
public sealed class TensorEntry
{
    internal TensorEntry(string name, SafetensorsDtype dtype, ImmutableArray<long> shape, long elementCount, string filePath, long fileOffset)
    {
        Name = name;
        Dtype = dtype;
        Shape = shape;
        ElementCount = elementCount;
        FilePath = filePath;
        FileOffset = fileOffset;
    }

    /// <summary>The name, for example <c>vision_model.embeddings.class_embedding</c>.</summary>
    public string Name { get; }

    /// <summary>The element type in the file.</summary>
    public SafetensorsDtype Dtype { get; }

    /// <summary>The lengths of the axes, outermost first; empty for a scalar.</summary>
    public ImmutableArray<long> Shape { get; }

    /// <summary>The product of <see cref="Shape"/>: 1 for a scalar, 0 when an axis has no elements.</summary>
    public long ElementCount { get; }

    /// <summary>The bytes the data takes in the file: <see cref="ElementCount"/> times the element size.</summary>
    public long ByteLength => ElementCount * Dtype.ElementSize();

    /// <summary>The file that holds the data: with a sharded index, one of the shards.</summary>
    public string FilePath { get; }

    internal long FileOffset { get; }

    internal int Shard { get; set; }

    /// <summary>For example <c>F32[2, 3] wte.weight</c>.</summary>
    public override string ToString() => $"{Dtype.FormatName()}{ShapeText(Shape)} {Name}";

    internal static string ShapeText(ImmutableArray<long> shape) => $"[{string.Join(", ", shape)}]";
}
