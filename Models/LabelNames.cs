using System.Globalization;
using System.Text.Json.Nodes;

namespace MiniVlp.Models;

/// <summary>The names of classes or answers in the fields <c>id2label</c> and <c>label2id</c> of a config.</summary>
internal static class LabelNames
{
    /// <summary>The names in order of their ids; <c>LABEL_i</c> where a name is absent, and <c>num_labels</c> of them when there is no list.</summary>
    public static string[] Read(ConfigJson json)
    {
        ConfigJson names = json.Object("id2label");
        int count = json.Count("id2label") ?? json.Integer("num_labels", 2, maximum: 1 << 20);
        return [.. Enumerable.Range(0, count).Select(i => names.Text(i.ToString(CultureInfo.InvariantCulture), $"LABEL_{i}"))];
    }

    /// <summary>Writes both fields.</summary>
    public static JsonObject Write(JsonObject config, IReadOnlyList<string> names)
    {
        JsonObject labels = [], ids = [];
        for (int i = 0; i < names.Count; i++)
        {
            labels[i.ToString(CultureInfo.InvariantCulture)] = names[i];
            ids[names[i]] = i;
        }

        config["id2label"] = labels;
        config["label2id"] = ids;
        return config;
    }
}
