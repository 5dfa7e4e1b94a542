namespace MiniVlp.Cli.Effects;

/// <summary>All experiments, and what they are expected to show. The thresholds were set before the runs of docs/effects.md.</summary>
public static class EffectCatalogue
{
    private const string Neighbors = "k-NN";

    private static readonly AlbefAblation Albef = new();
    private static readonly MomentumDistillation Distillation = new(Albef);
    private static readonly CaptionBootstrapping Bootstrapping = new();
    private static readonly MaskRatio Mae = new();

    /// <summary>In the order of the page.</summary>
    public static IReadOnlyList<Experiment> Experiments { get; } = [Albef, Distillation, Bootstrapping, MocoExperiment.QueueLength, MocoExperiment.MomentumValue, MocoExperiment.Dictionary, Mae];

    /// <summary>In the order of the table.</summary>
    public static IReadOnlyList<Effect> Effects { get; } =
    [
        new("itc", "the contrastive loss helps MLM and ITM", "ALBEF", Albef, "itm R@1",
            value => value(AlbefAblation.Aligned, "itm R@1") - value(AlbefAblation.Baseline, "itm R@1"), "R@1 by ITM, with ITC minus without", 5),
        new("hard-negatives", "hard negatives beat random ones on captions with one wrong word", "ALBEF", Albef, "one word",
            value => value(AlbefAblation.Hard, "one word") - value(AlbefAblation.Aligned, "one word"), "% of one-word trials, hard minus random", 1),
        new("re-ranking", "re-ranking by ITM beats ITC alone", "ALBEF", Albef, "re-ranked R@1",
            value => value(AlbefAblation.Hard, "re-ranked R@1") - value(AlbefAblation.Hard, "itc R@1"), "R@1 re-ranked minus R@1 by cosine", 1),
        new("distillation", "momentum distillation helps when 40 % of the captions are wrong", "ALBEF", Distillation, "re-ranked R@1", value => Gain(value, 0.4), "R@1 distilled minus not, 40 % wrong", 0),
        new("distillation-noise", "momentum distillation pays more the noisier the captions", "ALBEF", Distillation, "re-ranked R@1",
            value => Gain(value, 0.4) - Gain(value, 0), "gain at 40 % wrong minus gain at 0 %", 0),
        new("filter", "filtering the captions helps when 40 % are wrong", "BLIP", Bootstrapping, "re-ranked R@1", value => CapFilt(value, CaptionBootstrapping.Filter), "R@1, filtered minus as they are", 0),
        new("captioner", "synthetic captions help when 40 % are wrong", "BLIP", Bootstrapping, "re-ranked R@1", value => CapFilt(value, CaptionBootstrapping.Captioner), "R@1, with synthetic captions minus without", 0),
        new("capfilt", "captioner and filter together help most", "BLIP", Bootstrapping, "re-ranked R@1",
            value => CapFilt(value, CaptionBootstrapping.Both) - Math.Max(CapFilt(value, CaptionBootstrapping.Filter), CapFilt(value, CaptionBootstrapping.Captioner)), "R@1, both minus the better of the two", 0),
        new("queue", "a longer queue helps", "MoCo", MocoExperiment.QueueLength, Neighbors,
            value => value("K = 512", Neighbors) - value("K = 32", Neighbors), "k-NN, K = 512 minus K = 32", 1),
        new("queue-saturates", "the length of the queue saturates", "MoCo", MocoExperiment.QueueLength, Neighbors,
            value =>
            {
                double gain = value("K = 512", Neighbors) - value("K = 32", Neighbors);
                return Math.Min(gain, gain - (value("K = 2048", Neighbors) - value("K = 512", Neighbors)));
            },
            "k-NN, gain from K = 32 to 512, and what it exceeds the gain from 512 to 2048 by: the smaller of the two", 0),
        new("momentum", "a key encoder without momentum fails", "MoCo", MocoExperiment.MomentumValue, Neighbors,
            value => value("m = 0.99", Neighbors) - value("m = 0", Neighbors), "k-NN, m = 0.99 minus m = 0", 5),
        new("bank", "the queue is at least as good as the memory bank", "MoCo", MocoExperiment.Dictionary, Neighbors,
            value => value("queue", Neighbors) - value("memory bank", Neighbors), "k-NN, queue minus bank", -1),
        new("mask-ratio", "the best mask ratio lies inside", "MAE", Mae, "linear probe",
            value => Math.Max(value("50 %", "linear probe"), value("75 %", "linear probe")) - Math.Max(value("25 %", "linear probe"), value("90 %", "linear probe")),
            "linear probe, the better of 50 % and 75 % minus the better of 25 % and 90 %", 0),
    ];

    private static double CapFilt(ConditionValues value, string condition) => value(condition, "re-ranked R@1") - value(CaptionBootstrapping.None, "re-ranked R@1");

    private static double Gain(ConditionValues value, double noise)
        => value(MomentumDistillation.Name(noise, true), "re-ranked R@1") - value(MomentumDistillation.Name(noise, false), "re-ranked R@1");
}
