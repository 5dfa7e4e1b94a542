using System.Text.Json.Nodes;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>What a reference says of calls of <c>generate</c>.</summary>
internal sealed partial class ParityRun
{
    /// <summary>Names such as <c>generate.beam3</c> with the arguments that <c>meta.json</c> lists for them.</summary>
    private IEnumerable<(string Name, JsonObject Arguments)> GenerateCalls()
    {
        string meta = Path.Combine(Path.GetDirectoryName(inputs.Path) ?? string.Empty, "meta.json");
        if (!File.Exists(meta) || JsonNode.Parse(File.ReadAllText(meta))?["call_args"] is not JsonObject calls) yield break;
        foreach ((string name, JsonNode? arguments) in calls)
            if (name.StartsWith("generate.", StringComparison.Ordinal) && arguments is JsonObject fields) yield return (name, fields);
    }

    /// <summary>The arguments of transformers' <c>generate</c>.</summary>
    /// <exception cref="ModelFormatException">One of them is not known here.</exception>
    private GenerationOptions OptionsOf(JsonObject arguments)
    {
        GenerationOptions options = new();
        foreach ((string name, JsonNode? value) in arguments)
        {
            options = name switch
            {
                "max_new_tokens" => options with { MaxNewTokens = value!.GetValue<int>() },
                "min_new_tokens" => options with { MinNewTokens = value!.GetValue<int>() },
                "num_beams" => options with { Beams = value!.GetValue<int>() },
                "num_return_sequences" => options with { ReturnSequences = value!.GetValue<int>() },
                "length_penalty" => options with { LengthPenalty = value!.GetValue<float>() },
                "repetition_penalty" => options with { RepetitionPenalty = value!.GetValue<float>() },
                "early_stopping" => options with { EarlyStopping = value!.GetValue<bool>() ? EarlyStopping.WhenFull : EarlyStopping.Heuristic },
                "suppress_tokens" => options with { SuppressTokens = [.. value!.AsArray().Select(id => id!.GetValue<int>())] },
                _ => throw new ModelFormatException($"{inputs.Path}: meta.json calls generate with '{name}', which is not known here."),
            };
        }

        return options;
    }

    /// <summary>The texts behind their prompts, [texts, prompt and longest text].</summary>
    private static IndexTensor WithPrompt(IndexTensor prompt, GenerationResult result, Device device)
    {
        int[] given = prompt.ToArray(), written = result.ToIndices().ToArray();
        int before = prompt.Shape[1], texts = result.Texts.Count, behind = written.Length / Math.Max(1, texts);
        int[] all = new int[texts * (before + behind)];
        for (int i = 0; i < texts; i++)
        {
            given.AsSpan(result.Texts[i].Row * before, before).CopyTo(all.AsSpan(i * (before + behind)));
            written.AsSpan(i * behind, behind).CopyTo(all.AsSpan((i * (before + behind)) + before));
        }

        return IndexTensor.FromArray(all, [texts, before + behind], device);
    }
}
