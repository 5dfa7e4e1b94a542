using MiniVlp.Kernels;
using MiniVlp.Models;

namespace MiniVlp.Bench.Workloads;

/// <summary>
/// The workloads of <c>minivlp bench --suite cpu</c>, of the BenchmarkDotNet suites and of the comparison with other libraries. A name says the
/// kind, the sizes and what is special; <c>_bwd</c> is the gradient alone, from what the forward pass left.
/// </summary>
public static class CpuSuite
{
    /// <summary>All, from small to large.</summary>
    public static IReadOnlyList<Workload> All { get; } =
    [
        CpuOperations.Gemm(256, 256, 256), CpuOperations.Gemm(512, 512, 512), CpuOperations.Gemm(1024, 1024, 1024), CpuOperations.Gemm(2048, 2048, 2048),
        CpuOperations.Gemm(1576, 3072, 768), CpuOperations.Gemm(1576, 768, 3072), CpuOperations.Gemm(50, 3072, 768), CpuOperations.Gemm(1, 3072, 768),
        CpuOperations.Gemm(333, 777, 555), CpuOperations.Gemm(17, 4096, 31), CpuOperations.BatchedGemm(12, 197, 197, 64),
        CpuOperations.PackedGemm(512, 512, 512, WeightFormat.Float32), CpuOperations.PackedGemm(1024, 1024, 1024, WeightFormat.Float32),
        CpuOperations.PackedGemm(333, 777, 555, WeightFormat.Float32), CpuOperations.PackedGemm(17, 4096, 31, WeightFormat.Float32),
        .. Enum.GetValues<WeightFormat>().SelectMany(format => new[]
        {
            CpuOperations.PackedGemm(1576, 3072, 768, format), CpuOperations.PackedGemm(1576, 768, 3072, format),
            CpuOperations.PackedGemm(50, 3072, 768, format), CpuOperations.PackedGemm(1, 3072, 768, format),
        }),
        CpuOperations.Attention(8, 12, 197, 64), CpuOperations.AttentionBackward(8, 12, 197, 64),
        CpuOperations.Attention(8, 12, 77, 64, causal: true), CpuOperations.AttentionBackward(8, 12, 77, 64, causal: true),
        CpuOperations.Attention(1, 12, 1024, 64), CpuOperations.AttentionBackward(1, 12, 1024, 64),
        CpuOperations.LayerNorm(1576, 768), CpuOperations.LayerNormBackward(1576, 768),
        CpuOperations.Gelu(1576, 3072), CpuOperations.GeluBackward(1576, 3072),
        CpuOperations.Softmax(4096, 4096), CpuOperations.SoftmaxBackward(4096, 4096),
        CpuOperations.CrossEntropy(1024, 30522), CpuOperations.CrossEntropyBackward(1024, 30522),
        CpuModels.AdamW("adamw_vit_b32", VisionTransformerConfig.Base32),
        CpuModels.VitForward("vit_b32_fwd_b1", VisionTransformerConfig.Base32, 1), CpuModels.VitForward("vit_b32_fwd_b8", VisionTransformerConfig.Base32, 8),
        CpuModels.VitForward("vit_b32_fwd_b1_bf16", VisionTransformerConfig.Base32, 1, WeightFormat.BFloat16),
        CpuModels.VitForward("vit_b32_fwd_b1_int8", VisionTransformerConfig.Base32, 1, WeightFormat.Int8),
        CpuModels.VitForward("vit_l14_fwd_b1", VisionTransformerConfig.Large16 with { PatchSize = 14 }, 1),
        CpuModels.BertForward("bert_base_fwd_b8_s128", 8, 128),
        CpuModels.ClipTextForward("clip_text_b8", 8),
        CpuModels.ClipTrainingStep("clip_small_train_step_b64", 64),
        CpuAlbef.TrainingStep("albef_small_train_step_b64", AlbefConfig.Small, 64),
        CpuModels.VitTrainingStep("vit_b16_train_step_b8", VisionTransformerConfig.Base16, 8),
    ];

    /// <summary>
    /// How time and memory grow: with the tokens of an attention, with the batch of a ViT-B/32, with the width of a vision transformer of two
    /// layers.
    /// </summary>
    public static IReadOnlyList<Workload> Growth { get; } =
    [
        .. ((int[])[256, 512, 1024, 2048, 4096, 8192]).Select(tokens => CpuOperations.Attention(1, 12, tokens, 64)),
        .. ((int[])[256, 512, 1024, 2048, 4096, 8192]).Select(tokens => CpuOperations.AttentionBackward(1, 12, tokens, 64)),
        .. ((int[])[1, 2, 4, 8, 16]).Select(batch => CpuModels.VitForward($"vit_b32_fwd_b{batch}", VisionTransformerConfig.Base32, batch)),
        .. ((int[])[192, 384, 768, 1536]).Select(width => CpuModels.VitForward(
            $"vit_w{width}_fwd_b8", VisionTransformerConfig.Base32 with { Layers = 2, Width = width, Heads = width / 64, HiddenWidth = 4 * width }, 8)),
    ];

    /// <summary>What masking saves: the encoder of MAE ViT-B/16 and a training step of the small one, at mask ratios of so many percent.</summary>
    public static IReadOnlyList<Workload> MaskRatios { get; } =
    [
        .. ((int[])[0, 25, 50, 75, 90]).Select(percent => CpuModels.MaeEncoder($"mae_b16_r{percent}_encode_b4", MaeConfig.Base16 with { MaskRatio = percent / 100.0 }, 4)),
        .. ((int[])[25, 50, 75, 90]).Select(percent => CpuModels.MaeTrainingStep($"mae_small_r{percent}_train_step_b64", MaeConfig.Small with { MaskRatio = percent / 100.0 }, 64)),
    ];

    /// <summary>Those whose name holds one of the parts between commas; all of them for an empty filter.</summary>
    /// <param name="filter">For instance <c>gemm_1x,sdpa</c>; a part may start with <c>^</c> for the start of the name and end with <c>$</c> for its end.</param>
    public static IReadOnlyList<Workload> Select(string? filter) => Select(All, filter);

    /// <summary>The same of a list.</summary>
    public static IReadOnlyList<Workload> Select(IReadOnlyList<Workload> workloads, string? filter)
    {
        string[] parts = (filter ?? string.Empty).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return parts.Length == 0 ? workloads : [.. workloads.Where(workload => Array.Exists(parts, part => Matches(workload.Name, part)))];
    }

    private static bool Matches(string name, string part)
    {
        bool isStart = part.StartsWith('^'), isEnd = part.EndsWith('$');
        string text = part.Trim('^', '$');
        return name.Contains(text, StringComparison.Ordinal)
            && (!isStart || name.StartsWith(text, StringComparison.Ordinal))
            && (!isEnd || name.EndsWith(text, StringComparison.Ordinal))
            && (!isStart || !isEnd || name == text);
    }
}
