using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Which of two operands spreads over the other, and how.</summary>
/// <param name="LeftIsFull">Whether the left operand has the shape of the result.</param>
/// <param name="Layout">How the other one spreads.</param>
internal readonly record struct BroadcastPlan(bool LeftIsFull, Broadcast Layout)
{
    private const string Rule =
        "one operand has the shape of the result; the other one equals it on some trailing axes, on some leading axes (size 1 on the rest), "
        + "on both, or has one element";

    /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
    public static BroadcastPlan Resolve(string operation, Tensor left, Tensor right)
    {
        SameDevice.Require(operation, left, right);
        if (left.Shape == right.Shape) return new BroadcastPlan(true, Broadcast.None(left.Shape.Length));
        if (TrySpread(right.Shape, left.Shape, out Broadcast layout)) return new BroadcastPlan(true, layout);
        if (TrySpread(left.Shape, right.Shape, out layout)) return new BroadcastPlan(false, layout);
        string hint = left.Shape.Length == right.Shape.Length ? " They have equally many elements: is a Reshape missing?" : string.Empty;
        throw new ShapeException($"{operation}: the left operand is {left.Shape} and the right operand is {right.Shape}; {Rule}.{hint}");
    }

    /// <summary>Sees whether the axes that a small shape lacks (absent in front, or of size 1) stand side by side in the full one.</summary>
    public static bool TrySpread(Shape small, Shape full, out Broadcast layout)
    {
        layout = default;
        if (small.Rank > full.Rank) return false;
        int missing = full.Rank - small.Rank, outer = 1, repeat = 1, inner = 1;
        bool repeats = false, hasEnded = false;
        for (int axis = 0; axis < full.Rank; axis++)
        {
            int size = full[axis], own = axis < missing ? 1 : small[axis - missing];
            if (size == 1 && own == 1) continue;
            if (own == size)
            {
                if (repeats) hasEnded = true;
                if (hasEnded) inner *= size;
                else outer *= size;
            }
            else if (own == 1 && !hasEnded)
            {
                repeats = true;
                repeat *= size;
            }
            else
            {
                return false;
            }
        }

        layout = repeats ? new Broadcast(outer, repeat, inner) : Broadcast.None(full.Length);
        return true;
    }
}
