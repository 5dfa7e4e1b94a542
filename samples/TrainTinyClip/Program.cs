// Trains a tiny CLIP from scratch on drawn scenes: data, model, optimizer and loop on one page.
//
//   dotnet run -c Release --project samples/TrainTinyClip
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

const int BatchSize = 64, Steps = 400, Size = 32;
Device device = Device.Cpu;

// Pictures of single objects with captions such as "a red circle".
SceneDataset scenes = new(new SceneDatasetOptions { World = SceneOptions.Demo.SingleObjects(), Count = 4096, ImageSize = Size });
TextTokenizer tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(Enumerable.Range(0, 500).Select(scenes.GetCaption), 200));
ImagePreprocessor preprocessor = ImagePreprocessor.Clip(Size);

ClipTowerConfig tower = new() { Width = 64, Layers = 2, Heads = 2, HiddenWidth = 256 };
ClipConfig config = ClipConfig.Small with
{
    Vision = tower,
    Text = tower,
    ProjectionSize = 64,
    ImageSize = Size,
    PatchSize = 8,
    VocabularySize = tokenizer.VocabularySize,
    ContextLength = 12,
    EndTokenId = tokenizer.EndId,
};
using Clip clip = new(config);
clip.Initialize(device, seed: 1);
Console.WriteLine($"{clip.ParameterCount():N0} parameters; guessing has the loss {Math.Log(BatchSize):0.00}");

TrainerOptions options = new() { Schedule = LearningRateSchedule.Cosine(peak: 2e-3, warmUp: 20, total: Steps) };
using AdamW optimizer = new(ParameterGroup.SplitByDecay(clip.NamedParameters(), weightDecay: 0.1), learningRate: 2e-3);
Trainer trainer = new(clip, optimizer, options);
clip.Train();
using DataLoader<(float[] Pixels, int[] Ids)> loader = new(scenes.Count, new DataLoaderOptions { BatchSize = BatchSize }, (indices, _) =>
{
    ImageTextSample[] samples = [.. indices.Select(scenes.Get)];
    return ([.. samples.SelectMany(sample => preprocessor.Process(sample.Image))], tokenizer.EncodeBatch([.. samples.Select(sample => sample.Caption)], config.ContextLength).Ids);
});
foreach ((float[] pixels, int[] ids) in loader.Batches())
{
    // The tape that the trainer opens owns these tensors; nothing is disposed by hand.
    StepResult step = trainer.TrainStep(() => clip.Loss(
        Tensor.FromArray(pixels, [BatchSize, 3, Size, Size], device),
        new TextBatch(IndexTensor.FromArray(ids, [BatchSize, config.ContextLength], device))));
    if (step.Step % 50 == 0) Console.WriteLine(FormattableString.Invariant($"step {step.Step,4}  loss {step.Loss:0.000}"));
    if (step.Step == Steps) break;
}

// What the model has learned: the text that fits a new picture best.
clip.Evaluate();
SceneDataset unseen = new(scenes.Options with { Split = SceneSplit.Validation, Count = 5 });
string[] texts = [.. SceneZeroShotTask.Color(scenes.Options.World).Prompts.SelectMany(prompts => prompts)];    // every colour with every shape
using TensorScope scope = new();
float[] known = clip.EncodeText(new TextBatch(IndexTensor.FromArray(tokenizer.EncodeBatch(texts, config.ContextLength).Ids, [texts.Length, config.ContextLength], device))).ToArray();
for (int i = 0; i < unseen.Count; i++)
{
    float[] vector = clip.EncodeImage(Tensor.FromArray(preprocessor.Process(unseen.Get(i).Image), [1, 3, Size, Size], device)).ToArray();
    int best = Enumerable.Range(0, texts.Length).MaxBy(t => Enumerable.Range(0, vector.Length).Sum(k => vector[k] * known[(t * vector.Length) + k]));
    Console.WriteLine($"{unseen.GetCaption(i),-28} -> {texts[best]}");
}
