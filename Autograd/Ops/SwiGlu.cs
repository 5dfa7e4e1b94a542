using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>The gated unit of Llama's MLP.</summary>
public static class SwiGluOps
{
    extension(Tensor x)
    {
        /// <summary>y = silu(gate) · up with x as the gate (Shazeer, arXiv:2002.05202).</summary>
        /// <param name="up">The other half, shaped as the gate.</param>
        /// <exception cref="ShapeException">The shapes differ.</exception>
        public Tensor SwiGlu(Tensor up)
        {
            Tensor.RequireSameShape("SwiGlu", x, up, "gate");
            return x.Apply<SwiGlu>(up);
        }
    }
}
