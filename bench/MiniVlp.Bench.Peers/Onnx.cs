using Microsoft.ML.OnnxRuntime;

namespace MiniVlp.Bench.Peers;

/// <summary>The forward workloads on ONNX Runtime, all graph optimizations on; the graphs are what exporters write, with LayerNormalization and Gelu as one node.</summary>
internal static class Onnx
{
    /// <summary>The workload of this name, or null: ONNX Runtime's CPU package does not train.</summary>
    public static PeerWorkload? Prepare(string name, int threads)
    {
        bool isPacked = name != WorkloadName.OfPeer(name);
        name = WorkloadName.OfPeer(name);
        WorkloadName workload = WorkloadName.Parse(name);
        if (workload.IsBackward) return null;
        OnnxGraph graph = new();
        long[] s = workload.Sizes;
        return name switch
        {
            "vit_b16_train_step_b8" => null,
            "bert_base_fwd_b8_s128" => Bert(graph, 8, 128, threads),
            "clip_text_b8" => ClipText(graph, 8, threads),
            _ => workload.Kind switch
            {
                "gemm" when workload.Batch > 0 => BatchedGemm(graph, workload.Batch, s, threads),
                "gemm" => isPacked ? ConstantGemm(graph, s, threads) : Gemm(graph, s, threads),
                "sdpa" => Attention(graph, s, workload.IsCausal, threads),
                "layernorm" => OneOperand(
                    graph, s, threads, x => graph.Node("LayerNormalization", [x, graph.Constant([s[1]], 1f), graph.Constant([s[1]], 0f)], ("axis", -1L))),
                "gelu" => OneOperand(graph, s, threads, x => graph.Node("Gelu", [x])),
                "softmax" => OneOperand(graph, s, threads, x => graph.Node("Softmax", [x], ("axis", -1L))),
                "crossentropy" => CrossEntropy(graph, s, threads),
                "vit" => Vit(graph, workload.VitSizes, workload.Batch, threads),
                _ => null,
            },
        };
    }

    /// <summary>The weight is an operand, read as it lies.</summary>
    private static PeerWorkload Gemm(OnnxGraph graph, long[] s, int threads)
    {
        string y = graph.Node("Gemm", [graph.Input("x", [s[0], s[2]]), graph.Input("w", [s[1], s[2]])], ("transB", 1L));
        return Session(graph.ToModel(y, [s[0], s[1]]), y, threads, ("x", [s[0], s[2]]), ("w", [s[1], s[2]]));
    }

    /// <summary>The weight is a constant, which the session packs when it is made.</summary>
    private static PeerWorkload ConstantGemm(OnnxGraph graph, long[] s, int threads)
    {
        string y = graph.Node("MatMul", [graph.Input("x", [s[0], s[2]]), graph.Weight([s[2], s[1]])]);
        return Session(graph.ToModel(y, [s[0], s[1]]), y, threads, ("x", [s[0], s[2]]));
    }

    /// <summary>The right factor comes with its axes in the order that MatMul takes, as the keys of the attention do.</summary>
    private static PeerWorkload BatchedGemm(OnnxGraph graph, long batch, long[] s, int threads)
    {
        string y = graph.Node("MatMul", [graph.Input("x", [batch, s[0], s[2]]), graph.Input("yT", [batch, s[2], s[1]])]);
        return Session(graph.ToModel(y, [batch, s[0], s[1]]), y, threads, ("x", [batch, s[0], s[2]]), ("yT", [batch, s[2], s[1]]));
    }

    private static PeerWorkload Attention(OnnxGraph graph, long[] s, bool isCausal, int threads)
    {
        string y = Attend(graph, graph.Input("q", s), graph.Input("kT", [s[0], s[1], s[3], s[2]]), graph.Input("v", s), s[3], isCausal ? graph.CausalMask(s[2]) : null);
        return Session(graph.ToModel(y, s), y, threads, ("q", s), ("kT", [s[0], s[1], s[3], s[2]]), ("v", s));
    }

    /// <summary>The mean over the rows, as exporters write it: log-softmax, the entry of the label, its mean.</summary>
    private static PeerWorkload CrossEntropy(OnnxGraph graph, long[] s, int threads)
    {
        string logs = graph.Node("LogSoftmax", [graph.Input("x", s)], ("axis", -1L));
        Random random = new(1);
        string labels = graph.Integers([s[0], 1], [.. Enumerable.Range(0, (int)s[0]).Select(_ => random.NextInt64(s[1]))]);
        string y = graph.Node("Neg", [graph.Node("ReduceMean", [graph.Node("GatherElements", [logs, labels], ("axis", 1L))], ("keepdims", 0L))]);
        return Session(graph.ToModel(y, []), y, threads, ("x", s));
    }

    private static PeerWorkload OneOperand(OnnxGraph graph, long[] shape, int threads, Func<string, string> operation)
    {
        string y = operation(graph.Input("x", shape));
        return Session(graph.ToModel(y, shape), y, threads, ("x", shape));
    }

