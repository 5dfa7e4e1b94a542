namespace MiniVlp.Data.Images;

/// <summary>A part of a picture in pixel coordinates, which may lie between pixels: left and top edge, right and bottom edge.</summary>
/// <param name="Left">Left edge; 0 is the picture's left edge.</param>
/// <param name="Top">Top edge; 0 is the picture's top edge.</param>
/// <param name="Right">Right edge, past the last column.</param>
/// <param name="Bottom">Bottom edge, past the last row.</param>
public readonly record struct ImageBox(float Left, float Top, float Right, float Bottom);

/// <summary>A rectangle of whole pixels.</summary>
/// <param name="X">First column.</param>
/// <param name="Y">First row.</param>
/// <param name="Width">Columns.</param>
/// <param name="Height">Rows.</param>
public readonly record struct ImageRectangle(int X, int Y, int Width, int Height);
