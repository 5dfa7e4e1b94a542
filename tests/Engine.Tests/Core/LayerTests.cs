using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.Safetensors;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Modules and layers: names, initialisation, variants of the one block.</summary>
public sealed class LayerTests
{
    private static readonly TransformerBlockOptions Options = new() { Width = 8, Heads = 2, HiddenWidth = 16, Activation = Activation.Gelu, Names = TransformerBlockNames.Bert };

    [Fact]
    public void NamesAreThePathsOfACheckpoint()
    {
        using Transformer stack = new("encoder.layer", 2, Options with { ContextWidth = 6, LayerScale = 0.1f });
        string[] names = [.. stack.NamedParameters().Select(named => named.Name)];
        Assert.Contains("encoder.layer.1.attention.self.query.weight", names);
        Assert.Contains("encoder.layer.0.crossattention.self.key.bias", names);
        Assert.Contains("encoder.layer.0.lambda_1", names);
        Assert.Contains("encoder.layer.1.output.LayerNorm.bias", names);
        Assert.Equal(names.Length, names.Distinct().Count());
        Assert.Equal([8, 6], stack.NamedParameters().Single(named => named.Name == "encoder.layer.0.crossattention.self.key.weight").Parameter.Shape);
    }

    [Fact]
    public void NothingIsLoadedFromAFileOfWhichOneTensorHoldsIntegers()
    {
        using TemporaryDirectory folder = new();
        string path = Path.Combine(folder.Path, "layer.safetensors");
        using (SafetensorsWriter writer = SafetensorsWriter.Create(path))
        {
            writer.Declare("weight", SafetensorsDtype.F32, [1, 2]);
            writer.Declare("bias", SafetensorsDtype.I32, [1]);
            writer.Write("weight", [5f, 6f]);
            writer.Write("bias", [7]);
            writer.Complete();
        }

        using Linear layer = new(2, 1);
        layer.Initialize(Device.Cpu);
        float[] before = layer.Weight.Value.ToArray();
        using SafetensorsFile file = SafetensorsFile.Open(path);
        string message = Assert.Throws<StateDictException>(() => StateDict.Load(layer, file, Device.Cpu)).Message;
        Assert.Contains("mis-typed  bias", message, StringComparison.Ordinal);
        Assert.Contains("I32", message, StringComparison.Ordinal);
        Assert.Equal(before, layer.Weight.Value.ToArray());
    }

    [Theory]
    [InlineData(5, 3, SafetensorsDtype.F32)]
    [InlineData(5, 3, SafetensorsDtype.BF16)]
    [InlineData(4096, 4097, SafetensorsDtype.F32)]
    [InlineData(4096, 4097, SafetensorsDtype.BF16)]
    public void WhatIsSavedIsLoaded(int inputs, int outputs, SafetensorsDtype dtype)
    {
        // The larger one is loaded by several threads. All values are halves, which bfloat16 can hold.
        using TemporaryDirectory folder = new();
        using Linear saved = new(inputs, outputs), loaded = new(inputs, outputs);
        foreach ((_, Parameter parameter) in saved.NamedParameters())
            parameter.Assign([.. Enumerable.Range(0, parameter.Shape.Length).Select(i => (i % 253) * 0.5f)], Device.Cpu);
        StateDict.Save(saved, folder["layer.safetensors"], dtype);
        using SafetensorsFile file = SafetensorsFile.Open(folder["layer.safetensors"]);
        StateDict.Load(loaded, file, Device.Cpu);
        Assert.True(saved.Weight.Value.ToArray().AsSpan().SequenceEqual(loaded.Weight.Value.ToArray()));
        Assert.Equal(saved.Bias!.Value.ToArray(), loaded.Bias!.Value.ToArray());
    }

