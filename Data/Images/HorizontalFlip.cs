using System.Text;

namespace MiniVlp.Data.Images;

/// <summary>What a mirrored picture does to a caption that says left or right.</summary>
public enum FlipCaptionRule
{
    /// <summary>Such a picture is not mirrored.</summary>
    Refuse,

    /// <summary>The picture is mirrored and the words are exchanged.</summary>
    SwapWords,

    /// <summary>The picture is mirrored and the caption left wrong: what ALBEF and BLIP do in pre-training; here for comparison only.</summary>
    Ignore,
}

/// <summary>Mirrors pictures at random, left to right, and keeps captions true: "the cup left of the plate" would become a lie.</summary>
public sealed class HorizontalFlip
{
    private static readonly (string Left, string Right)[] Sides =
    [
        ("left", "right"), ("leftmost", "rightmost"), ("leftward", "rightward"), ("leftwards", "rightwards"),
    ];

    /// <summary>Makes the augmentation.</summary>
    /// <param name="probability">Of mirroring a picture, in [0, 1].</param>
    /// <param name="captionRule">What to do when its caption says left or right.</param>
    /// <exception cref="ArgumentOutOfRangeException">The probability is outside of [0, 1], or there is no such rule.</exception>
    public HorizontalFlip(double probability = 0.5, FlipCaptionRule captionRule = FlipCaptionRule.Refuse)
    {
        if (probability is not (>= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(probability), probability, "Expected a probability in [0, 1].");
        }

        if (!Enum.IsDefined(captionRule))
        {
            throw new ArgumentOutOfRangeException(nameof(captionRule), captionRule, "Unknown caption rule.");
        }

        Probability = probability;
        CaptionRule = captionRule;
    }

    /// <summary>Probability of mirroring a picture.</summary>
    public double Probability { get; }

    /// <summary>What happens when the caption says left or right.</summary>
    public FlipCaptionRule CaptionRule { get; }

    /// <summary>Mirrors the picture or not; one number is drawn in either case.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="caption">Its caption.</param>
    /// <param name="random">The sample's own generator.</param>
    /// <returns>The picture, mirrored or the same object, and the caption that is true of it.</returns>
    public (RgbImage Image, string Caption) Apply(RgbImage image, string caption, ref SampleRandom random)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(caption);
        bool mirrored = random.Chance(Probability);
        if (!mirrored || (CaptionRule == FlipCaptionRule.Refuse && MentionsSide(caption)))
        {
            return (image, caption);
        }

        return (Mirror(image), CaptionRule == FlipCaptionRule.SwapWords ? SwapSides(caption) : caption);
    }

    /// <summary>The picture with left and right exchanged.</summary>
    /// <param name="image">The picture; not changed.</param>
    public static RgbImage Mirror(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        RgbImage result = new(image.Width, image.Height);
        for (int y = 0; y < image.Height; y++)
        {
            ReadOnlySpan<byte> source = image.Row(y);
            Span<byte> target = result.Row(y);
            for (int from = 0, to = target.Length - 3; to >= 0; from += 3, to -= 3)
            {
                source.Slice(from, 3).CopyTo(target[to..]);
            }
        }

        return result;
    }

    /// <summary>Whether the caption has the word left or right (or leftmost, rightward and so on), in whatever sense it is meant.</summary>
    /// <param name="caption">Any text.</param>
    public static bool MentionsSide(string caption)
    {
        ArgumentNullException.ThrowIfNull(caption);
        return !string.Equals(caption, SwapSides(caption), StringComparison.Ordinal);
    }

    /// <summary>
    /// The caption with left and right exchanged, as whole words and in the case they have: "Left of the LEFT-hand door" becomes "Right of
    /// the RIGHT-hand door"; "bright" and "leftover" stay. A right that means correct is exchanged too.
    /// </summary>
    /// <param name="caption">Any text.</param>
    public static string SwapSides(string caption)
    {
        ArgumentNullException.ThrowIfNull(caption);
        StringBuilder result = new(caption.Length);
        int position = 0;
        while (position < caption.Length)
        {
            int end = position;
            while (end < caption.Length && IsWord(caption[end]))
            {
                end++;
            }

            if (end == position)
            {
                result.Append(caption[end++]);
            }
            else
            {
                Append(result, caption.AsSpan(position, end - position));
            }

            position = end;
        }

        return result.ToString();
    }

    private static void Append(StringBuilder result, ReadOnlySpan<char> word)
    {
        foreach ((string left, string right) in Sides)
        {
            if (word.Equals(left, StringComparison.OrdinalIgnoreCase))
            {
                AppendCased(result, right, word);
                return;
            }

            if (word.Equals(right, StringComparison.OrdinalIgnoreCase))
            {
                AppendCased(result, left, word);
                return;
            }
        }

        result.Append(word);
    }

    /// <summary>All capitals, a first capital, or neither: as the word that is replaced.</summary>
    private static void AppendCased(StringBuilder result, string replacement, ReadOnlySpan<char> word)
    {
        bool first = char.IsUpper(word[0]);
        bool rest = char.IsUpper(word[1]);
        result.Append(first ? char.ToUpperInvariant(replacement[0]) : replacement[0]);
        foreach (char letter in replacement.AsSpan(1))
        {
            result.Append(rest ? char.ToUpperInvariant(letter) : letter);
        }
    }

    private static bool IsWord(char c)
    {
        return char.IsLetterOrDigit(c) || c == '_';
    }
}
