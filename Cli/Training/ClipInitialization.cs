using MiniVlp.Models;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>
/// The starting weights of a CLIP that is trained from scratch. A deviation of 0.02 for every matrix suits a width of 768; a narrow model
/// learns sooner with deviations that follow its width and depth, as OpenAI's code has them (arXiv:2103.00020; GPT-2 before it).
/// </summary>
public static class ClipInitialization
{
    /// <summary>
    /// Draws all weights, then scales each matrix of the towers to its deviation: width^-½ for query, key and value, (2 · width)^-½ for the
    /// first layer of an MLP, width^-½ (2 · layers)^-½ for what is added to the residual stream, inputs^-½ for the patches.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="device">Where its parameters are kept.</param>
    /// <param name="seed">Same seed, same weights.</param>
    public static void Initialize(Clip model, Device device, int seed)
    {
        model.Initialize(device, seed);
        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            ClipTowerConfig tower = name.StartsWith("text_model.", StringComparison.Ordinal) ? model.Config.Text : model.Config.Vision;
            if (DeviationOf(name, parameter.Shape, tower) is { } deviation) Scale(parameter, deviation, device);
        }
    }

    private static double? DeviationOf(string name, Shape shape, ClipTowerConfig tower)
    {
        if (!name.EndsWith(".weight", StringComparison.Ordinal)) return null;
        string[] path = name.Split('.');
        return path[^2] switch
        {
            "q_proj" or "k_proj" or "v_proj" => Math.Pow(tower.Width, -0.5),
            "fc1" => Math.Pow(2.0 * tower.Width, -0.5),
            "out_proj" or "fc2" => Math.Pow(tower.Width, -0.5) * Math.Pow(2.0 * tower.Layers, -0.5),
            "patch_embedding" => Math.Pow(shape.Length / (double)shape[0], -0.5),
            _ => null,
        };
    }

    private static void Scale(Parameter parameter, double deviation, Device device)
    {
        float[] values = parameter.Value.ToArray();
        double square = 0;
        foreach (float value in values) square += (double)value * value;
        float factor = (float)(deviation / Math.Sqrt(square / values.Length));
        for (int i = 0; i < values.Length; i++) values[i] *= factor;
        parameter.Assign(values, device);
    }
}
