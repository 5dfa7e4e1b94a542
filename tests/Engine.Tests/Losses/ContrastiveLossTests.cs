using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Losses;

[Collection("op table")]
public sealed class ContrastiveLossTests
{
    [Fact]
    public void Fused_loss_equals_matrix_product_and_cross_entropy()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 2);
        const int Rows = 150, Width = 48;
        (float Loss, float[] Image, float[] Text, float[] Scale) fused = Step((image, text, scale) => image.SoftmaxContrastive(text, scale));
        (float Loss, float[] Image, float[] Text, float[] Scale) composed = Step((image, text, scale) =>
        {
            Tensor logits = image.MatMul(text, transposeRight: true) * scale;
            IndexTensor labels = IndexTensor.Range(Rows, device);
            return (logits.CrossEntropy(labels) + logits.Transpose().CrossEntropy(labels)) * 0.5f;
        });

        Assert.Equal(composed.Loss, fused.Loss, 1e-5f);
        AssertClose(composed.Image, fused.Image);
        AssertClose(composed.Text, fused.Text);
        AssertClose(composed.Scale, fused.Scale);

        (float Loss, float[] Image, float[] Text, float[] Scale) Step(Func<Tensor, Tensor, Tensor, Tensor> loss)
        {
            using Tape tape = Tape.Record();
            Tensor image = Features(Rows, Width, 1, device), text = Features(Rows, Width, 2, device), scale = Tensor.FromScalar(14f, device);
            image.NeedsGradient = text.NeedsGradient = scale.NeedsGradient = true;
            Tensor value = loss(image.L2Normalize(), text.L2Normalize(), scale);
            tape.Backward(value);
            return (value.Item(), image.Gradient!.ToArray(), text.Gradient!.ToArray(), scale.Gradient!.ToArray());
        }
    }

    /// <summary>
    /// For a batch of n, features and their gradients are four matrices of n x 8, and scores are kept for a panel of 256 columns; a score matrix would be n x n.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_grows_with_the_batch_and_not_with_its_square(bool sigmoid)
    {
        const int Rows = 8192, Width = 8;
        using Device device = Device.CreateCpu(2);
        CpuBackend backend = (CpuBackend)device.Backend;
        using (Tape tape = Tape.Record())
        {
            Tensor image = Features(Rows, Width, 1, device), text = Features(Rows, Width, 2, device), scale = Tensor.FromScalar(3f, device);
            image.NeedsGradient = text.NeedsGradient = scale.NeedsGradient = true;
            tape.Backward(sigmoid ? image.SigmoidContrastive(text, scale, Tensor.FromScalar(-1f, device)) : image.SoftmaxContrastive(text, scale));
            Assert.True(image.HasGradient && text.HasGradient && scale.HasGradient);
        }

        // All that was ever rented is cached by now.
        Assert.InRange(backend.CachedBytes, 1, 400L * Rows * sizeof(float));
    }

    [Fact]
    public void Random_features_give_the_logarithm_of_the_batch_and_aligned_ones_give_nothing()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using TensorScope scope = new();
        Tensor image = Features(256, 64, 1, device).L2Normalize(), text = Features(256, 64, 2, device).L2Normalize();
        Assert.Equal(Math.Log(256), image.SoftmaxContrastive(text, Tensor.FromScalar(1f, device)).Item(), 0.05);
        Assert.Equal(0, image.SoftmaxContrastive(image, Tensor.FromScalar(100f, device)).Item(), 1e-4);
    }

    [Fact]
    public void Options_that_contradict_each_other_are_refused()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using TensorScope scope = new();
        Tensor image = Features(4, 3, 1, device), text = Features(4, 3, 2, device), scale = Tensor.FromScalar(1f, device);
        Assert.Throws<ShapeException>(() => image.SoftmaxContrastive(Features(5, 3, 2, device), scale));
        Assert.Throws<ShapeException>(() => image.SoftmaxContrastive(text, image));
        Assert.Throws<ShapeException>(() => image.SoftmaxContrastive(text, scale, new() { TextQueue = Features(4, 2, 3, device) }));
        Assert.Throws<ArgumentException>(() => image.SoftmaxContrastive(text, scale, new() { Alpha = 0.4f }));
        Assert.Throws<ArgumentException>(() => image.SoftmaxContrastive(text, scale, new() { TextMomentum = text }));
        Assert.Throws<ArgumentException>(() => image.SoftmaxContrastive(text, scale, new() { InBatchNegatives = false, LabelSmoothing = 0.1f }));
        Tensor queue = Features(4, 3, 3, device);
        queue.NeedsGradient = true;
        Assert.Contains("constant", Assert.Throws<ArgumentException>(() => image.SoftmaxContrastive(text, scale, new() { TextQueue = queue })).Message, StringComparison.Ordinal);
    }

    private static Tensor Features(int rows, int width, int seed, Device device)
    {
        Random random = new(seed);
        float[] values = new float[rows * width];
        for (int i = 0; i < values.Length; i++) values[i] = (random.NextSingle() * 2f) - 1f;
        return Tensor.FromArray(values, [rows, width], device);
    }

    private static void AssertClose(float[] expected, float[] actual)
    {
        float limit = 1e-7f + (2e-5f * expected.Max(MathF.Abs));
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], limit);
    }
}
