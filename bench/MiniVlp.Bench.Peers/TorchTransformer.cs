using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

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
