using System.CommandLine;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Reports;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval reconstruction</c>.</summary>
internal sealed class ReconstructionCommand : ToolCommand
{
    private const int SceneCount = 1000;

    private readonly Option<string> _model = new("--model") { Description = "A model folder of a masked autoencoder.", HelpName = "DIR", Required = true };
    private readonly Option<string[]> _data = DataArgument.CreateOption();
    private readonly Option<int> _batch = OptionRules.Number("--batch", "Pictures that go through the model at once.", 1, 1 << 16, 64);
    private readonly Option<string?> _out = new("--out") { Description = "Writes a PNG of the first pictures: original, what the model sees, reconstruction.", HelpName = "FILE" };
    private readonly Option<int> _pictures = OptionRules.Number("--pictures", "Pictures in that file.", 1, 256, 8);

    public ReconstructionCommand(ToolHost host)
        : base("reconstruction", "How well a masked autoencoder predicts the patches that it does not see.", host)
    {
        Add(_model);
        Add(_data);
        Add(_batch);
        Add(_out);
        Add(_pictures);
    }

    protected override int Run(ToolContext context)
    {
        string folder = context.Arguments.GetRequiredValue(_model);
        using PretrainedModel loaded = Architectures.Load(folder, context.Device);
        Mae model = loaded as Mae ?? throw new ToolException($"{folder}: {loaded.Architecture} is no masked autoencoder.");
        if (context.PackedWeights is { } format) model.PackWeights(format);
        ImagePreprocessor preprocessor = ImagePreprocessor.FromPretrained(folder);
        IImageTextDataset data = DataArgument.Open(context.Arguments.GetRequiredValue(_data), model.ImageSize, SceneSplit.Validation, SceneCount);
        Generator outer = Generator.Current;
        try
        {
            Generator.Current = new Generator((ulong)context.Seed);
            ReconstructionResult result = ReconstructionResult.Measure(model, preprocessor, data, context.Device, context.Arguments.GetValue(_batch), context.Cancellation);
            if (context.Arguments.GetValue(_out) is { } file)
            {
                RgbImage[] images = [.. Enumerable.Range(0, Math.Min(data.Count, context.Arguments.GetValue(_pictures))).Select(i => data.Get(i).Image)];
                AtomicFile.WriteAllBytes(file, PngWriter.Encode(ReconstructionGrid.Draw(model, preprocessor, images, context.Device)));
            }

            if (context.Json) context.WriteJson(result.ToJson());
            else result.Print(context.Console);
            return ExitCode.Success;
        }
        finally
        {
            Generator.Current = outer;
        }
    }
}
