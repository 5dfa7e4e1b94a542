namespace MiniVlp.Nn.Optimizers;

/// <summary>Parameters that an optimizer treats alike.</summary>
public sealed class ParameterGroup
{
    /// <summary>Groups parameters under their full names.</summary>
    /// <param name="parameters">As <see cref="Module.NamedParameters()"/> lists them; a parameter that is shared counts once, under its first name.</param>
    public ParameterGroup(IEnumerable<(string Name, Parameter Parameter)> parameters)
    {
        HashSet<Parameter> seen = [];
        Parameters = [.. parameters.Where(named => seen.Add(named.Parameter))];
    }

    /// <summary>The parameters, with the full names under which their state is saved.</summary>
    public IReadOnlyList<(string Name, Parameter Parameter)> Parameters { get; }

    /// <summary>Factor of the optimizer's learning rate.</summary>
    public double LearningRateMultiplier { get; init; } = 1;

    /// <summary>Strength of the weight decay; 0 for none.</summary>
    public double WeightDecay { get; init; }

    /// <summary>
    /// The usual groups: weight decay for matrices and kernels, none for parameters of at most one axis (biases, norm weights, scales). With
    /// <paramref name="learningRateMultiplier"/> one group for each value it gives, as for layer decay.
    /// </summary>
    /// <param name="parameters">As <see cref="Module.NamedParameters()"/> lists them.</param>
    /// <param name="weightDecay">Strength where it applies.</param>
    /// <param name="learningRateMultiplier">Factor for the full name of a parameter; 1 when null.</param>
    /// <param name="decays">Whether a parameter decays; by its number of axes when null.</param>
    public static IReadOnlyList<ParameterGroup> SplitByDecay(
        IEnumerable<(string Name, Parameter Parameter)> parameters,
        double weightDecay,
        Func<string, double>? learningRateMultiplier = null,
        Func<string, Parameter, bool>? decays = null)
    {
        learningRateMultiplier ??= static _ => 1;
        decays ??= static (_, parameter) => parameter.Shape.Rank > 1;
        HashSet<Parameter> seen = [];
        return
        [
            .. parameters.Where(named => seen.Add(named.Parameter))
                .GroupBy(named => (Decays: decays(named.Name, named.Parameter), Multiplier: learningRateMultiplier(named.Name)))
                .Select(group => new ParameterGroup(group) { WeightDecay = group.Key.Decays ? weightDecay : 0, LearningRateMultiplier = group.Key.Multiplier }),
        ];
    }
}
