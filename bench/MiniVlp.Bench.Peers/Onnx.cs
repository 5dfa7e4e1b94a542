using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace MiniVlp.Bench.Peers;

/// <summary>The forward workloads on ONNX Runtime, all graph optimizations on; the graphs are what exporters write, with LayerNormalization and Gelu as one node.</summary>
internal static class Onnx
{
    /// <summary>The workload of this name, or null: ONNX Runtime's CPU package does not train.</summary>
    public static PeerWorkload? Prepare(string name, int threads)
    {
        OnnxGraph graph = new();
        string[] parts = name.Split('_');
        return parts[0] switch
        {
            "gemm" => Gemm(graph, Sizes(parts[1]), threads),
            "sdpa" => Attention(graph, Sizes(parts[1]), threads),
            "layernorm" => OneOperand(
                graph, Sizes(parts[1]), threads, (x, s) => graph.Node("LayerNormalization", [x, graph.Constant([s[1]], 1f), graph.Constant([s[1]], 0f)], ("axis", -1L))),
            "gelu" => OneOperand(graph, Sizes(parts[1]), threads, (x, _) => graph.Node("Gelu", [x])),
            "softmax" => OneOperand(graph, Sizes(parts[1]), threads, (x, _) => graph.Node("Softmax", [x], ("axis", -1L))),
            "vit" => Vit(graph, name.EndsWith("b8", StringComparison.Ordinal) ? 8 : 1, threads),
            "bert" => Bert(graph, 8, 128, threads),
            _ => null,
        };
    }

    private static long[] Sizes(string text) => Array.ConvertAll(text.Split('x'), p => long.Parse(p, CultureInfo.InvariantCulture));

    private static PeerWorkload Gemm(OnnxGraph graph, long[] s, int threads)
    {
        string y = graph.Node("MatMul", [graph.Input("x", [s[0], s[2]]), graph.Weight([s[2], s[1]])]);
        return Session(graph.ToModel(y, [s[0], s[1]]), y, threads, ("x", [s[0], s[2]]));
    }

    private static PeerWorkload Attention(OnnxGraph graph, long[] s, int threads)
    {
        string y = Attend(graph, graph.Input("q", s), graph.Input("kT", [s[0], s[1], s[3], s[2]]), graph.Input("v", s), s[3]);
        return Session(graph.ToModel(y, s), y, threads, ("q", s), ("kT", [s[0], s[1], s[3], s[2]]), ("v", s));
    }

    private static PeerWorkload OneOperand(OnnxGraph graph, long[] shape, int threads, Func<string, long[], string> operation)
    {
        string y = operation(graph.Input("x", shape), shape);
        return Session(graph.ToModel(y, shape), y, threads, ("x", shape));
    }

    private static PeerWorkload Vit(OnnxGraph graph, long batch, int threads)
    {
        const long Width = 768, Patch = 32, Patches = 49;
        long[] images = [batch, 3, 224, 224], tokens = [batch, Patches + 1, Width];
        string x = graph.Node("Conv", [graph.Input("x", images), graph.Weight([Width, 3, Patch, Patch]), graph.Weight([Width])], ("strides", new[] { Patch, Patch }));
        x = graph.Node("Transpose", [graph.Node("Reshape", [x, graph.Integers(batch, Width, Patches)])], ("perm", new[] { 0L, 2, 1 }));
        x = graph.Node("Concat", [graph.Weight([batch, 1, Width]), x], ("axis", 1L));
        x = graph.Node("Add", [x, graph.Weight([1, Patches + 1, Width])]);
        x = Norm(graph, Blocks(graph, x, tokens, preNorm: true), Width);
        return Session(graph.ToModel(x, tokens), x, threads, ("x", images));
    }

