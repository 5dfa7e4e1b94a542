using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Training.Tasks;

/// <summary>Sentences with what they are to their pictures: entailed, contradicted, or neither.</summary>
public sealed class EntailmentTask : ISampleTask
{
    public bool AllowsMirror => true;

    public string TextOf(ImageTextSample sample) => sample.Caption.Length > 0 ? sample.Caption : throw new ToolException($"{sample.Key}: the data has no sentence.");

    public void AddTargets(ImageTextBatch batch, IReadOnlyList<ImageTextSample> samples) => batch.Labels = [.. samples.Select(sample => (int)SampleFields.Label(sample))];
}
