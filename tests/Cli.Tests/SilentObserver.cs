using MiniVlp.Cli.Effects;

namespace MiniVlp.Cli.Tests;

/// <summary>Watches experiments without a word.</summary>
internal sealed class SilentObserver : IEffectObserver
{
    public void Started(Experiment experiment, string condition, int seed, int number, int total)
    {
    }

    public void Progressed(double share)
    {
    }

    public void Finished(EffectRow row)
    {
    }
}
