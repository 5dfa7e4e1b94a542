using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// Where in the picture a text is, without ever having been shown boxes: Grad-CAM (Selvaraju et al., arXiv:1610.02391) on the cross-attention of one fusion
/// layer, as ALBEF does it for RefCOCO+ (arXiv:2107.07651, section 6.3 and figure 4).
/// </summary>
public static class AlbefGrounding
{
    /// <summary>
    /// mean over heads and text tokens of max(∂s/∂A, 0) · A: A is the cross-attention's map, s the logit of "match". One value per patch: [batch, rows, columns].
    /// </summary>
    /// <param name="model">The model; its parameters get no gradient.</param>
    /// <param name="images">[batch, channels, height, width].</param>
    /// <param name="text">[batch, tokens]; text i is looked for in image i.</param>
    /// <param name="layer">Layer of the text network; by default a third of the way through the fusion layers, which is the original's choice, 8 of 6 to 11.</param>
    /// <exception cref="ArgumentOutOfRangeException">The layer has no cross-attention.</exception>
    public static Tensor HeatMap(Albef model, Tensor images, TextBatch text, int? layer = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        int first = model.Config.Text.FusionLayer!.Value, layers = model.Config.Text.Layers, chosen = layer ?? first + ((layers - first) / 3);
        if (chosen < first || chosen >= layers) throw new ArgumentOutOfRangeException(nameof(layer), chosen, $"AlbefGrounding: the fusion layers are {first} to {layers - 1}.");
        MultiHeadAttention attention = model.TextEncoder.Backbone.Encoder.Blocks[chosen].CrossAttention!;
        Parameter[] trainable = [.. model.NamedParameters().Select(named => named.Parameter).Where(parameter => parameter.IsTrainable)];

        // Nothing but the map is to get a gradient: all before it runs as in inference.
        foreach (Parameter parameter in trainable) parameter.IsTrainable = false;
        bool checkpoints = model.TextEncoder.Backbone.Encoder.CheckpointGradients;
        model.TextEncoder.Backbone.Encoder.CheckpointGradients = false;
        Tensor? map = null;
        using Tape tape = Tape.Record();
        try
        {
            attention.Observer = probabilities =>
            {
                map = tape.Retain(probabilities);
                map.NeedsGradient = true;
            };
            Tensor logits = model.MatchingLogits(model.Fuse(model.EncodeText(text), text.Mask, model.EncodeImage(images)));
            tape.Backward(logits.Narrow(1, 1, 1).Sum());
        }
        finally
        {
            attention.Observer = null;
            model.TextEncoder.Backbone.Encoder.CheckpointGradients = checkpoints;
            foreach (Parameter parameter in trainable) parameter.IsTrainable = true;
        }

        using IDisposable pause = Tape.NoGradient();
        int batch = images.Shape[0], patch = model.Config.Vision.PatchSize, rows = images.Shape[2] / patch, columns = images.Shape[3] / patch;
        Tensor relevance = (map!.Gradient!.Relu() * map).Mean(1);
        Tensor patches = TokenWeights(text, images.Device).MatMul(relevance).Narrow(2, 1, rows * columns);
        return tape.Keep(patches.Reshape([batch, rows, columns]));
    }

    /// <summary>[batch, 1, tokens]: 1 / number of tokens for a token, 0 for padding.</summary>
    private static Tensor TokenWeights(TextBatch text, Device device)
    {
        (int batch, int tokens) = (text.TokenIds.Shape[0], text.TokenIds.Shape[1]);
        int[]? mask = text.Mask?.ToArray();
        float[] weights = new float[batch * tokens];
        for (int row = 0; row < batch; row++)
        {
            int count = mask is null ? tokens : mask.AsSpan(row * tokens, tokens).Count(1);
            for (int i = row * tokens; i < (row + 1) * tokens; i++) weights[i] = mask is null || mask[i] != 0 ? 1f / count : 0f;
        }

        return Tensor.FromArray(weights, [batch, 1, tokens], device);
    }
}
