using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Models;
using MiniVlp.Tensors;
using Spectre.Console;

namespace MiniVlp.Cli.Evaluation;

/// <summary>How well a masked autoencoder predicts what it does not see.</summary>
/// <param name="Pictures">Number of pictures.</param>
/// <param name="Patches">Patches of a picture.</param>
/// <param name="Visible">Patches that the encoder sees.</param>
/// <param name="Loss">The training loss: mean squared error on removed patches, of normalised pixels where the model predicts those.</param>
/// <param name="LossOfZeros">The loss of predicting 0 everywhere, each patch's own mean where pixels are normalised.</param>
public sealed record ReconstructionResult(int Pictures, int Patches, int Visible, double Loss, double LossOfZeros)
{
    /// <summary>Measures a model; which patches it sees comes from <see cref="Generator.Current"/>.</summary>
    /// <param name="model">The model, in evaluation mode.</param>
    /// <param name="preprocessor">The model's.</param>
    /// <param name="data">Pictures; captions are not looked at.</param>
    /// <param name="device">Where the model is.</param>
    /// <param name="batchSize">Pictures that go through the model at once.</param>
    /// <param name="cancellation">Checked between batches.</param>
    public static ReconstructionResult Measure(Mae model, ImagePreprocessor preprocessor, IImageTextDataset data, Device device, int batchSize = 64, CancellationToken cancellation = default)
    {
        double loss = 0, zeros = 0;
        using IDisposable pause = Tape.NoGradient();
        for (int start = 0; start < data.Count; start += batchSize)
        {
            cancellation.ThrowIfCancellationRequested();
            using TensorScope scope = new();
            RgbImage[] images = [.. Enumerable.Range(start, Math.Min(batchSize, data.Count - start)).Select(i => data.Get(i).Image)];
            Tensor pixels = PixelBatch.ToTensor(preprocessor, images, device);
            VisiblePatches patches = model.DrawPatches(images.Length, device);
            Tensor predictions = model.Decode(model.Encode(pixels, patches), patches);
            loss += images.Length * (double)model.Loss(pixels, predictions, patches).Item();
            zeros += images.Length * (double)model.Loss(pixels, Tensor.Zeros(predictions.Shape, device), patches).Item();
        }

        return new ReconstructionResult(data.Count, model.Config.Encoder.PatchCount, model.Config.KeptCount, loss / data.Count, zeros / data.Count);
    }

    public JsonObject ToJson() => new()
    {
        ["pictures"] = Pictures,
        ["patches"] = Patches,
        ["visible"] = Visible,
        ["loss"] = JsonNumber.Of(Loss),
        ["loss_of_zeros"] = JsonNumber.Of(LossOfZeros),
    };

    public void Print(IAnsiConsole console) => console.WriteLine(string.Create(
        CultureInfo.InvariantCulture, $"{Pictures:N0} pictures, {Visible} of {Patches} patches visible: loss {Loss:0.0000}; predicting zeros gives {LossOfZeros:0.0000}"));
}
