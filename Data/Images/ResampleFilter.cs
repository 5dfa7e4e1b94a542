namespace MiniVlp.Data.Images;

/// <summary>How <see cref="ImageResize"/> weighs the pixels around a position; the numbers are PIL's, as <c>"resample"</c> in preprocessor_config.json.</summary>
public enum ResampleFilter
{
    /// <summary>The one pixel under the centre of the new pixel; no antialiasing.</summary>
    Nearest = 0,

    /// <summary>Windowed sinc, 3 lobes.</summary>
    Lanczos = 1,

    /// <summary>Triangle, support 1.</summary>
    Bilinear = 2,

    /// <summary>Cubic convolution with a = -0.5 (Keys 1981), support 2.</summary>
    Bicubic = 3,

    /// <summary>The mean of the pixels under the new pixel.</summary>
    Box = 4,
}
