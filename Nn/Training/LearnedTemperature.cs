namespace MiniVlp.Nn.Training;

/// <summary>How a parameter expresses a temperature.</summary>
public enum TemperatureForm
{
    /// <summary>The parameter is τ; similarities are divided by it (ALBEF, BLIP).</summary>
    Temperature,

    /// <summary>The parameter is ln(1/τ); similarities are multiplied by its exponential (CLIP).</summary>
    LogarithmOfScale,
}

/// <summary>The temperature of a contrastive loss as a parameter that is learnt between bounds.</summary>
/// <param name="Parameter">A scalar.</param>
/// <param name="Lowest">Smallest value that the parameter may have.</param>
/// <param name="Highest">Largest value that it may have.</param>
/// <param name="Form">What the parameter is.</param>
public sealed record LearnedTemperature(Parameter Parameter, float Lowest, float Highest, TemperatureForm Form = TemperatureForm.Temperature)
{
    /// <summary>τ for a value of the parameter.</summary>
    public float ToTemperature(float value) => Form == TemperatureForm.Temperature ? value : MathF.Exp(-value);

    /// <summary>Moves the parameter into its bounds; for the time after an update.</summary>
    /// <returns>The parameter's value.</returns>
    public float Clamp()
    {
        float value = Parameter.Value.Item(), inside = Math.Clamp(value, Lowest, Highest);
        if (inside != value) Parameter.Assign([inside], Parameter.Value.Device);
        return inside;
    }
}
