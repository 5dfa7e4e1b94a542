using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>y = fc2(f(fc1(x))): x and y [..., width], with a wider layer in between.</summary>
public sealed class Mlp : Module
{
    private readonly Linear _first;
    private readonly Linear _second;
    private readonly Activation _activation;

    /// <summary>Declares the two linear layers.</summary>
    /// <param name="width">Size of x and y.</param>
    /// <param name="hiddenWidth">Size in between, usually 4 · width.</param>
    /// <param name="activation">f.</param>
    /// <param name="firstName">Checkpoint name of the first layer.</param>
    /// <param name="secondName">Checkpoint name of the second layer.</param>
    /// <param name="firstInitializer">How the first matrix is filled; normal with deviation 0.02 when null.</param>
    /// <param name="secondInitializer">How the second matrix is filled; normal with deviation 0.02 when null.</param>
    public Mlp(
        int width,
        int hiddenWidth,
        Activation activation,
        string firstName = "fc1",
        string secondName = "fc2",
        Initializer? firstInitializer = null,
        Initializer? secondInitializer = null)
    {
        _activation = activation;
        _first = Add(firstName, new Linear(width, hiddenWidth, initializer: firstInitializer));
        _second = Add(secondName, new Linear(hiddenWidth, width, initializer: secondInitializer));
    }

    /// <summary>x and y [..., width]; <paramref name="residual"/> is added to y in the same pass.</summary>
    public Tensor Forward(Tensor x, Tensor? residual = null) => _second.Forward(_first.Forward(x, _activation), residual);
}