    [Fact]
    public void InitialValuesDependOnSeedAndNameAlone()
    {
        using Linear a = new(4, 3), b = new(4, 3), c = new(4, 3);
        a.Initialize(Device.Cpu, 5);
        b.Initialize(Device.Cpu, 5);
        c.Initialize(Device.Cpu, 6);
        Assert.Equal(a.Weight.Value.ToArray(), b.Weight.Value.ToArray());
        Assert.NotEqual(a.Weight.Value.ToArray(), c.Weight.Value.ToArray());
        Assert.All(a.Bias!.Value.ToArray(), value => Assert.Equal(0f, value));
        Assert.Equal(15, a.ParameterCount());
    }

    [Theory]
    [InlineData("normal", 0.02)]
    [InlineData("truncated", 0.0176)]
    [InlineData("kaiming", 0.1)]
    [InlineData("xavier", 0.0816)]
    public void InitializersHaveTheirDeviation(string name, double deviation)
    {
        Initializer initializer = name switch
        {
            "normal" => Initializers.Normal(0.02f),
            "truncated" => Initializers.TruncatedNormal(0.02f),
            "kaiming" => Initializers.KaimingNormal,
            _ => Initializers.XavierUniform,
        };
        float[] values = new float[100 * 200];
        initializer(values, [100, 200], new Random(1));
        Assert.Equal(0, values.Average(), 3e-3f * (float)(deviation / 0.02));
        Assert.Equal(deviation, Math.Sqrt(values.Average(value => (double)value * value)), deviation * 0.03);
        if (name == "truncated") Assert.True(values.Max(Math.Abs) <= 0.04f);
    }

    [Fact]
    public void AParameterWithoutValuesSaysHowToGetThem()
    {
        using Linear layer = new(2, 2);
        Assert.Contains("Initialize", Assert.Throws<InvalidOperationException>(() => layer.Weight.Value).Message, StringComparison.Ordinal);
        Assert.False(layer.Weight.IsInitialized);
        Assert.Throws<ShapeException>(() => layer.Weight.Assign([1], Device.Cpu));
    }

    [Fact]
    public void FrozenParametersGetNoGradient()
    {
        using Linear layer = new(3, 2);
        layer.Initialize(Device.Cpu);
        layer.Weight.IsTrainable = false;
        using (Tape tape = Tape.Record()) tape.Backward(layer.Forward(Tensor.Full([1, 3], 1f)).Sum());
        Assert.Null(layer.Weight.Gradient);
        Assert.Equal([1, 1], layer.Bias!.Gradient!.ToArray());
        layer.ClearGradients();
        Assert.Null(layer.Bias.Gradient);
        layer.SetTrainable(true);
        Assert.True(layer.Weight.Value.NeedsGradient);
    }

    [Fact]
    public void DropoutIsActiveInTrainingAlone()
    {
        using TensorScope scope = new();
        Dropout dropout = new(0.5f);
        DropPath path = new(0.5f);
        Tensor x = Tensor.Full([100, 4], 1f);
        Assert.Same(x, dropout.Forward(x));
        Assert.Same(x, path.Forward(x));
        dropout.Train();
        path.Train();
        Generator.Current = new Generator(3);
        Assert.Equal([0f, 2f], dropout.Forward(x).ToArray().Distinct().Order());
        Assert.All(path.Forward(x).ToArray().Chunk(4), sample => Assert.Single(sample.Distinct()));
        dropout.Evaluate();
        Assert.False(dropout.IsActive);
    }

    [Fact]
    public void ABlockWithCrossAttentionReadsItsContextWhenItHasOne()
    {
        using TensorScope scope = new();
        using TransformerBlock crossing = new(Options with { ContextWidth = 6 }), plain = new(Options);
        crossing.Initialize(Device.Cpu, 3);
        plain.Initialize(Device.Cpu, 3);
        Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu), context = Tensor.RandomNormal([2, 5, 6], 0, 1, new Generator(2), Device.Cpu);

