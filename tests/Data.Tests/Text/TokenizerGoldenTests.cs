using System.Text.Json;
using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Data.Tests.Text;

/// <summary>The ids that Hugging Face gives for 505 texts.</summary>
public class TokenizerGoldenTests
{
    [Fact]
    public void BertIdsAndTypesAreThoseOfHuggingFace()
    {
        string folder = SharedFolder.Require("goldens/tokenizers");
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(Path.Combine(folder, "bert-base-uncased"));
        Assert.Equal(30522, tokenizer.VocabularySize);
        int compared = 0;
        foreach ((JsonElement test, JsonElement expected) in Cases(folder, "bert"))
        {
            int maxLength = expected.GetProperty("max_length").GetInt32();
            string text = test.GetProperty("text").GetString()!;
            int[] types = Ints(expected, "type_ids");
            (int[] Ids, int[] TypeIds) actual = test.TryGetProperty("pair", out JsonElement pair)
                ? tokenizer.EncodePair(text, pair.GetString()!, maxLength)
                : (tokenizer.Encode(text, maxLength), new int[types.Length]);
            Assert.True(Ints(expected, "ids").SequenceEqual(actual.Ids), Difference(text, expected, actual.Ids));
            Assert.Equal(types, actual.TypeIds);
            compared++;
        }

        Assert.Equal(505, compared);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ClipIdsAreThoseOfHuggingFace(bool afterSaving)
    {
        string folder = SharedFolder.Require("goldens/tokenizers");
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(Path.Combine(folder, "clip"));
        if (afterSaving)
        {
            using TemporaryFolder copy = new();
            tokenizer.Save(copy.Path);
            tokenizer = TextTokenizer.FromPretrained(copy.Path);
        }

        Assert.Equal(49408, tokenizer.VocabularySize);
        int compared = 0;
        foreach ((JsonElement test, JsonElement expected) in Cases(folder, "clip"))
        {
            string text = test.GetProperty("text").GetString()!;
            int[] actual = tokenizer.Encode(text, expected.GetProperty("max_length").GetInt32());
            Assert.True(Ints(expected, "ids").SequenceEqual(actual), Difference(text, expected, actual));
            compared++;
        }

        Assert.Equal(465, compared);
    }

    private static IEnumerable<(JsonElement Test, JsonElement Expected)> Cases(string folder, string kind)
    {
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "cases.json")));
        foreach (JsonElement test in cases.RootElement.EnumerateArray())
        {
            if (test.TryGetProperty(kind, out JsonElement expected))
            {
                yield return (test, expected);
            }
        }
    }

    private static int[] Ints(JsonElement parent, string name)
    {
        return [.. parent.GetProperty(name).EnumerateArray().Select(value => value.GetInt32())];
    }

    private static string Difference(string text, JsonElement expected, int[] actual)
    {
        return $"'{text}' expected {expected.GetProperty("ids")} got [{string.Join(',', actual)}]";
    }
}