    private static PeerWorkload Vit(OnnxGraph graph, TorchVitSizes sizes, long batch, int threads)
    {
        long width = sizes.Width, patches = sizes.Patches;
        long[] images = [batch, 3, TorchVitSizes.ImageSize, TorchVitSizes.ImageSize], tokens = [batch, patches + 1, width];
        string x = graph.Node("Conv", [graph.Input("x", images), graph.Weight([width, 3, sizes.Patch, sizes.Patch]), graph.Weight([width])], ("strides", new[] { sizes.Patch, sizes.Patch }));
        x = graph.Node("Transpose", [graph.Node("Reshape", [x, graph.Integers(batch, width, patches)])], ("perm", new[] { 0L, 2, 1 }));
        x = graph.Node("Concat", [graph.Weight([batch, 1, width]), x], ("axis", 1L));
        x = graph.Node("Add", [x, graph.Weight([1, patches + 1, width])]);
        x = Norm(graph, new Blocks(graph, tokens, sizes.Layers, sizes.Heads, sizes.Hidden).PreNorm(x), width);
        return Session(graph.ToModel(x, tokens), x, threads, ("x", images));
    }

    private static PeerWorkload Bert(OnnxGraph graph, long batch, long length, int threads)
    {
        const long Width = 768, Vocabulary = 30522;
        long[] tokens = [batch, length, Width];
        string x = graph.Node("Gather", [graph.Weight([Vocabulary, Width]), graph.Input("ids", [batch, length], isIndex: true)]);
        x = graph.Node("Add", [graph.Node("Add", [x, graph.Weight([1, length, Width])]), graph.Weight([1, 1, Width])]);
        x = new Blocks(graph, tokens, 12, 12, 3072).PostNorm(Norm(graph, x, Width));
        return Session(graph.ToModel(x, tokens), x, threads, ["ids"], [RandomIds(batch, length, Vocabulary)]);
    }

    /// <summary>The text tower of CLIP ViT-B/32.</summary>
    private static PeerWorkload ClipText(OnnxGraph graph, long batch, int threads)
    {
        const long Width = 512, Vocabulary = 49408, Length = 77;
        long[] tokens = [batch, Length, Width];
        string x = graph.Node("Gather", [graph.Weight([Vocabulary, Width]), graph.Input("ids", [batch, Length], isIndex: true)]);
        x = graph.Node("Add", [x, graph.Weight([Length, Width])]);
        x = Norm(graph, new Blocks(graph, tokens, 12, 8, 2048) { IsCausal = true, HasQuickGelu = true }.PreNorm(x), Width);
        return Session(graph.ToModel(x, tokens), x, threads, ["ids"], [RandomIds(batch, Length, Vocabulary)]);
    }

    private static OrtValue RandomIds(long batch, long length, long vocabulary)
    {
        Random random = new(1);
        long[] ids = new long[batch * length];
        foreach (ref long id in ids.AsSpan()) id = random.NextInt64(vocabulary);
        return OrtValue.CreateTensorValueFromMemory(ids, [batch, length]);
    }

    private static string Attend(OnnxGraph graph, string query, string transposedKey, string value, long headSize, string? mask = null)
    {
        string scores = graph.Node("Mul", [graph.Node("MatMul", [query, transposedKey]), graph.Constant([1], 1f / MathF.Sqrt(headSize))]);
        if (mask is not null) scores = graph.Node("Add", [scores, mask]);
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

    /// <summary>The blocks of a transformer.</summary>
    private sealed class Blocks(OnnxGraph graph, long[] tokens, int layers, long heads, long hidden)
    {
        private readonly long _width = tokens[2], _headSize = tokens[2] / heads;

        public bool IsCausal { get; init; }

        public bool HasQuickGelu { get; init; }

        public string PreNorm(string x)
        {
            string? mask = IsCausal ? graph.CausalMask(tokens[1]) : null;
            for (int layer = 0; layer < layers; layer++)
            {
                x = graph.Node("Add", [x, SelfAttention(Norm(graph, x, _width), mask)]);
                x = graph.Node("Add", [x, Mlp(Norm(graph, x, _width))]);
            }

            return x;
        }

        public string PostNorm(string x)
        {
            for (int layer = 0; layer < layers; layer++)
            {
                x = Norm(graph, graph.Node("Add", [x, SelfAttention(x, mask: null)]), _width);
                x = Norm(graph, graph.Node("Add", [x, Mlp(x)]), _width);
            }

            return x;
        }

        private string Linear(string y, long inputs, long outputs) => graph.Node("Add", [graph.Node("MatMul", [y, graph.Weight([inputs, outputs])]), graph.Weight([outputs])]);

        private string Heads(string y, params long[] order)
            => graph.Node("Transpose", [graph.Node("Reshape", [y, graph.Integers(tokens[0], tokens[1], heads, _headSize)])], ("perm", order));

        private string SelfAttention(string y, string? mask)
        {
            string query = Heads(Linear(y, _width, _width), 0, 2, 1, 3), key = Heads(Linear(y, _width, _width), 0, 2, 3, 1), value = Heads(Linear(y, _width, _width), 0, 2, 1, 3);
            string mixed = graph.Node("Transpose", [Attend(graph, query, key, value, _headSize, mask)], ("perm", new[] { 0L, 2, 1, 3 }));
            return Linear(graph.Node("Reshape", [mixed, graph.Integers(tokens)]), _width, _width);
        }

        private string Mlp(string y)
        {
            string inner = Linear(y, _width, hidden);
            string activated = HasQuickGelu ? graph.Node("Mul", [inner, graph.Node("Sigmoid", [graph.Node("Mul", [inner, graph.Constant([1], 1.702f)])])]) : graph.Node("Gelu", [inner]);
            return Linear(activated, hidden, _width);
        }
    }
}
