using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>What was done to a caption to make it wrong.</summary>
public enum CaptionNoiseKind
{
    /// <summary>Nothing: the caption is true.</summary>
    None,

    /// <summary>One colour word exchanged for another.</summary>
    WrongColor,

    /// <summary>One noun exchanged for another.</summary>
    WrongShape,

    /// <summary>One size word exchanged for another.</summary>
    WrongSize,

    /// <summary>One number word exchanged for another.</summary>
    WrongCount,

    /// <summary>The relation word exchanged for another.</summary>
    WrongRelation,

    /// <summary>The colours of the two things named (or their shapes, where the colours are equal) exchanged.</summary>
    SwappedPair,

    /// <summary>The true caption of another scene.</summary>
    Unrelated,

    /// <summary>Text that speaks of no scene at all, as crawled pages have it.</summary>
    Boilerplate,
}

/// <summary>A caption as a training set would have it, with the truth beside it.</summary>
/// <param name="Text">What the training set says.</param>
/// <param name="Kind">What is wrong with it.</param>
/// <param name="Clean">The true caption.</param>
public sealed record NoisyCaption(string Text, CaptionNoiseKind Kind, string Clean);

/// <summary>Makes a known share of captions wrong in known ways, to measure what a filter or a robust loss finds.</summary>
public sealed class CaptionNoise
{
    private static readonly ImmutableArray<string> Boilerplate =
    [
        "click here to see more", "image not available", "free download best quality", "add to cart", "photo of the day",
        "subscribe to our newsletter", "stock photo with watermark", "back to the top of the page",
    ];

    /// <summary>Noise of the given rate and kinds.</summary>
    /// <param name="rate">Share of captions that become wrong, 0 to 1.</param>
    /// <param name="kinds">
    /// The kinds, each of those that a caption allows equally often. Unrelated (in any but a tiny world) and Boilerplate
    /// fit every caption; with neither of them, a caption that allows none of the others stays clean and the rate is not reached.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">The rate is outside [0, 1].</exception>
    /// <exception cref="ArgumentException">The rate is positive and there is no kind, or None is among the kinds.</exception>
    public CaptionNoise(double rate, ImmutableArray<CaptionNoiseKind> kinds)
    {
        if (rate is not (>= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(rate), rate, "The noise rate must be 0 to 1.");
        }

        if ((rate > 0 && kinds.IsDefaultOrEmpty) || (!kinds.IsDefault && kinds.Contains(CaptionNoiseKind.None)))
        {
            throw new ArgumentException("Caption noise needs at least one kind, and None is not a kind of noise.", nameof(kinds));
        }

        Rate = rate;
        Kinds = kinds.IsDefault ? [] : kinds;
    }

    /// <summary>Share of captions that become wrong.</summary>
    public double Rate { get; }

    /// <summary>The kinds of noise.</summary>
    public ImmutableArray<CaptionNoiseKind> Kinds { get; }

    /// <summary>The caption, or with probability <see cref="Rate"/> a wrong one.</summary>
    /// <param name="caption">A caption that is true of the scene.</param>
    /// <param name="scene">The scene.</param>
    /// <param name="options">The world that the scene is from.</param>
    /// <param name="otherCaption">Gives the caption of some other scene for a random number; asked again while it is true of this scene.</param>
    /// <param name="seed">Decides; the same seed gives the same result.</param>
    public NoisyCaption Apply(string caption, Scene scene, SceneOptions options, Func<ulong, string> otherCaption, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(caption);
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentNullException.ThrowIfNull(otherCaption);
        SampleRandom random = SceneHash.Random(seed, SceneDraw.Noise);
        if (random.Chance(Rate))
        {
            CaptionNoiseKind[] kinds = [.. Kinds];
            random.Shuffle(kinds.AsSpan());
            ImmutableArray<SceneDistractor> distractors = SceneDistractor.All(caption, scene, options);
            foreach (CaptionNoiseKind kind in kinds)
            {
                if (TryMake(kind, caption, scene, distractors, otherCaption, ref random) is { } text)
                {
                    return new NoisyCaption(text, kind, caption);
                }
            }
        }

        return new NoisyCaption(caption, CaptionNoiseKind.None, caption);
    }

    private static string? TryMake(
        CaptionNoiseKind kind, string caption, Scene scene, ImmutableArray<SceneDistractor> distractors, Func<ulong, string> otherCaption,
        ref SampleRandom random)
    {
        switch (kind)
        {
            case CaptionNoiseKind.Boilerplate:
                return Boilerplate[random.Next(Boilerplate.Length)];
            case CaptionNoiseKind.SwappedPair:
                return TrySwap(caption, scene);
            case CaptionNoiseKind.Unrelated:
                return TryUnrelated(scene, otherCaption, ref random);
            default:
                SceneWordKind wordKind = kind switch
                {
                    CaptionNoiseKind.WrongColor => SceneWordKind.Color,
                    CaptionNoiseKind.WrongShape => SceneWordKind.Shape,
                    CaptionNoiseKind.WrongSize => SceneWordKind.Size,
                    CaptionNoiseKind.WrongCount => SceneWordKind.Count,
                    CaptionNoiseKind.WrongRelation => SceneWordKind.Relation,
                    _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Not a kind of caption noise."),
                };
                SceneDistractor[] fitting = [.. distractors.Where(distractor => distractor.Kind == wordKind)];
                return fitting.Length > 0 ? fitting[random.Next(fitting.Length)].Text : null;
        }
    }

    /// <summary>Null in a world so small that every caption is true of every scene.</summary>
    private static string? TryUnrelated(Scene scene, Func<ulong, string> otherCaption, ref SampleRandom random)
    {
        for (int attempt = 0; attempt < 100; attempt++)
        {
            string other = otherCaption(random.NextUInt64());
            if (!SceneGrammar.TryParse(other, out SceneStatement? statement) || !statement.HoldsIn(scene))
            {
                return other;
            }
        }

        return null;
    }

    private static string? TrySwap(string caption, Scene scene)
    {
        if (!SceneGrammar.TryParse(caption, out SceneStatement? statement) || statement.Phrases is not [var first, var second])
        {
            return null;
        }

        SceneStatement swapped = first.Color != second.Color
            ? new SceneStatement([first with { Color = second.Color }, second with { Color = first.Color }], statement.Relation, statement.Background)
            : new SceneStatement([first with { Shape = second.Shape }, second with { Shape = first.Shape }], statement.Relation, statement.Background);
        return swapped.HoldsIn(scene) ? null : SceneGrammar.Write(swapped);
    }
}