        // Without one it is the block that has no cross-attention: initial values go by name.
        Assert.Equal(plain.Forward(x).ToArray(), crossing.Forward(x).ToArray());
        Assert.False(plain.HasCrossAttention);
        Assert.Contains("no cross-attention", Assert.Throws<ArgumentException>(() => plain.Forward(x, context: context)).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => plain.CrossAttentionProbabilities(x, context));
        Assert.NotEqual(crossing.Forward(x).ToArray(), crossing.Forward(x, context: context).ToArray());
        Tensor y = crossing.Forward(x, context: context);
        Assert.Equal(x.Shape, y.Shape);
        Assert.NotEqual(y.ToArray(), crossing.Forward(x, context: context * 2f).ToArray());

        // A context token that is masked out does not matter.
        AttentionMask mask = new(KeyMask: IndexTensor.FromArray([1, 1, 1, 1, 0, 1, 1, 1, 1, 0], [2, 5]));
        float[] changed = context.ToArray();
        for (int batch = 0; batch < 2; batch++)
            for (int i = 0; i < 6; i++) changed[(batch * 30) + 24 + i] += 3f;
        Assert.Equal(crossing.Forward(x, context: context, contextMask: mask).ToArray(), crossing.Forward(x, context: Tensor.FromArray(changed, context.Shape), contextMask: mask).ToArray());
    }

    [Theory]
    [InlineData(NormPlacement.Pre)]
    [InlineData(NormPlacement.Post)]
    public void AStackMayCrossAttendFromSomeBlockOnAndRunInParts(NormPlacement placement)
    {
        using TensorScope scope = new();
        using Transformer stack = new("layer", 4, Options with { NormPlacement = placement, ContextWidth = 6, CrossAttentionFrom = 2 });
        stack.Initialize(Device.Cpu, 1);
        Assert.Equal([false, false, true, true], stack.Blocks.Select(block => block.HasCrossAttention));
        Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu), context = Tensor.RandomNormal([2, 5, 6], 0, 1, new Generator(2), Device.Cpu);
        AttentionMask mask = new(KeyMask: IndexTensor.FromArray([1, 1, 0, 1, 1, 1], [2, 3])), contextMask = new(KeyMask: IndexTensor.FromArray([1, 1, 1, 1, 0, 1, 1, 1, 1, 1], [2, 5]));
        List<Tensor> states = [], firstStates = [], lastStates = [];
        float[] whole = stack.Forward(x, mask, states, context, contextMask).ToArray();
        Tensor text = stack.Forward(x, mask, firstStates, blocks: ..2);
        Assert.Equal(whole, stack.Forward(text, mask, lastStates, context, contextMask, 2..).ToArray());
        Assert.Equal(states.Select(state => state.ToArray()), firstStates.SkipLast(1).Concat(lastStates).Select(state => state.ToArray()));
        Assert.NotEqual(whole, stack.Forward(x, mask).ToArray());
        Assert.Equal(x.ToArray(), stack.Forward(x, mask, blocks: 4..).ToArray());
        Assert.Contains("0 .. 1", Assert.Throws<ArgumentException>(() => stack.Forward(x, mask, null, context, blocks: ..2)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => stack.Forward(x, blocks: 3..5));
    }

    [Fact]
    public void ACheckpointedStackGivesItsContextTheSameGradient()
    {
        float[][] Gradients(bool checkpoint)
        {
            using Transformer stack = new("layer", 3, Options with { NormPlacement = NormPlacement.Post, ContextWidth = 6, CrossAttentionFrom = 1, DropoutRate = 0.2f }) { CheckpointGradients = checkpoint };
            stack.Initialize(Device.Cpu, 1);
            stack.Train();
            Generator.Current = new Generator(7);
            using Tape tape = Tape.Record();
            Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu), seen = Tensor.RandomNormal([2, 5, 6], 0, 1, new Generator(2), Device.Cpu);
            x.NeedsGradient = seen.NeedsGradient = true;
            Tensor context = seen * 2f;
            tape.Backward((stack.Forward(x, context: context) * 3f).Square().Sum() + context.Square().Sum());
            return [x.Gradient!.ToArray(), seen.Gradient!.ToArray(), .. stack.NamedParameters().Select(named => named.Parameter.Gradient!.ToArray())];
        }

        Assert.Equal(Gradients(false), Gradients(true));
    }

    [Theory]
    [InlineData(NormPlacement.Pre)]
    [InlineData(NormPlacement.Post)]
    public void CrossAttentionProbabilitiesAreThoseOfTheBlock(NormPlacement placement)
    {
        using TensorScope scope = new();
        using TransformerBlock block = new(Options with { NormPlacement = placement, ContextWidth = 6 });
        block.Initialize(Device.Cpu, 1);
        Dictionary<string, Parameter> parameters = block.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter);
        Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu), context = Tensor.RandomNormal([2, 5, 6], 0, 5, new Generator(2), Device.Cpu);
        AttentionMask mask = new(KeyMask: IndexTensor.FromArray([1, 1, 0, 1, 1, 1], [2, 3])), contextMask = new(KeyMask: IndexTensor.FromArray([1, 1, 1, 1, 0, 0, 1, 1, 1, 1], [2, 5]));
        Tensor probabilities = block.CrossAttentionProbabilities(x, context, mask, contextMask);
        Assert.Equal([2, 2, 3, 5], probabilities.Shape);
        Assert.All(probabilities.Sum(3).ToArray(), sum => Assert.Equal(1f, sum, 1e-5f));
        for (int row = 0; row < 6; row++) Assert.Equal(0f, probabilities.ToArray()[(row * 5) + 4]);

        // The rest of the block by hand, with these probabilities in place of the fused attention. The context is strong, so they are far from uniform.
        Tensor Norm(string name, Tensor y) => y.LayerNorm(parameters[name + ".weight"].Value, parameters[name + ".bias"].Value, 1e-5f);
        Tensor Layer(string name, Tensor y) => y.Linear(parameters[name + ".weight"].Value, parameters[name + ".bias"].Value);
        Tensor values = Layer("crossattention.self.value", context).Reshape([2, 5, 2, 4]).Permute(0, 2, 1, 3);
        Tensor crossed = Layer("crossattention.output.dense", probabilities.MatMul(values).Permute(0, 2, 1, 3).Reshape([2, 3, 8]));
        using MultiHeadAttention attention = new(8, 2, TransformerBlockNames.Bert.Attention);
        foreach ((string name, Parameter parameter) in attention.NamedParameters()) parameter.Assign(parameters[name].Value.ToArray(), Device.Cpu);
        Tensor expected;
        if (placement == NormPlacement.Pre)
        {
            expected = x + attention.Forward(Norm("attention.output.LayerNorm", x), null, mask) + crossed;
            expected += Layer("output.dense", Layer("intermediate.dense", Norm("output.LayerNorm", expected)).Gelu());
        }
        else
        {
            expected = Norm("attention.output.LayerNorm", x + attention.Forward(x, null, mask));
            expected = Norm("crossattention.output.LayerNorm", expected + crossed);
            expected = Norm("output.LayerNorm", expected + Layer("output.dense", Layer("intermediate.dense", expected).Gelu()));
        }

        Assert.All(expected.ToArray().Zip(block.Forward(x, mask, context, contextMask).ToArray()), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void StacksMayShareAllButTheirSelfAttention()
    {
        TransformerBlockOptions options = Options with { NormPlacement = NormPlacement.Post, ContextWidth = 6 };
        using Transformer encoder = new("layer", 2, options), decoder = new("layer", 2, options, encoder);
        (string Name, Parameter Parameter)[] left = [.. encoder.NamedParameters()], right = [.. decoder.NamedParameters()];
        Assert.Equal(left.Select(named => named.Name), right.Select(named => named.Name));
        Assert.All(left.Zip(right), pair => Assert.Equal(!pair.First.Name.Contains(".attention.", StringComparison.Ordinal), ReferenceEquals(pair.First.Parameter, pair.Second.Parameter)));

        // In a module that holds both, a shared parameter comes once, under its first name.
        using Both both = new(encoder, decoder);
        string[] names = [.. both.NamedParameters().Select(named => named.Name)];
        Assert.Equal(left.Length + right.Count(named => named.Name.Contains(".attention.", StringComparison.Ordinal)), names.Length);
        Assert.DoesNotContain("decoder.layer.0.output.dense.weight", names);
        Assert.Contains("decoder.layer.1.attention.output.LayerNorm.bias", names);
        both.Initialize(Device.Cpu);
        using TensorScope scope = new();
        Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu);
        float[] before = decoder.Forward(x).ToArray();
        both.PackWeights();
        Assert.All(before.Zip(decoder.Forward(x).ToArray()), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));

        Assert.Throws<ArgumentException>(() => new Transformer("layer", 3, options, encoder));
        Assert.Throws<ArgumentException>(() => new TransformerBlock(Options, encoder.Blocks[0]));
        Assert.Throws<ArgumentException>(() => new TransformerBlock(options with { LayerScale = 1f }, encoder.Blocks[0]));
    }

    [Theory]
    [InlineData(NormPlacement.Pre)]
    [InlineData(NormPlacement.Post)]
    public void LayerScaleScalesTheBranches(NormPlacement placement)
    {
        using TensorScope scope = new();
        using TransformerBlock block = new(Options with { LayerScale = 0f, NormPlacement = placement });
        block.Initialize(Device.Cpu);
        Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu);
        Tensor expected = placement == NormPlacement.Pre ? x : x.LayerNorm(null, null, 1e-5f).LayerNorm(null, null, 1e-5f);
        float[] actual = block.Forward(x).ToArray();
        Assert.All(expected.ToArray().Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void StackedProjectionsEqualSeparateOnes()
    {
        using TensorScope scope = new();
        using MultiHeadAttention separate = new(8, 2), stacked = new(8, 2, AttentionNames.Stacked);
        separate.Initialize(Device.Cpu, 1);
        stacked.Initialize(Device.Cpu, 2);
        Dictionary<string, Parameter> from = separate.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter);
        Dictionary<string, Parameter> to = stacked.NamedParameters().ToDictionary(named => named.Name, named => named.Parameter);
        to["in_proj_weight"].Assign([.. from["q_proj.weight"].Value.ToArray(), .. from["k_proj.weight"].Value.ToArray(), .. from["v_proj.weight"].Value.ToArray()], Device.Cpu);
        to["out_proj.weight"].Assign(from["out_proj.weight"].Value.ToArray(), Device.Cpu);
        Tensor x = Tensor.RandomNormal([2, 3, 8], 0, 1, new Generator(1), Device.Cpu);
        Assert.Equal(separate.Forward(x).ToArray(), stacked.Forward(x).ToArray());
        Assert.Throws<ArgumentException>(() => new MultiHeadAttention(8, 3));
        Assert.Throws<ArgumentException>(() => new MultiHeadAttention(8, 2, AttentionNames.Stacked, contextWidth: 6));

        // Another pair of names is the same attention; packed, it is one product that is cut apart.
        using MultiHeadAttention renamed = new(8, 2, AttentionNames.StackedAs("qkv.weight", "qkv.bias", "projection"));
        using MultiHeadAttention unbiased = new(8, 2, AttentionNames.StackedAs("qkv.weight", "qkv.bias", "projection"), bias: false);
        Assert.Equal(["qkv.weight", "qkv.bias", "projection.weight", "projection.bias"], renamed.NamedParameters().Select(named => named.Name));
        Assert.Equal(["qkv.weight", "projection.weight", "projection.bias"], unbiased.NamedParameters().Select(named => named.Name));
        foreach (((_, Parameter target), (_, Parameter source)) in renamed.NamedParameters().Zip(stacked.NamedParameters())) target.Assign(source.Value.ToArray(), Device.Cpu);
        Assert.Equal(stacked.Forward(x).ToArray(), renamed.Forward(x).ToArray());
        Tensor context = Tensor.RandomNormal([2, 5, 8], 0, 1, new Generator(2), Device.Cpu);
        float[] expected = [.. stacked.Forward(x).ToArray(), .. stacked.Forward(x, context).ToArray(), .. stacked.Probabilities(x, context).ToArray()];
        stacked.PackWeights();
        float[] packed = [.. stacked.Forward(x).ToArray(), .. stacked.Forward(x, context).ToArray(), .. stacked.Probabilities(x, context).ToArray()];
        Assert.All(expected.Zip(packed), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void ProbabilitiesAreThoseOfTheFusedAttention()
    {
        using TensorScope scope = new();
        using MultiHeadAttention attention = new(8, 2);
        attention.Initialize(Device.Cpu, 1);
        Tensor x = Tensor.RandomNormal([2, 4, 8], 0, 1, new Generator(1), Device.Cpu), bias = Tensor.RandomNormal([2, 4, 4], 0, 1, new Generator(2), Device.Cpu);
        AttentionMask mask = new(Causal: true, KeyMask: IndexTensor.FromArray([1, 1, 1, 1, 1, 1, 0, 1], [2, 4]), Bias: bias);
        Tensor probabilities = attention.Probabilities(x, null, mask);
        Assert.All(probabilities.Sum(3).ToArray(), sum => Assert.Equal(1f, sum, 1e-5f));
        Parameter value = attention.NamedParameters().Single(named => named.Name == "v_proj.weight").Parameter;
        Parameter output = attention.NamedParameters().Single(named => named.Name == "out_proj.weight").Parameter;
        Tensor values = x.Linear(value.Value).Reshape([2, 4, 2, 4]).Permute(0, 2, 1, 3);
        Tensor expected = probabilities.MatMul(values).Permute(0, 2, 1, 3).Reshape([2, 4, 8]).Linear(output.Value);
        Assert.All(expected.ToArray().Zip(attention.Forward(x, null, mask).ToArray()), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void ActivationsAreKnownByTheirNames()
    {
        using TensorScope scope = new();
        Tensor x = Tensor.FromArray([-1, 0, 2], [3]);
        Assert.Equal(x.QuickGelu().ToArray(), Activation.FromName("quick_gelu").Apply(x).ToArray());
        Assert.Equal(x.GeluTanh().ToArray(), Activation.FromName("gelu_new").Apply(x).ToArray());
        Assert.Equal(x.Mish().ToArray(), Activation.FromName("mish").Apply(x).ToArray());
        Assert.Equal(x.Relu().ToArray(), Activation.Relu.Apply(x).ToArray());
        Assert.Equal(x.Silu().ToArray(), Activation.Silu.Apply(x).ToArray());
        Assert.Equal("tanh", Activation.Tanh.ToString());
        Assert.Contains("quick_gelu", Assert.Throws<ArgumentException>(() => Activation.FromName("snake")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RmsNormAndEmbeddingRun()
    {
        using TensorScope scope = new();
        using RmsNorm norm = new(4);
        using Embedding table = new(5, 4, paddingIndex: 0);
        norm.Initialize(Device.Cpu);
        table.Initialize(Device.Cpu);
        Assert.Equal(1.0, norm.Forward(Tensor.FromArray([1, 2, 3, 4], [1, 4])).Square().Mean().Item(), 1e-4);
        Assert.Throws<ArgumentOutOfRangeException>(() => table.Forward(IndexTensor.FromArray([5], [1])));
        using Tape tape = Tape.Record();
        tape.Backward(table.Forward(IndexTensor.FromArray([0, 1, 1], [3])).Sum());
        Assert.Equal([0, 0, 0, 0, 2, 2, 2, 2], table.Weight.Gradient!.ToArray()[..8]);
    }

    private sealed class Both : Module
    {
        public Both(Transformer encoder, Transformer decoder)
        {
            Add("encoder", encoder);
            Add("decoder", decoder);
        }
    }
}
