using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace MiniVlp.Data.Scenes;

/// <summary>
/// The language of the scenes, both ways. A caption is
/// <c>[lead] phrase {"and" phrase} [background]</c> or <c>[lead] phrase ["is"] relation phrase [background]</c>; a phrase is
/// <c>("a" | "an" | number) [size] [colour] noun</c>; a background is <c>"on a" word "background"</c>. Lower case, no punctuation.
/// </summary>
public static class SceneGrammar
{
    private static readonly ImmutableArray<string> FunctionWords = ["a", "an", "and", "are", "background", "is", "on", "there"];
    private static readonly ImmutableArray<string> QuestionWords = ["color", "how", "many", "no", "shape", "size", "the", "what", "yes"];

    /// <summary>Every word that can stand in a caption, sorted.</summary>
    public static ImmutableArray<string> CaptionWords { get; } = Collect(FunctionWords);

    /// <summary>Every word that can stand in a caption, question, answer or reference, sorted.</summary>
    public static ImmutableArray<string> AllWords { get; } =
        Collect([.. FunctionWords, .. QuestionWords, .. SceneWords.Numbers, .. SceneWords.EdgeWords.Select(edge => edge.Text)]);

    /// <summary>The plain caption for a statement.</summary>
    /// <param name="statement">What to say.</param>
    public static string Write(SceneStatement statement)
    {
        ArgumentNullException.ThrowIfNull(statement);
        return Compose(statement, lead: "", copula: false, static phrases => phrases[0]);
    }

    /// <summary>One of the wordings of a statement. Parsing it gives a statement with the same canonical form.</summary>
    /// <param name="statement">What to say.</param>
    /// <param name="seed">Chooses the wording; the same seed gives the same text.</param>
    public static string Paraphrase(SceneStatement statement, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(statement);
        SampleRandom random = SceneHash.Random(seed, SceneDraw.Wording);
        if (statement.Relation is { } relation && SceneRelations.Converse(relation) is not null && random.Chance(0.5))
        {
            statement = statement.Exchanged();
        }

        string lead = random.Next(3) switch
        {
            0 => "",
            1 => statement.Phrases[0].Count == 1 ? "there is" : "there are",
            _ => SceneWords.Leads[random.Next(SceneWords.Leads.Length)],
        };
        return Compose(statement, lead, copula: random.Chance(0.5), phrases => phrases[random.Chance(0.6) ? 0 : random.Next(phrases.Length)]);
    }

    /// <summary>The facts that a caption states; every caption that this class writes can be parsed.</summary>
    /// <param name="caption">The text; case, commas and a full stop do not matter.</param>
    /// <exception cref="FormatException">The text is not a sentence of the grammar; the message shows it.</exception>
    public static SceneStatement Parse(string caption)
    {
        ArgumentNullException.ThrowIfNull(caption);
        return TryParse(caption, out SceneStatement? statement)
            ? statement
            : throw new FormatException($"Not a caption of the scene grammar: \"{caption}\".");
    }

    /// <summary>As <see cref="Parse"/>, but says false where that throws.</summary>
    /// <param name="caption">The text.</param>
    /// <param name="statement">The facts, or null.</param>
    public static bool TryParse(string? caption, [NotNullWhen(true)] out SceneStatement? statement)
    {
        statement = null;
        return caption is not null && new SceneParser(caption).TryCaption(out statement);
    }

    /// <summary>The words of a noun phrase: "a small red circle", "two green stars".</summary>
    /// <param name="phrase">What to say.</param>
    public static string Write(ObjectPhrase phrase)
    {
        ArgumentNullException.ThrowIfNull(phrase);
        return Indefinite(phrase, static phrases => phrases[0]);
    }

    /// <summary>Attributes and noun without article or number: "small red circle", or "small red circles".</summary>
    internal static string Bare(ObjectPhrase phrase, bool plural, Func<ImmutableArray<string>, string>? choose = null)
    {
        choose ??= static phrases => phrases[0];
        var text = new StringBuilder();
        if (phrase.Size is { } size)
        {
            text.Append(choose(SceneWords.SizeWords[(int)size])).Append(' ');
        }

        if (phrase.Color is { } color)
        {
            text.Append(SceneWords.Of(color)).Append(' ');
        }

        return text.Append(choose(SceneWords.NounsOf(phrase.Shape, plural))).ToString();
    }

    private static string Indefinite(ObjectPhrase phrase, Func<ImmutableArray<string>, string> choose)
    {
        string bare = Bare(phrase, plural: phrase.Count > 1, choose);
        return (phrase.Count == 1 ? SceneWords.ArticleFor(bare) : SceneWords.Numbers[phrase.Count]) + " " + bare;
    }

    private static string Compose(SceneStatement statement, string lead, bool copula, Func<ImmutableArray<string>, string> choose)
    {
        var words = new List<string>();
        if (lead.Length > 0)
        {
            words.Add(lead);
        }

        for (int i = 0; i < statement.Phrases.Length; i++)
        {
            if (i > 0 && statement.Relation is { } relation)
            {
                // "there is a circle is left of" is no English: the copula stands only where nothing leads.
                string phrase = choose(SceneWords.RelationPhrases[(int)relation]);
                words.Add(copula && lead.Length == 0 ? "is " + phrase : phrase);
            }
            else if (i > 0)
            {
                words.Add("and");
            }

            words.Add(Indefinite(statement.Phrases[i], choose));
        }

        if (statement.Background is { } background)
        {
            words.Add($"on a {SceneWords.Of(background)} background");
        }

        return string.Join(' ', words);
    }

    private static ImmutableArray<string> Collect(ImmutableArray<string> more)
    {
        return
        [
            .. more
                .Concat(SceneWords.Colors)
                .Concat(SceneWords.Backgrounds)
                .Concat(SceneWords.Numbers.Skip(2))
                .Concat(SceneWords.SizeWords.SelectMany(words => words))
                .Concat(SceneWords.Nouns.SelectMany(nouns => nouns.SelectMany(noun => new[] { noun.Singular, noun.Plural })))
                .Concat(SceneWords.RelationPhrases.SelectMany(phrases => phrases).SelectMany(phrase => phrase.Split(' ')))
                .Concat(SceneWords.Leads.SelectMany(lead => lead.Split(' ')))
                .Distinct(StringComparer.Ordinal)
                .Order(StringComparer.Ordinal),
        ];
    }
}
