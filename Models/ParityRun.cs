using System.Globalization;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Models;

/// <summary>One forward pass for <see cref="Parity"/>: inputs by their names in the reference, results under theirs.</summary>
internal sealed partial class ParityRun(SafetensorsFile inputs, Device device)
{
    /// <summary>What was computed so far, copied to the host before a backward pass gives the memory back.</summary>
    public Dictionary<string, (Shape Shape, float[] Values)> Results { get; } = new(StringComparer.Ordinal);

    /// <summary>The inputs whose gradient may be compared.</summary>
    public Dictionary<string, Tensor> FloatInputs { get; } = new(StringComparer.Ordinal);

    /// <summary>What the gradients are of.</summary>
    public Tensor? Loss { get; private set; }

    private TextBatch Text => new(Indices("input_ids"), OptionalIndices("attention_mask"), OptionalIndices("token_type_ids"));

    /// <summary>Runs the model on the inputs, with the outputs that the reference class has.</summary>
    public void Forward(PretrainedModel model)
    {
        switch (model)
        {
            case VisionTransformer vit: Forward(vit); break;
            case VisionTransformerClassifier classifier: Forward(classifier); break;
            case Bert bert: Forward(bert); break;
            case BertForPreTraining bert: Forward(bert); break;
            case Clip clip: Forward(clip); break;
            case VisionTextDualEncoder dual: Forward(dual); break;
            case Siglip siglip: Forward(siglip); break;
            case Mae mae: Forward(mae); break;
            case BlipCaptioning blip: Forward(blip); break;
            case BlipQuestionAnswering blip: Forward(blip); break;
            case BlipRetrieval blip: Forward(blip); break;
            case Vilt vilt: Forward(vilt); break;
            case ViltWithHead vilt: Forward(vilt); break;
            default: throw new ModelFormatException($"{inputs.Path}: no comparison is written for {model.Architecture}.");
        }
    }

    /// <summary>Stores a result under its name in the reference.</summary>
    public Tensor AddResult(string name, Tensor value)
    {
        Results[name] = (value.Shape, value.ToArray());
        return value;
    }

    /// <summary>Stores integers under their name in the reference.</summary>
    private void AddResult(string name, IndexTensor value) => Results[name] = (value.Shape, [.. value.ToArray().Select(number => (float)number)]);

    private void Forward(VisionTransformer model)
    {
        List<Tensor> states = [];
        Tensor tokens = AddResult("last_hidden_state", model.Forward(Values("pixel_values"), states));
        Tensor pooled = AddResult("pooler_output", model.Pool(tokens));
        AddStates(string.Empty, states, model.Encoder, default);
        Probe(("last_hidden_state", tokens), ("pooler_output", pooled));
        if (inputs.Entries.ContainsKey("larger.pixel_values")) AddResult("larger.last_hidden_state", model.Forward(Values("larger.pixel_values")));
    }

    private void Forward(VisionTransformerClassifier model)
    {
        List<Tensor> states = [];
        Tensor logits = AddResult("logits", model.Forward(Values("pixel_values"), states));
        AddStates(string.Empty, states, model.Backbone.Encoder, default);
        if (OptionalIndices("labels") is { } labels) Loss = AddResult("loss", logits.CrossEntropy(labels));
    }

    private void Forward(Bert model)
    {
        List<Tensor> states = [];
        Tensor hidden = AddResult("last_hidden_state", model.Forward(Text, states));
        Tensor pooled = AddResult("pooler_output", model.Pool(hidden));
        AddStates(string.Empty, states, model.Encoder, new AttentionMask(KeyMask: Text.Mask));
        Probe(("last_hidden_state", hidden), ("pooler_output", pooled));
    }

    private void Forward(BertForPreTraining model)
    {
        List<Tensor> states = [];
        Tensor hidden = model.Backbone.Forward(Text, states);
        AddStates(string.Empty, states, model.Backbone.Encoder, new AttentionMask(KeyMask: Text.Mask));
        bool nextSentence = model.Architecture == "BertForPreTraining";
        Tensor logits = AddResult(nextSentence ? "prediction_logits" : "logits", model.PredictTokens(hidden));
        Tensor? loss = OptionalIndices("labels") is { } labels ? AddResult("mlm_loss", logits.CrossEntropy(labels)) : null;
        if (nextSentence)
        {
            Tensor follows = AddResult("seq_relationship_logits", model.PredictNextSentence(hidden));
            if (loss is not null && OptionalIndices("next_sentence_label") is { } sentences) loss += AddResult("nsp_loss", follows.CrossEntropy(sentences));
        }

        if (loss is not null) Loss = AddResult("loss", loss);
    }

    private void Forward(Clip model)
    {
        List<Tensor> imageStates = [], textStates = [];
        Tensor imageTokens = AddResult("vision_model_output.last_hidden_state", model.VisionEncoder.Forward(Values("pixel_values"), imageStates));
        Tensor textTokens = AddResult("text_model_output.last_hidden_state", model.TextEncoder.Forward(Text, textStates));
        AddStates("vision_model_output.", imageStates, model.VisionEncoder.Blocks, default);
        AddStates("text_model_output.", textStates, model.TextEncoder.Blocks, new AttentionMask(true, Text.Mask));
        Tensor imagePooled = AddResult("vision_pooled", model.VisionEncoder.Pool(imageTokens));
        Tensor textPooled = AddResult("text_pooled", model.TextEncoder.Pool(textTokens, Text.TokenIds));
        AddResult("vision_model_output.pooler_output", imagePooled);
        AddResult("text_model_output.pooler_output", textPooled);
        Tensor image = AddResult("vision_projected", model.ProjectImage(imagePooled)).L2Normalize();
        Tensor text = AddResult("text_projected", model.ProjectText(textPooled)).L2Normalize();
        Contrast(model, image, text, null);
    }

