using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>Transformer blocks of libtorch operations; with a context width each block has a cross-attention between self-attention and MLP.</summary>
internal sealed class TorchTransformer : IDisposable
{
    /// <summary>Where the parameters of an attention begin in those of a block: its norm, then query, key, value and output, weights and biases.</summary>
    private const int SelfAttention = 0, CrossAttention = 16;

    private readonly long _heads;
    private readonly bool _preNorm;
    private readonly Func<Tensor, Tensor> _activation;
    private readonly List<Parameter[]> _blocks = [];

    public TorchTransformer(int layers, long heads, long width, long hidden, bool preNorm, bool needsGradient = false, Func<Tensor, Tensor>? activation = null, long? contextWidth = null)
    {
        (_heads, _preNorm, _activation) = (heads, preNorm, activation ?? (x => nn.functional.gelu(x)));
        for (int i = 0; i < layers; i++)
        {
            Tensor[] block =
            [
                ones(width), zeros(width), randn(width, width), zeros(width), randn(width, width), zeros(width), randn(width, width), zeros(width),
                randn(width, width), zeros(width), ones(width), zeros(width), randn(hidden, width), zeros(hidden), randn(width, hidden), zeros(width),
                .. contextWidth is not { } context ? [] : (Tensor[])
                [
                    ones(width), zeros(width), randn(width, width), zeros(width), randn(width, context), zeros(width), randn(width, context), zeros(width),
                    randn(width, width), zeros(width),
                ],
            ];
            foreach (Tensor weight in block)
                if (weight.dim() == 2) weight.mul_(0.02f);
            _blocks.Add([.. block.Select(weight => new Parameter(weight, needsGradient))]);
        }
    }

    public IEnumerable<Parameter> Parameters => _blocks.SelectMany(b => b);

    /// <summary>x [batch, tokens, width] to the same shape; the context [batch, contextTokens, contextWidth] gives keys and values of the cross-attentions.</summary>
    public Tensor Forward(Tensor x, bool causal, Tensor? context = null)
    {
        long batch = x.shape[0], tokens = x.shape[1], width = x.shape[2];
        foreach (Parameter[] p in _blocks)
        {
            if (_preNorm)
            {
                Tensor y = Norm(x, p[0], p[1]);
                x += Attend(y, y, p, SelfAttention, causal);
                if (context is not null) x += Attend(Norm(x, p[CrossAttention], p[CrossAttention + 1]), context, p, CrossAttention, causal: false);
                x += Mlp(Norm(x, p[10], p[11]), p);
            }
            else
            {
                x = Norm(x + Attend(x, x, p, SelfAttention, causal), p[0], p[1]);
                if (context is not null) x = Norm(x + Attend(x, context, p, CrossAttention, causal: false), p[CrossAttention], p[CrossAttention + 1]);
                x = Norm(x + Mlp(x, p), p[10], p[11]);
            }
        }

        return x;

        Tensor Norm(Tensor y, Tensor weight, Tensor bias) => nn.functional.layer_norm(y, [width], weight, bias, 1e-5);

        Tensor Attend(Tensor y, Tensor source, Parameter[] p, int first, bool causal)
        {
            Tensor query = Split(nn.functional.linear(y, p[first + 2], p[first + 3]));
            Tensor key = Split(nn.functional.linear(source, p[first + 4], p[first + 5])), value = Split(nn.functional.linear(source, p[first + 6], p[first + 7]));
            Tensor mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_casual: causal);
            return nn.functional.linear(mixed.transpose(1, 2).reshape(batch, tokens, width), p[first + 8], p[first + 9]);
        }

        Tensor Split(Tensor y) => y.view(batch, y.shape[1], _heads, width / _heads).transpose(1, 2);

        Tensor Mlp(Tensor y, Parameter[] p) => nn.functional.linear(_activation(nn.functional.linear(y, p[12], p[13])), p[14], p[15]);
    }

    public void Dispose()
    {
        foreach (Parameter parameter in Parameters) parameter.Dispose();
    }
}
