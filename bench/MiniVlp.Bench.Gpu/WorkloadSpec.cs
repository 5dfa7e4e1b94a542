namespace MiniVlp.Bench.Gpu;

/// <summary>A workload as bench/gpu/workloads.py describes it, to us and to the peer alike. Sizes that a kind does not have are 0.</summary>
internal sealed record WorkloadSpec
{
    /// <summary>What is computed: gemm, attention, attention_backward, layernorm, layernorm_backward, softmax, adamw, copy, contrastive, clip_train, clip_trainer or clip_infer.</summary>
    public required string Kind { get; init; }

    /// <summary>float32, tf32 or bf16.</summary>
    public string Precision { get; init; } = "float32";

    /// <summary>Rows of a product.</summary>
    public int M { get; init; }

    /// <summary>Columns of a product.</summary>
    public int N { get; init; }

    /// <summary>Depth of a product.</summary>
    public int K { get; init; }

    /// <summary>Sequences, pairs or pictures.</summary>
    public int Batch { get; init; }

    /// <summary>Heads of an attention.</summary>
    public int Heads { get; init; }

    /// <summary>Tokens of query and key.</summary>
    public int Tokens { get; init; }

    /// <summary>Elements of a head.</summary>
    public int HeadSize { get; init; }

    /// <summary>Whether a query sees the keys up to its own position alone.</summary>
    public bool Causal { get; init; }

    /// <summary>Whether an attention by wgmma has a group for each multiprocessor, instead of one for each tile of queries.</summary>
    public bool Stays { get; init; }

    /// <summary>Whether a product or an attention goes by mma.sync also where the device has wgmma.</summary>
    public bool Mma { get; init; }

    /// <summary>Rows of a norm or softmax.</summary>
    public int Rows { get; init; }

    /// <summary>Elements of a row, of an embedding.</summary>
    public int Columns { get; init; }

    /// <summary>Elements of an optimizer's parameters, of a copy.</summary>
    public int Elements { get; init; }

    /// <summary>For a CLIP: vit_b32, or small.</summary>
    public string Model { get; init; } = "vit_b32";

    /// <summary>Whether the work is recorded once and launched as one graph.</summary>
    public bool Graph { get; init; }
}