    private void Forward(VisionTextDualEncoder model)
    {
        List<Tensor> imageStates = [], textStates = [];
        Tensor imageTokens = AddResult("vision_model_output.last_hidden_state", model.VisionEncoder.Forward(Values("pixel_values"), imageStates));
        Tensor textTokens = AddResult("text_model_output.last_hidden_state", model.TextEncoder.Forward(Text, textStates));
        AddStates("vision_model_output.", imageStates, model.VisionEncoder.Encoder, default);
        AddStates("text_model_output.", textStates, model.TextEncoder.Encoder, new AttentionMask(KeyMask: Text.Mask));
        Tensor image = model.ProjectImage(AddResult("vision_model_output.pooler_output", model.VisionEncoder.Pool(imageTokens)));
        Tensor text = model.ProjectText(AddResult("text_model_output.pooler_output", model.TextEncoder.Pool(textTokens)));
        Contrast(model, image, text, null);
    }

    private void Forward(Siglip model)
    {
        List<Tensor> imageStates = [], textStates = [];
        Tensor imageTokens = AddResult("vision_model_output.last_hidden_state", model.VisionEncoder.Forward(Values("pixel_values"), imageStates));
        Tensor textTokens = AddResult("text_model_output.last_hidden_state", model.TextEncoder.Forward(Text, textStates));
        AddStates("vision_model_output.", imageStates, model.VisionEncoder.Blocks, default);
        AddStates("text_model_output.", textStates, model.TextEncoder.Blocks, new AttentionMask(KeyMask: Text.Mask));
        Tensor image = AddResult("vision_model_output.pooler_output", model.VisionEncoder.Pool(imageTokens)).L2Normalize();
        Tensor text = AddResult("text_model_output.pooler_output", model.TextEncoder.Pool(textTokens)).L2Normalize();
        Contrast(model, image, text, model.LogitBias);
    }

    /// <summary>Embeddings, logits in both directions, and the loss of the model.</summary>
    private void Contrast(IDualEncoder model, Tensor image, Tensor text, Parameter? bias)
    {
        AddResult("image_embeds", image);
        AddResult("text_embeds", text);
        Tensor logits = image.MatMul(text, transposeRight: true) * model.LogitScale.Value.Exp();
        if (bias is not null) logits += bias.Value;
        AddResult("logits_per_image", logits);
        AddResult("logits_per_text", logits.Transpose());
        Loss = AddResult("loss", model.ContrastiveLoss(image, text));
    }

    private void AddStates(string prefix, List<Tensor> states, Transformer stack, AttentionMask mask)
    {
        for (int i = 0; i < states.Count; i++) AddResult($"{prefix}hidden_states.{i.ToString(CultureInfo.InvariantCulture)}", states[i]);
        using IDisposable pause = Tape.NoGradient();
        for (int i = 0; i < stack.Blocks.Count; i++)
            AddResult($"{prefix}attentions.{i.ToString(CultureInfo.InvariantCulture)}", stack.Blocks[i].AttentionProbabilities(states[i], mask));
    }

    /// <summary>The loss of a model that has none: the sum over outputs of output · fixed random weights.</summary>
    private void Probe(params (string Name, Tensor Output)[] outputs)
    {
        foreach ((string name, Tensor output) in outputs)
        {
            if (!inputs.Entries.ContainsKey("probe." + name)) continue;
            Tensor part = (output * Values("probe." + name, needsGradient: false)).Sum();
            Loss = Loss is null ? part : Loss + part;
        }

        if (Loss is not null) AddResult("probe_loss", Loss);
    }

    private Tensor Values(string name, bool needsGradient = true)
    {
        if (FloatInputs.TryGetValue(name, out Tensor? known)) return known;
        TensorEntry entry = inputs.Entry(name);
        float[] values = new float[checked((int)entry.ElementCount)];
        inputs.ReadFloat32(name, values);
        Tensor tensor = Tensor.FromArray(values, ShapeOf(entry), device);
        tensor.NeedsGradient = needsGradient;
        FloatInputs.Add(name, tensor);
        return tensor;
    }

    private IndexTensor Indices(string name)
    {
        TensorEntry entry = inputs.Entry(name);
        int[] values = new int[checked((int)entry.ElementCount)];
        inputs.ReadInt32(name, values);
        return IndexTensor.FromArray(values, ShapeOf(entry), device);
    }

    private IndexTensor? OptionalIndices(string name) => inputs.Entries.ContainsKey(name) ? Indices(name) : null;

    private static Shape ShapeOf(TensorEntry entry)
    {
        int[] sizes = [.. entry.Shape.Select(size => checked((int)size))];
        return Shape.Create(sizes);
    }
}
