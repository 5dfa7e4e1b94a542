using System.Text.Json.Nodes;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Models;

/// <summary>
/// A model that lives in a Hugging Face folder: <c>config.json</c> and <c>model.safetensors</c> (or a sharded index), both ways.
/// </summary>
public abstract class PretrainedModel : Module
{
    private readonly List<string> _warnings = [];

    /// <summary>What a load found suspicious but could go on with, such as an activation that the weights were not trained with.</summary>
    public IReadOnlyList<string> Warnings => _warnings;

    /// <summary>The class name in <c>architectures</c> of a config, such as <c>CLIPModel</c>.</summary>
    public abstract string Architecture { get; }

    /// <summary>Path in front of the backbone's keys in checkpoints of models with heads, such as <c>bert</c>; null when there is none.</summary>
    protected virtual string? BackbonePrefix => null;

    /// <summary>The config as <c>transformers</c> writes it.</summary>
    public abstract JsonObject ToConfigJson();

    /// <summary>
    /// Writes <c>config.json</c> and <c>model.safetensors</c> with the fields and keys of <c>transformers</c>, where it has the class <see cref="Architecture"/>.
    /// Each file appears whole or not at all.
    /// </summary>
    /// <param name="folder">Created when absent.</param>
    /// <param name="dtype">F32, F16 or BF16.</param>
    public void SavePretrained(string folder, SafetensorsDtype dtype = SafetensorsDtype.F32)
    {
        Directory.CreateDirectory(folder);
        StateDict.Save(this, Path.Combine(folder, "model.safetensors"), dtype, WeightMetadata());
        JsonObject config = ToConfigJson();
        config["architectures"] = new JsonArray(Architecture);
        config["dtype"] = dtype switch { SafetensorsDtype.F16 => "float16", SafetensorsDtype.BF16 => "bfloat16", _ => "float32" };
        ConfigJson.Write(folder, config);
    }

    /// <summary>What the header of the weights says about how they were trained, so that a wrong config can be noticed.</summary>
    protected virtual IReadOnlyDictionary<string, string>? WeightMetadata() => null;

    /// <summary>Compares what the header of the weights says with the config.</summary>
    protected virtual void CheckMetadata(IReadOnlyDictionary<string, string> metadata)
    {
    }

    /// <summary>Notes something suspicious; shown through <see cref="Warnings"/>.</summary>
    protected void Warn(string message) => _warnings.Add(message);

    /// <summary>Whether a key of a checkpoint that no parameter claims is no mistake.</summary>
    protected virtual bool IgnoresKey(string key) => key.EndsWith("position_ids", StringComparison.Ordinal);

    /// <summary>Loads the weights of a folder into this model.</summary>
    /// <param name="folder">With <c>model.safetensors</c> or <c>model.safetensors.index.json</c>.</param>
    /// <param name="device">Where the parameters are kept.</param>
    /// <exception cref="ModelFormatException">The folder holds neither file.</exception>
    /// <exception cref="StateDictException">The checkpoint does not fit; all differences are listed.</exception>
    /// <exception cref="SafetensorsException">The file is damaged.</exception>
    protected void LoadWeights(string folder, Device device)
    {
        using SafetensorsFile weights = OpenWeights(folder);
        CheckMetadata(weights.Metadata);

        // A backbone may be loaded from a checkpoint of a model with heads, whose keys have the backbone's path in front.
        string prefix = BackbonePrefix is { } backbone ? backbone + "." : string.Empty;
        bool hasHeads = prefix.Length > 0 && weights.Entries.Keys.Any(key => key.StartsWith(prefix, StringComparison.Ordinal))
            && !NamedParameters().Any(named => named.Name.StartsWith(prefix, StringComparison.Ordinal));
        StateDict.Load(
            this,
            weights,
            device,
            name => KeyOf((hasHeads ? prefix : string.Empty) + name, weights),
            key => IgnoresKey(key) || (hasHeads && !key.StartsWith(prefix, StringComparison.Ordinal)));
    }

    /// <summary>Whether the weights of a folder hold a key, at the top or in a backbone of that name: what a config does not say of a model.</summary>
    private protected static bool HoldsKey(string folder, string key, string backbone)
    {
        using SafetensorsFile weights = OpenWeights(folder);
        return weights.Entries.ContainsKey(key) || weights.Entries.ContainsKey($"{backbone}.{key}");
    }

    private static SafetensorsFile OpenWeights(string folder)
    {
        string file = Path.Combine(folder, "model.safetensors"), index = file + ".index.json";
        if (!File.Exists(file) && !File.Exists(index))
            throw new ModelFormatException($"{folder}: a model folder must hold model.safetensors or model.safetensors.index.json; there is neither.");
        return SafetensorsFile.Open(File.Exists(file) ? file : index);
    }

    /// <summary>The first BERT checkpoints call the weight of a norm gamma and its bias beta; older masked-language heads hold the decoder's bias themselves.</summary>
    private static string KeyOf(string name, SafetensorsFile weights)
    {
        if (weights.Entries.ContainsKey(name)) return name;
        if (name.EndsWith(".decoder.bias", StringComparison.Ordinal) && weights.Entries.ContainsKey(name.Replace(".decoder.", ".", StringComparison.Ordinal)))
            return name.Replace(".decoder.", ".", StringComparison.Ordinal);
        if (!name.Contains("LayerNorm", StringComparison.Ordinal)) return name;
        string old = name.Replace("LayerNorm.weight", "LayerNorm.gamma", StringComparison.Ordinal).Replace("LayerNorm.bias", "LayerNorm.beta", StringComparison.Ordinal);
        return weights.Entries.ContainsKey(old) ? old : name;
    }
}
