using System.Globalization;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>The workloads on libtorch, written as a PyTorch user would write them: its own fused attention, norms and linear layers.</summary>
internal static class Torch
{
    /// <summary>The workload of this name, or null where there is none.</summary>
    public static PeerWorkload? Prepare(string name)
    {
        string[] parts = name.Split('_');
        long[] sizes = parts.Length > 1 ? Sizes(parts[1]) : [];
        return parts[0] switch
        {
            "gemm" => Gemm(sizes[0], sizes[1], sizes[2]),
            "sdpa" => Attention(sizes[0], sizes[1], sizes[2], sizes[3]),
            "layernorm" => OneOperand(sizes, x => nn.functional.layer_norm(x, [sizes[1]])),
            "gelu" => OneOperand(sizes, x => nn.functional.gelu(x)),
            "softmax" => OneOperand(sizes, x => nn.functional.softmax(x, 1)),
            "vit" => Vit(name.EndsWith("b8", StringComparison.Ordinal) ? 8 : 1),
            "bert" => Bert(8, 128),
            "clip" => TorchClip.TrainStep(64),
            _ => null,
        };
    }

    private static long[] Sizes(string text)
    {
        string[] parts = text.Split('x');
        return Array.TrueForAll(parts, p => long.TryParse(p, CultureInfo.InvariantCulture, out _)) ? Array.ConvertAll(parts, p => long.Parse(p, CultureInfo.InvariantCulture)) : [];
    }

    private static PeerWorkload Gemm(long m, long n, long k)
    {
        Tensor x = rand(m, k), weight = rand(n, k);
        return WithoutGradient(() => nn.functional.linear(x, weight), x, weight);
    }

    private static PeerWorkload Attention(long batch, long heads, long tokens, long headSize)
    {
        Tensor query = rand(batch, heads, tokens, headSize), key = rand_like(query), value = rand_like(query);
        return WithoutGradient(() => nn.functional.scaled_dot_product_attention(query, key, value), query, key, value);
    }

    private static PeerWorkload OneOperand(long[] shape, Func<Tensor, Tensor> operation)
    {
        Tensor x = rand(shape);
        return WithoutGradient(() => operation(x), x);
    }

    private static PeerWorkload Vit(long batch)
    {
        const int Width = 768, Patch = 32, Patches = 49;
        TorchTransformer blocks = new(12, 12, Width, 3072, preNorm: true);
        Tensor images = rand(batch, 3, 224, 224), patches = randn(Width, 3, Patch, Patch) * 0.02f, patchBias = zeros(Width);
        Tensor classToken = randn(1, 1, Width), positions = randn(1, Patches + 1, Width), normWeight = ones(Width), normBias = zeros(Width);
        return WithoutGradient(
            () =>
            {
                Tensor x = nn.functional.conv2d(images, patches, patchBias, [Patch, Patch]).flatten(2).transpose(1, 2);
                x = cat([classToken.expand(batch, 1, Width), x], 1) + positions;
                return nn.functional.layer_norm(blocks.Forward(x, causal: false), [Width], normWeight, normBias, 1e-12);
            },
            blocks,
            images,
            patches,
            patchBias,
            classToken,
            positions,
            normWeight,
            normBias);
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

    /// <summary>Rows of a table: ids [batch, tokens] to [batch, tokens, width].</summary>
    public static Tensor Lookup(Tensor words, Tensor ids) => words.index_select(0, ids.flatten()).view(ids.shape[0], ids.shape[1], words.shape[1]);

    private static PeerWorkload WithoutGradient(Func<Tensor> run, params IDisposable[] operands)
        => new(
            () =>
            {
                using IDisposable gradient = no_grad();
                using DisposeScope scope = NewDisposeScope();
                run();
            },
            operands);
}

/// <summary>Transformer blocks of libtorch operations.</summary>
internal sealed class TorchTransformer : IDisposable
{
    private readonly long _heads;
    private readonly bool _preNorm;
    private readonly Func<Tensor, Tensor> _activation;
    private readonly List<Parameter[]> _blocks = [];

    public TorchTransformer(int layers, long heads, long width, long hidden, bool preNorm, bool needsGradient = false, Func<Tensor, Tensor>? activation = null)
    {
        (_heads, _preNorm, _activation) = (heads, preNorm, activation ?? (x => nn.functional.gelu(x)));
        for (int i = 0; i < layers; i++)
        {
            Tensor[] block =
            [
                ones(width), zeros(width), randn(width, width), zeros(width), randn(width, width), zeros(width), randn(width, width), zeros(width),
                randn(width, width), zeros(width), ones(width), zeros(width), randn(hidden, width), zeros(hidden), randn(width, hidden), zeros(width),
            ];
            foreach (Tensor weight in block)
                if (weight.dim() == 2) weight.mul_(0.02f);
            _blocks.Add([.. block.Select(weight => new Parameter(weight, needsGradient))]);
        }
    }

    public IEnumerable<Parameter> Parameters => _blocks.SelectMany(b => b);

    public Tensor Forward(Tensor x, bool causal)
    {
        long batch = x.shape[0], tokens = x.shape[1], width = x.shape[2];
        foreach (Parameter[] p in _blocks)
        {
            if (_preNorm)
            {
                x += Attend(Norm(x, p[0], p[1]), p);
                x += Mlp(Norm(x, p[10], p[11]), p);
            }
            else
            {
                x = Norm(x + Attend(x, p), p[0], p[1]);
                x = Norm(x + Mlp(x, p), p[10], p[11]);
            }
        }

        return x;

        Tensor Norm(Tensor y, Tensor weight, Tensor bias) => nn.functional.layer_norm(y, [width], weight, bias, 1e-5);

        Tensor Attend(Tensor y, Parameter[] p)
        {
            Tensor query = Split(nn.functional.linear(y, p[2], p[3])), key = Split(nn.functional.linear(y, p[4], p[5])), value = Split(nn.functional.linear(y, p[6], p[7]));
            Tensor mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_casual: causal);
            return nn.functional.linear(mixed.transpose(1, 2).reshape(batch, tokens, width), p[8], p[9]);
        }

        Tensor Split(Tensor y) => y.view(batch, tokens, _heads, width / _heads).transpose(1, 2);

        Tensor Mlp(Tensor y, Parameter[] p) => nn.functional.linear(_activation(nn.functional.linear(y, p[12], p[13])), p[14], p[15]);
    }

    public void Dispose()
    {
        foreach (Parameter parameter in Parameters) parameter.Dispose();
    }
}
