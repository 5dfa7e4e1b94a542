using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// One pre-training step of the small ALBEF on libtorch (arXiv:2107.07651): momentum update, contrast over batch and queues with soft targets, matching
/// with hard negatives, masked words with soft targets; backward, clipping, AdamW. Like ours it reads the masked places alone with the word head,
/// sends the 3 B pairs of the matching through the fusion layers at once, tells right pairs by their places, and checks that the loss is finite. Unlike ours
/// it has its words masked beforehand, at fixed places, and draws the negatives of all rows by one call.
/// </summary>
internal sealed class TorchAlbef : IDisposable
{
    private const int QueueCapacity = 4096;
    private const float Alpha = 0.4f, Momentum = 0.995f, MaskedShare = 0.15f;
    private const double LearningRate = 5e-4, ClipNorm = 1;
    private const float LowestTemperature = 0.001f, HighestTemperature = 0.5f;

    private readonly TorchAlbefModel _model = new(needsGradient: true);
    private readonly TorchAlbefModel _teacher = new(needsGradient: false);
    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly IReadOnlyList<Parameter> _teacherParameters;
    private readonly optim.Optimizer _optimizer;
    private readonly Tensor _images, _ids, _maskedIds, _places, _words, _pairs, _ownPair, _ownPlace, _matchLabels, _imageQueue, _textQueue;
    private long _position;

    private TorchAlbef(long batch)
    {
        const int Tokens = TorchAlbefModel.Tokens, MaskId = TorchAlbefModel.Vocabulary - 1;
        (_parameters, _teacherParameters) = (_model.Parameters, _teacher.Parameters);
        using (no_grad())
        {
            for (int i = 0; i < _parameters.Count; i++) _teacherParameters[i].copy_(_parameters[i]);
        }

        _optimizer = optim.AdamW(_parameters, LearningRate);
        _images = randn(batch, 3, TorchAlbefModel.ImageSize, TorchAlbefModel.ImageSize);
        _ids = randint(0, MaskId, [batch, Tokens]);
        _places = randperm(batch * Tokens).narrow(0, 0, (long)Math.Round(MaskedShare * batch * (Tokens - 1))).clone();
        _words = _ids.flatten().index_select(0, _places);
        _maskedIds = _ids.flatten().index_fill(0, _places, MaskId).view(batch, Tokens);
        _pairs = arange(batch, int64);
        _ownPair = eye(batch, dtype: ScalarType.Bool);
        _ownPlace = eye(batch, batch + QueueCapacity);
        _matchLabels = cat([ones(batch, int64), zeros(2 * batch, int64)], 0);
        _imageQueue = nn.functional.normalize(randn(QueueCapacity, TorchAlbefModel.Projection), dim: 1);
        _textQueue = nn.functional.normalize(randn(QueueCapacity, TorchAlbefModel.Projection), dim: 1);
    }

    public static PeerWorkload TrainStep(long batch)
    {
        TorchAlbef albef = new(batch);
        return new PeerWorkload(albef.Step, albef);
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        _model.Dispose();
        _teacher.Dispose();
        foreach (Tensor tensor in (Tensor[])[_images, _ids, _maskedIds, _places, _words, _pairs, _ownPair, _ownPlace, _matchLabels, _imageQueue, _textQueue]) tensor.Dispose();
    }

