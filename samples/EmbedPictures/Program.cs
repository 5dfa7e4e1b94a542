// Loads a CLIP folder, embeds pictures and texts, and prints how well each picture fits each text.
//
//   dotnet run -c Release --project samples/EmbedPictures                                   (a new model on drawn scenes)
//   dotnet run -c Release --project samples/EmbedPictures -- MODEL cat.jpg dog.png -- "a cat" "a dog"
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Skia;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

string folder;
List<(string Name, RgbImage Image)> pictures;
string[] texts;
if (args.Length > 0)
{
    int split = Array.IndexOf(args, "--");
    if (split < 2 || split == args.Length - 1)
    {
        Console.Error.WriteLine("usage: EmbedPictures MODEL PICTURE... -- TEXT...");
        return 2;
    }

    SkiaImageDecoder decoder = new();
    folder = args[0];
    pictures = [.. args[1..split].Select(path => (path, decoder.DecodeFile(path)))];
    texts = args[(split + 1)..];
}
else
{
    folder = Path.Combine(Path.GetTempPath(), "minivlp-sample-model");
    WriteNewModel(folder);
    SceneDataset scenes = new(new SceneDatasetOptions { Count = 3 });
    pictures = [.. Enumerable.Range(0, 3).Select(i => ($"scene {i}", scenes.Get(i).Image))];
    texts = [.. Enumerable.Range(0, 3).Select(scenes.GetCaption)];
}

// Three things make up a model folder: the weights, the tokenizer, and how pictures are prepared.
using Clip clip = Clip.FromPretrained(folder);
TextTokenizer tokenizer = TextTokenizer.FromPretrained(folder);
ImagePreprocessor preprocessor = ImagePreprocessor.FromPretrained(folder);
foreach (string warning in clip.Warnings) Console.Error.WriteLine($"warning: {warning}");

// All tensors made in a scope are given back at its end.
using TensorScope scope = new();
int size = clip.Config.ImageSize;
float[] pixels = [.. pictures.SelectMany(picture => preprocessor.Process(picture.Image))];
(int[] ids, _) = tokenizer.EncodeBatch(texts, clip.Config.ContextLength);
Tensor images = clip.EncodeImage(Tensor.FromArray(pixels, [pictures.Count, 3, size, size]));
Tensor words = clip.EncodeText(new TextBatch(IndexTensor.FromArray(ids, [texts.Length, clip.Config.ContextLength])));

float[] image = images.ToArray(), text = words.ToArray();
int width = clip.Config.ProjectionSize;
for (int i = 0; i < pictures.Count; i++)
{
    Console.WriteLine(pictures[i].Name);
    for (int t = 0; t < texts.Length; t++)
    {
        // Both are unit vectors: their product is the cosine of the angle between them.
        float cosine = 0;
        for (int k = 0; k < width; k++) cosine += image[(i * width) + k] * text[(t * width) + k];
        Console.WriteLine(FormattableString.Invariant($"  {cosine,7:0.000}  {texts[t]}"));
    }
}

return 0;

// A small CLIP with random weights: the folder looks like any other, only the answers make no sense.
static void WriteNewModel(string folder)
{
    SceneDataset scenes = new(new SceneDatasetOptions { Count = 500 });
    TextTokenizer tokenizer = TextTokenizer.FromVocabulary(TextTokenizer.BuildVocabulary(Enumerable.Range(0, 500).Select(scenes.GetCaption), 300));
    using Clip clip = new(ClipConfig.Small with { VocabularySize = tokenizer.VocabularySize, EndTokenId = tokenizer.EndId });
    clip.Initialize(Device.Cpu, seed: 1);
    clip.SavePretrained(folder);
    tokenizer.Save(folder);
    ImagePreprocessor.Clip(clip.Config.ImageSize).Save(folder);
}
