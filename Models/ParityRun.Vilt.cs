using System.Globalization;
using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>The comparisons of ViLT and its heads.</summary>
internal sealed partial class ParityRun
{
    private void Forward(Vilt model)
    {
        ViltStates states = ForwardVilt(model);
        Tensor pooled = AddResult("pooler_output", model.Pool(states));
        AddResult("last_hidden_state", states.Tokens);
        Probe(("last_hidden_state", states.Tokens), ("pooler_output", pooled));
    }

    private void Forward(ViltWithHead model)
    {
        ViltStates states = ForwardVilt(model.Backbone);
        switch (model)
        {
            case ViltForMaskedLM masked:
                Tensor words = AddResult("logits", masked.PredictTokens(states));
                if (OptionalIndices("labels") is { } labels) Loss = AddResult("loss", words.CrossEntropy(labels));
                break;
            case ViltForImageAndTextRetrieval retrieval:
                Probe(("logits", AddResult("logits", retrieval.Rank(states))));
                break;
            case ViltForQuestionAnswering answering:
                Tensor answers = AddResult("logits", answering.Classify(states));
                if (inputs.Entries.ContainsKey("labels"))
                    Loss = AddResult("loss", answers.BinaryCrossEntropyWithLogits(Values("labels", needsGradient: false)) * answering.Answers.Count);
                break;
            default: throw new ModelFormatException($"{inputs.Path}: no comparison is written for {model.Architecture}.");
        }
    }

    private ViltStates ForwardVilt(Vilt model)
    {
        List<Tensor> hidden = [];
        ViltStates states = model.Forward(Text, new ImageBatch(Values("pixel_values"), OptionalIndices("pixel_mask")), hiddenStates: hidden);
        for (int i = 0; i < hidden.Count; i++) AddResult($"hidden_states.{i.ToString(CultureInfo.InvariantCulture)}", hidden[i]);
        if (states.Mask is { } mask) Results["token_mask"] = (mask.Shape, [.. mask.ToArray().Select(value => (float)value)]);
        return states;
    }
}