    private void Step()
    {
        using DisposeScope scope = NewDisposeScope();
        _optimizer.zero_grad();
        Tensor imageStates = _model.EncodeImage(_images), textStates = _model.EncodeText(_ids);
        Tensor teacherStates, teacherImage, teacherText;
        using (no_grad())
        {
            for (int i = 0; i < _parameters.Count; i++) _teacherParameters[i].lerp_(_parameters[i], 1 - Momentum);
            teacherStates = _teacher.EncodeImage(_images);
            teacherImage = _teacher.ProjectImage(teacherStates);
            teacherText = _teacher.ProjectText(_teacher.EncodeText(_ids));
        }

        Tensor contrast = Align(_model.ProjectImage(imageStates), _model.ProjectText(textStates), teacherImage, teacherText, out Tensor imageToText, out Tensor textToImage);
        Tensor match = Match(imageStates, textStates, imageToText, textToImage);
        Tensor words = PredictMasked(imageStates, teacherStates);
        Tensor loss = contrast + match + words;
        loss.backward();
        nn.utils.clip_grad_norm_(_parameters, ClipNorm);
        if (!float.IsFinite(loss.item<float>())) throw new NotFiniteNumberException("The loss of libtorch's ALBEF is not finite.");
        Enqueue(teacherImage, teacherText);
        _optimizer.step();
        using (no_grad()) _model.Temperature.clamp_(LowestTemperature, HighestTemperature);
    }

    /// <summary>The contrastive loss, and the similarities within the batch [batch, batch].</summary>
    private Tensor Align(Tensor image, Tensor text, Tensor teacherImage, Tensor teacherText, out Tensor imageToText, out Tensor textToImage)
    {
        Tensor images = cat([teacherImage, _imageQueue], 0), texts = cat([teacherText, _textQueue], 0), imageTargets, textTargets;
        using (no_grad())
        {
            imageTargets = Targets(teacherImage.matmul(texts.t()));
            textTargets = Targets(teacherText.matmul(images.t()));
        }

        Tensor imageLogits = image.matmul(texts.t()) / _model.Temperature, textLogits = text.matmul(images.t()) / _model.Temperature;
        imageToText = imageLogits.detach().narrow(1, 0, image.shape[0]);
        textToImage = textLogits.detach().narrow(1, 0, text.shape[0]);
        return (nn.functional.cross_entropy(imageLogits, imageTargets) + nn.functional.cross_entropy(textLogits, textTargets)) / 2;

        Tensor Targets(Tensor cosines) => (Alpha * nn.functional.softmax(cosines / _model.Temperature, 1)) + ((1 - Alpha) * _ownPlace);
    }

    /// <summary>Right pairs, texts with a wrong image, images with a wrong text.</summary>
    private Tensor Match(Tensor imageStates, Tensor textStates, Tensor imageToText, Tensor textToImage)
    {
        Tensor wrongImages, wrongTexts;
        using (no_grad()) (wrongImages, wrongTexts) = (Draw(textToImage), Draw(imageToText));
        Tensor images = imageStates.index_select(0, cat([_pairs, wrongImages, _pairs], 0)), texts = textStates.index_select(0, cat([_pairs, _pairs, wrongTexts], 0));
        return nn.functional.cross_entropy(_model.Match(_model.Fuse(texts, images)), _matchLabels);

        Tensor Draw(Tensor similarities)
            => multinomial(nn.functional.softmax(similarities.masked_fill(_ownPair, float.NegativeInfinity), 1), 1).squeeze(1);
    }

    private Tensor PredictMasked(Tensor imageStates, Tensor teacherStates)
    {
        Tensor logits = Predict(_model, imageStates), targets;
        using (no_grad()) targets = nn.functional.softmax(Predict(_teacher, teacherStates), 1);
        return ((1 - Alpha) * nn.functional.cross_entropy(logits, _words)) + (Alpha * nn.functional.cross_entropy(logits, targets));

        Tensor Predict(TorchAlbefModel model, Tensor states) => model.PredictWords(model.Fuse(model.EncodeText(_maskedIds), states), _places);
    }

    private void Enqueue(Tensor teacherImage, Tensor teacherText)
    {
        using IDisposable gradient = no_grad();
        long batch = teacherImage.shape[0];
        _imageQueue.narrow(0, _position, batch).copy_(teacherImage);
        _textQueue.narrow(0, _position, batch).copy_(teacherText);
        _position = (_position + batch) % QueueCapacity;
    }
}
