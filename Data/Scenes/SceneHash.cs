namespace MiniVlp.Data.Scenes;

/// <summary>What random numbers are drawn for.</summary>
internal enum SceneDraw
{
    Facts = 1,
    Wording,
    Question,
    Reference,
    Distractor,
    Noise,
    Features,
    Entailment,
}

/// <summary>A 64-bit mixing hash that does not change between runs, machines or library versions: splits and noise depend on it.</summary>
internal static class SceneHash
{
    public const ulong Start = 0x5CE9E5F00DCAFE11UL;

    public static ulong Combine(ulong hash, ulong value)
    {
        return new SampleRandom(hash ^ (value * 0xD1342543DE82EF95UL)).NextUInt64();
    }

    /// <summary>The numbers of one purpose: the same seed given to two purposes gives unrelated draws.</summary>
    public static SampleRandom Random(ulong seed, SceneDraw purpose)
    {
        return new SampleRandom(Combine(seed, (ulong)purpose));
    }
}
