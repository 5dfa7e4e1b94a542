using TorchSharp;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// The workloads on libtorch, written as a PyTorch user would write them: its own fused attention, norms and linear layers. A gradient is
/// <c>torch.autograd.grad</c> of one operation whose forward pass ran once before, with its graph kept.
/// </summary>
internal static class Torch
{
    /// <summary>The workload of this name, or null where there is none.</summary>
    public static PeerWorkload? Prepare(string name)
    {
        name = WorkloadName.OfPeer(name);
        WorkloadName workload = WorkloadName.Parse(name);
        long[] s = workload.Sizes;
        return name switch
        {
            "vit_b16_train_step_b8" => TorchVit.TrainStep(TorchVitSizes.Base16, 8),
            "adamw_vit_b32" => TorchVit.OptimizerStep(TorchVitSizes.Base32),
            "bert_base_fwd_b8_s128" => Bert(8, 128),
            "clip_text_b8" => ClipText(8),
            "clip_small_train_step_b64" => TorchClip.TrainStep(64),
            "albef_small_train_step_b64" => TorchAlbef.TrainStep(64),
            _ => workload.Kind switch
            {
                "gemm" when workload.Batch > 0 => BatchedGemm(workload.Batch, s[0], s[1], s[2]),
                "gemm" => Gemm(s[0], s[1], s[2]),
                "sdpa" => Attention(s, workload.IsCausal, workload.IsBackward),
                "layernorm" when workload.IsBackward => LayerNormBackward(s),
                "layernorm" => OneOperand(s, x => nn.functional.layer_norm(x, [s[1]]), isBackward: false),
                "gelu" => OneOperand(s, x => nn.functional.gelu(x), workload.IsBackward),
                "softmax" => OneOperand(s, x => nn.functional.softmax(x, 1), workload.IsBackward),
                "crossentropy" => CrossEntropy(s, workload.IsBackward),
                "vit" => TorchVit.Forward(workload.VitSizes, workload.Batch),
                _ => null,
            },
        };
    }

    /// <summary>Rows of a table: ids [batch, tokens] to [batch, tokens, width].</summary>
    public static Tensor Lookup(Tensor words, Tensor ids) => words.index_select(0, ids.flatten()).view(ids.shape[0], ids.shape[1], words.shape[1]);

    /// <summary>x · σ(1.702 x), as transformers writes it.</summary>
    public static Tensor QuickGelu(Tensor x) => x * sigmoid(1.702f * x);

    /// <summary>Inference.</summary>
    public static PeerWorkload WithoutGradient(Func<Tensor> run, params IDisposable[] operands)
        => new(
            () =>
            {
                using IDisposable gradient = no_grad();
                using DisposeScope scope = NewDisposeScope();
                run();
            },
            operands);

    /// <summary>The gradients of an operation that ran before.</summary>
    private static PeerWorkload Gradient(Tensor[] inputs, Func<Tensor> forward, params IDisposable[] operands)
    {
        foreach (Tensor input in inputs) input.requires_grad_(true);
        Tensor y = forward(), dy = rand_like(y).detach();
        return new PeerWorkload(
            () =>
            {
                using DisposeScope scope = NewDisposeScope();
                autograd.grad([y], inputs, [dy], retain_graph: true);
            },
            [.. inputs, y, dy, .. operands]);
    }

    private static PeerWorkload Gemm(long m, long n, long k)
    {
        Tensor x = rand(m, k), weight = rand(n, k);
        return WithoutGradient(() => nn.functional.linear(x, weight), x, weight);
    }

    private static PeerWorkload BatchedGemm(long batch, long m, long n, long k)
    {
        Tensor x = rand(batch, m, k), y = rand(batch, n, k);
        return WithoutGradient(() => x.matmul(y.transpose(1, 2)), x, y);
    }

    private static PeerWorkload Attention(long[] shape, bool isCausal, bool isBackward)
    {
        Tensor query = rand(shape), key = rand_like(query), value = rand_like(query);
        Tensor Forward() => nn.functional.scaled_dot_product_attention(query, key, value, is_casual: isCausal);
        return isBackward ? Gradient([query, key, value], Forward) : WithoutGradient(Forward, query, key, value);
    }

    private static PeerWorkload OneOperand(long[] shape, Func<Tensor, Tensor> operation, bool isBackward)
    {
        Tensor x = rand(shape);
        return isBackward ? Gradient([x], () => operation(x)) : WithoutGradient(() => operation(x), x);
    }

    private static PeerWorkload LayerNormBackward(long[] shape)
    {
        Tensor x = rand(shape), weight = rand(shape[1]), bias = rand(shape[1]);
        return Gradient([x, weight, bias], () => nn.functional.layer_norm(x, [shape[1]], weight, bias, 1e-5));
    }

    private static PeerWorkload CrossEntropy(long[] shape, bool isBackward)
    {
        Tensor logits = rand(shape), labels = randint(0, shape[1], [shape[0]]);
        Tensor Forward() => nn.functional.cross_entropy(logits, labels);
        return isBackward ? Gradient([logits], Forward, labels) : WithoutGradient(Forward, logits, labels);
    }

    private static PeerWorkload Bert(long batch, long tokens)
    {
        const int Width = 768;
        TorchTransformer blocks = new(12, 12, Width, 3072, preNorm: false);
        Tensor ids = randint(0, 30522, [batch, tokens]), words = randn(30522, Width) * 0.02f, positions = randn(1, tokens, Width), type = randn(1, 1, Width);
        Tensor normWeight = ones(Width), normBias = zeros(Width);
        return WithoutGradient(
            () => blocks.Forward(nn.functional.layer_norm(Lookup(words, ids) + positions + type, [Width], normWeight, normBias, 1e-12), causal: false),
            blocks,
            ids,
            words,
            positions,
            type,
            normWeight,
            normBias);
    }

    /// <summary>The text tower of CLIP ViT-B/32.</summary>
    private static PeerWorkload ClipText(long batch)
    {
        const int Width = 512, Vocabulary = 49408, Tokens = 77;
        TorchTransformer blocks = new(12, 8, Width, 2048, preNorm: true, activation: QuickGelu);
        Tensor ids = randint(0, Vocabulary, [batch, Tokens]), words = randn(Vocabulary, Width) * 0.02f, positions = randn(Tokens, Width) * 0.01f;
        Tensor normWeight = ones(Width), normBias = zeros(Width);
        return WithoutGradient(
            () => nn.functional.layer_norm(blocks.Forward(Lookup(words, ids) + positions, causal: true), [Width], normWeight, normBias, 1e-5),
            blocks,
            ids,
            words,
            positions,
            normWeight,
            normBias);
    }
}