    private static PeerWorkload Bert(OnnxGraph graph, long batch, long length, int threads)
    {
        const long Width = 768, Vocabulary = 30522;
        long[] tokens = [batch, length, Width];
        string x = graph.Node("Gather", [graph.Weight([Vocabulary, Width]), graph.Input("ids", [batch, length], isIndex: true)]);
        x = graph.Node("Add", [graph.Node("Add", [x, graph.Weight([1, length, Width])]), graph.Weight([1, 1, Width])]);
        x = Blocks(graph, Norm(graph, x, Width), tokens, preNorm: false);
        Random random = new(1);
        long[] ids = new long[batch * length];
        foreach (ref long id in ids.AsSpan()) id = random.NextInt64(Vocabulary);
        return Session(graph.ToModel(x, tokens), x, threads, "ids", OrtValue.CreateTensorValueFromMemory(ids, [batch, length]));
    }

    private static string Blocks(OnnxGraph graph, string x, long[] tokens, bool preNorm)
    {
        const int Layers = 12, Heads = 12;
        const long Hidden = 3072;
        long width = tokens[2], headSize = width / Heads;
        for (int layer = 0; layer < Layers; layer++)
        {
            if (preNorm)
            {
                x = graph.Node("Add", [x, SelfAttention(Norm(graph, x, width))]);
                x = graph.Node("Add", [x, Mlp(Norm(graph, x, width))]);
            }
            else
            {
                x = Norm(graph, graph.Node("Add", [x, SelfAttention(x)]), width);
                x = Norm(graph, graph.Node("Add", [x, Mlp(x)]), width);
            }
        }

        return x;

        string Linear(string y, long inputs, long outputs) => graph.Node("Add", [graph.Node("MatMul", [y, graph.Weight([inputs, outputs])]), graph.Weight([outputs])]);

        string Heads4(string y, params long[] order)
            => graph.Node("Transpose", [graph.Node("Reshape", [y, graph.Integers(tokens[0], tokens[1], Heads, headSize)])], ("perm", order));

        string SelfAttention(string y)
        {
            string query = Heads4(Linear(y, width, width), 0, 2, 1, 3), key = Heads4(Linear(y, width, width), 0, 2, 3, 1), value = Heads4(Linear(y, width, width), 0, 2, 1, 3);
            string mixed = graph.Node("Transpose", [Attend(graph, query, key, value, headSize)], ("perm", new[] { 0L, 2, 1, 3 }));
            return Linear(graph.Node("Reshape", [mixed, graph.Integers(tokens)]), width, width);
        }

        string Mlp(string y) => Linear(graph.Node("Gelu", [Linear(y, width, Hidden)]), Hidden, width);
    }

    private static string Attend(OnnxGraph graph, string query, string transposedKey, string value, long headSize)
    {
        string scores = graph.Node("Mul", [graph.Node("MatMul", [query, transposedKey]), graph.Constant([1], 1f / MathF.Sqrt(headSize))]);
        return graph.Node("MatMul", [graph.Node("Softmax", [scores], ("axis", -1L)), value]);
    }

    private static string Norm(OnnxGraph graph, string x, long width)
        => graph.Node("LayerNormalization", [x, graph.Constant([width], 1f), graph.Constant([width], 0f)], ("axis", -1L), ("epsilon", 1e-12f));

    private static PeerWorkload Session(byte[] model, string output, int threads, params (string Name, long[] Shape)[] inputs)
    {
        Random random = new(1);
        return Session(model, output, threads, [.. inputs.Select(i => i.Name)], [.. inputs.Select(input =>
        {
            float[] values = new float[input.Shape.Aggregate(1L, (product, size) => product * size)];
            foreach (ref float value in values.AsSpan()) value = random.NextSingle();
            return OrtValue.CreateTensorValueFromMemory(values, input.Shape);
        })]);
    }

    private static PeerWorkload Session(byte[] model, string output, int threads, string input, OrtValue value) => Session(model, output, threads, [input], [value]);

    private static PeerWorkload Session(byte[] model, string output, int threads, string[] names, OrtValue[] values)
    {
        using SessionOptions options = new()
        {
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        InferenceSession session = new(model, options);
        RunOptions run = new();
        return new PeerWorkload(
            () =>
            {
                using IDisposableReadOnlyCollection<OrtValue> results = session.Run(run, names, values, [output]);
            },
            [session, run, .. values]);
    }
}
