using System.Globalization;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <content>The comparison of masked autoencoders.</content>
internal sealed partial class ParityRun
{
    private void Forward(Mae model)
    {
        Tensor images = Values("pixel_values");
        VisiblePatches patches = model.SelectPatches(Values("noise", needsGradient: false));
        AddResult("mask", patches.Removed);
        AddResult("ids_restore", patches.Restore);
        AddResult("patchified_pixels", model.PixelsOf(images));
        List<Tensor> states = [];
        Tensor tokens = AddResult("encoder_last_hidden_state", model.Encode(images, patches, states));
        for (int i = 0; i < states.Count; i++) AddResult($"hidden_states.{i.ToString(CultureInfo.InvariantCulture)}", states[i]);
        Tensor logits = AddResult("logits", model.Decode(tokens, patches));
        Loss = AddResult("loss", model.Loss(images, logits, patches));
    }
}
