using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>A model that turns an image into one vector of features, for probes and for search among images.</summary>
public interface IImageEncoder
{
    /// <summary>Side of the square images that the model was made for.</summary>
    int ImageSize { get; }

    /// <summary>Length of the vector.</summary>
    int FeatureWidth { get; }

    /// <summary>images [batch, channels, size, size], normalised pixels, to features [batch, width].</summary>
    Tensor ImageFeatures(Tensor images);
}
