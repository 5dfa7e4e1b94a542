using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("info_nce")]
    private static void InfoNce(OpGolden golden)
    {
        Tensor image = golden["image"].L2Normalize(), text = golden["text"].L2Normalize();
        if (golden.HasInput("temperature"))
        {
            golden.Expect("loss", image.SoftmaxContrastive(text, golden["temperature"].Reciprocal(), new() { Direction = ContrastiveDirection.ImageToText }));
            return;
        }

        Tensor scale = golden["logit_scale"].Exp();
        golden.Expect("loss", image.SoftmaxContrastive(text, scale));
        golden.Expect("logits_per_image", image.MatMul(text, transposeRight: true) * scale);
    }

    [GoldenOp("siglip_loss")]
    private static void SigLip(OpGolden golden)
        => golden.Expect("loss", golden["image"].L2Normalize().SigmoidContrastive(golden["text"].L2Normalize(), golden["logit_scale"].Exp(), golden["logit_bias"]));

    [GoldenOp("soft_target_contrastive")]
    private static void SoftTargetContrastive(OpGolden golden)
    {
        Tensor image = golden["image"].L2Normalize(), text = golden["text"].L2Normalize(), scale = golden["temperature"].Reciprocal();
        Tensor imageMomentum = golden["image_m"], textMomentum = golden["text_m"];
        Tensor imageQueue = golden["image_queue"].Transpose(), textQueue = golden["text_queue"].Transpose();
        float alpha = golden.Float("alpha");
        golden.Expect("loss", image.SoftmaxContrastive(text, scale, new()
        {
            ImageMomentum = imageMomentum,
            TextMomentum = textMomentum,
            ImageQueue = imageQueue,
            TextQueue = textQueue,
            Alpha = alpha,
        }));

        Tensor images = Tensor.Concatenate(0, imageMomentum, imageQueue), texts = Tensor.Concatenate(0, textMomentum, textQueue);
        golden.Expect("sim_i2t", image.MatMul(texts, transposeRight: true) * scale);
        golden.Expect("sim_t2i", text.MatMul(images, transposeRight: true) * scale);
        golden.Expect("targets_i2t", Targets(imageMomentum, texts));
        golden.Expect("targets_t2i", Targets(textMomentum, images));

        Tensor Targets(Tensor teacher, Tensor candidates)
        {
            (int rows, int columns) = (teacher.Shape[0], candidates.Shape[0]);
            float[] identity = new float[rows * columns];
            for (int i = 0; i < rows; i++) identity[(i * columns) + i] = 1f - alpha;
            Tensor soft = (teacher.MatMul(candidates, transposeRight: true) * scale.Detach()).Softmax();
            return (soft * alpha) + Tensor.FromArray(identity, [rows, columns], golden.Device);
        }
    }

    [GoldenOp("mlm_distillation")]
    private static void MaskedLanguageDistillation(OpGolden golden)
    {
        IndexTensor labels = golden.Indices("labels");
        IndexTensor counts = IndexTensor.FromArray([.. labels.ToArray().Select(label => label == -100 ? 0 : 1)], labels.Shape, golden.Device);
        float alpha = golden.Float("alpha");
        Tensor distillation = golden["logits"].CrossEntropy(golden["teacher"].Softmax(), rowMask: counts);
        golden.Expect("distillation", distillation);
        golden.Expect("loss", (golden["logits"].CrossEntropy(labels) * (1f - alpha)) + (distillation * alpha));
    }
}
