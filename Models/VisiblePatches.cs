using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// Which patches of each image an encoder sees, in which order, and how to put them back: the shuffling of MAE (arXiv:2111.06377, section 3). Every image
/// of a batch keeps equally many. The indices are made on the host, once for a batch, and are the same on every device.
/// </summary>
public sealed class VisiblePatches
{
    private VisiblePatches(IndexTensor visible, IndexTensor restore, IndexTensor unshuffle, Tensor removed)
    {
        Visible = visible;
        Restore = restore;
        Unshuffle = unshuffle;
        Removed = removed;
    }

    /// <summary>Numbers of the patches that are seen, [batch, kept], in the order in which the encoder gets them.</summary>
    public IndexTensor Visible { get; }

    /// <summary>For each patch its place in the shuffled order, [batch, patches]: the seen ones have the places below kept. <c>ids_restore</c> at Hugging Face.</summary>
    public IndexTensor Restore { get; }

    /// <summary>1 for a patch that was removed, 0 for one that is seen: [batch, patches].</summary>
    public Tensor Removed { get; }

    /// <summary>Patches that are seen, of each image.</summary>
    public int KeptCount => Visible.Shape[1];

    /// <summary>Patches of an image.</summary>
    public int PatchCount => Restore.Shape[1];

    /// <summary>
    /// From [class token, seen tokens, mask token], [batch, 2 + kept, width], to the class token and all patches in the order of the image: [batch, 1 + patches].
    /// </summary>
    internal IndexTensor Unshuffle { get; }

    /// <summary>
    /// Keeps, of each image, the patches with the smallest noise: the order is a stable argsort, so that equal numbers stay in the order of the image.
    /// </summary>
    /// <param name="noise">[batch, patches], row by row.</param>
    /// <param name="shape">[batch, patches].</param>
    /// <param name="kept">Patches to keep of each image, at least one.</param>
    /// <param name="device">Where the indices go.</param>
    /// <exception cref="ArgumentException">The noise does not fill the shape, or is not a number somewhere.</exception>
    /// <exception cref="ArgumentOutOfRangeException">kept is not 1 .. patches.</exception>
    public static VisiblePatches FromNoise(ReadOnlySpan<float> noise, Shape shape, int kept, Device? device = null)
    {
        if (shape.Rank != 2 || noise.Length != shape.Length) throw new ShapeException($"VisiblePatches: the noise must be [batch, patches], found {noise.Length} numbers for {shape}.");
        if (noise.ContainsAnyExceptInRange(float.NegativeInfinity, float.PositiveInfinity)) throw new ArgumentException("VisiblePatches: the noise holds NaN, which has no place in an order.", nameof(noise));
        int batch = shape[0], patches = shape[1];
        int[] order = new int[batch * patches];
        for (int b = 0; b < batch; b++)
        {
            float[] row = noise.Slice(b * patches, patches).ToArray();
            int[] sorted = [.. Enumerable.Range(0, patches).OrderBy(i => row[i])];
            sorted.CopyTo(order, b * patches);
        }

        return FromOrder(order, shape, kept, device);
    }

    /// <summary>Keeps the patches that a mask leaves, in the order of the image; equally many of each image.</summary>
    /// <param name="mask">1 for a patch to remove, 0 for one to keep: [batch, patches].</param>
    /// <param name="shape">[batch, patches].</param>
    /// <param name="device">Where the indices go.</param>
    /// <exception cref="ShapeException">The mask does not fill the shape.</exception>
    /// <exception cref="ArgumentException">An image keeps another number of patches than the first, or none.</exception>
    public static VisiblePatches FromMask(ReadOnlySpan<int> mask, Shape shape, Device? device = null)
    {
        if (shape.Rank != 2 || mask.Length != shape.Length || mask.Length == 0) throw new ShapeException($"VisiblePatches: the mask must be [batch, patches], found {mask.Length} numbers for {shape}.");
        int batch = shape[0], patches = shape[1], kept = mask[..patches].Count(0);
        int[] order = new int[mask.Length];
        for (int b = 0; b < batch; b++)
        {
            int[] row = mask.Slice(b * patches, patches).ToArray();
            int here = row.AsSpan().Count(0);
            if (here != kept || here == 0) throw new ArgumentException($"VisiblePatches: each image must keep the same number of patches and at least one, but the first keeps {kept} and number {b} keeps {here}.", nameof(mask));
            int[] sorted = [.. Enumerable.Range(0, patches).OrderBy(i => row[i])];
            sorted.CopyTo(order, b * patches);
        }

        return FromOrder(order, shape, kept, device);
    }

    /// <summary>Keeps the first patches of a given order.</summary>
    /// <param name="order">For each image all its patches, the kept ones in front: [batch, patches].</param>
    /// <param name="shape">[batch, patches].</param>
    /// <param name="kept">Patches to keep of each image, at least one.</param>
    /// <param name="device">Where the indices go.</param>
    /// <exception cref="ShapeException">The order does not fill the shape.</exception>
    /// <exception cref="ArgumentException">A row does not name each patch once.</exception>
    /// <exception cref="ArgumentOutOfRangeException">kept is not 1 .. patches.</exception>
    public static VisiblePatches FromOrder(ReadOnlySpan<int> order, Shape shape, int kept, Device? device = null)
    {
        if (shape.Rank != 2 || order.Length != shape.Length) throw new ShapeException($"VisiblePatches: the order must be [batch, patches], found {order.Length} numbers for {shape}.");
        int batch = shape[0], patches = shape[1];
        if (kept < 1 || kept > patches) throw new ArgumentOutOfRangeException(nameof(kept), kept, $"VisiblePatches: of {patches} patches 1 .. {patches} can be kept.");
        int[] visible = new int[batch * kept], restore = new int[batch * patches], unshuffle = new int[batch * (1 + patches)];
        float[] removed = new float[batch * patches];
        Array.Fill(restore, -1);
        for (int b = 0; b < batch; b++)
        {
            ReadOnlySpan<int> row = order.Slice(b * patches, patches);
            row[..kept].CopyTo(visible.AsSpan(b * kept));
            for (int place = 0; place < patches; place++)
            {
                int patch = row[place], at = (b * patches) + patch;
                if ((uint)patch >= (uint)patches || restore[at] >= 0) throw new ArgumentException($"VisiblePatches: row {b} of the order must name each of 0 .. {patches - 1} once, but has {patch} at place {place}.", nameof(order));
                restore[at] = place;
                removed[at] = place < kept ? 0 : 1;
                unshuffle[(b * (1 + patches)) + 1 + patch] = 1 + Math.Min(place, kept);
            }
        }

        return new VisiblePatches(
            IndexTensor.FromArray(visible, [batch, kept], device),
            IndexTensor.FromArray(restore, [batch, patches], device),
            IndexTensor.FromArray(unshuffle, [batch, 1 + patches], device),
            Tensor.FromArray(removed, [batch, patches], device));
    }
}
