using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>The outputs of the three BLIP classes.</summary>
internal sealed partial class ParityRun
{
    private void Forward(BlipCaptioning model)
    {
        List<Tensor> states = [];
        Tensor imageTokens = AddResult("image_embeds", model.VisionEncoder.Forward(Values("pixel_values"), states));
        AddStates(string.Empty, states, model.VisionEncoder.Blocks, default);
        Tensor logits = AddResult("logits", model.TextDecoder.Forward(Text, imageTokens));
        if (OptionalIndices("labels") is { } labels) Loss = AddResult("loss", model.TextDecoder.Loss(logits, labels));
        Generate(model.TextDecoder, imageTokens, OptionalIndices("generate.prompt_ids"));
    }

    private void Forward(BlipQuestionAnswering model)
    {
        Tensor imageTokens = AddResult("image_embeds", model.VisionEncoder.Forward(Values("pixel_values")));
        Tensor question = AddResult("question_embeds", model.AskAbout(imageTokens, Text));
        TextBatch answers = new(Indices("decoder_input_ids"), OptionalIndices("decoder_attention_mask"));

        // Without the mask of the question: in transformers the answer decoder attends to its padding, be it for a loss or to generate.
        Tensor logits = AddResult("logits", model.AnswerLogits(answers, question, null));
        if (OptionalIndices("labels") is { } labels) Loss = AddResult("loss", model.TextDecoder.Loss(logits, labels));
        Generate(model.TextDecoder, question, null);
    }

    private void Forward(BlipRetrieval model)
    {
        Tensor imageTokens = AddResult("image_embeds", model.VisionEncoder.Forward(Values("pixel_values")));
        Tensor grounded = AddResult("itm_text_states", model.Ground(imageTokens, Text));
        Tensor match = AddResult("itm_score", model.PredictMatch(grounded));
        Tensor states = AddResult("itc_text_states", model.TextEncoder.Forward(Text));
        Tensor image = AddResult("image_feat", model.ProjectImage(imageTokens)), text = AddResult("text_feat", model.ProjectText(states));
        Tensor contrast = AddResult("itc_score", image.MatMul(text, transposeRight: true));
        Probe(("itm_score", match), ("itc_score", contrast));
    }

    /// <summary>The texts of every call of <c>generate</c> that <c>meta.json</c> lists, as transformers returns them.</summary>
    private void Generate(BlipTextDecoder decoder, Tensor context, IndexTensor? prompt)
    {
        using IDisposable pause = Tape.NoGradient();
        BlipTextConfig config = decoder.Network.Config;
        foreach ((string name, JsonObject arguments) in GenerateCalls())
        {
            IndexTensor start = BlipTokens.Start(name.Contains("prompted", StringComparison.Ordinal) ? prompt : null, context.Shape[0], config, device);
            GenerationOptions options = BlipTokens.Complete(OptionsOf(arguments), config);
            GenerationResult result = TextGenerator.Generate(decoder.Looking(context, null), start, options);

            // Behind the end of a beam stands the end token when the padding token is 0.
            int fill = options.Beams > 1 && options.PadToken == 0 ? config.EndId : options.PadToken;
            IndexTensor sequences = WithPrompt(start, result with { PadToken = fill }, device);
            AddResult(name + ".sequences", Tensor.FromArray([.. sequences.ToArray().Select(id => (float)id)], sequences.Shape, device));
            if (options.Beams > 1)
            {
                AddResult(name + ".sequences_scores", Tensor.FromArray([.. result.Texts.Select(text => text.Score)], [result.Texts.Count], device));
                continue;
            }

            // All steps at once: position t scores what comes behind it.
            int before = start.Shape[1], steps = sequences.Shape[1] - before;
            Tensor logits = decoder.Forward(new TextBatch(sequences), context);
            AddResult(name + ".scores", logits.Narrow(1, before - 1, steps).Permute(1, 0, 2));
        }
    }
}
